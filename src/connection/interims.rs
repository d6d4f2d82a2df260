//! Interim answers, which go out below hyper: over HTTP/1 it sends none.

use std::sync::atomic::Ordering::Relaxed;

use http::Response;

use super::Connection;

impl Connection {
    /// An interim answer, to go out before the present answer. HTTP/1.0 has none; and pipelined, the
    /// answer before may still be in hyper's buffer: then it is too late for a hint.
    pub(crate) fn interim(&self, head: &Response<()>) {
        if self.is_http10() || !self.finishing.lock().is_empty() {
            return;
        }
        let mut aside = self.aside.lock();
        let text = &mut aside.rare.get_or_insert_default().interims;
        text.extend_from_slice(b"HTTP/1.1 ");
        text.extend_from_slice(head.status().as_str().as_bytes());
        text.push(b' ');
        text.extend_from_slice(head.status().canonical_reason().unwrap_or_default().as_bytes());
        text.extend_from_slice(b"\r\n");
        for (name, value) in head.headers() {
            text.extend_from_slice(name.as_str().as_bytes());
            text.extend_from_slice(b": ");
            text.extend_from_slice(value.as_bytes());
            text.extend_from_slice(b"\r\n");
        }
        text.extend_from_slice(b"\r\n");
        self.has_interims.store(true, Relaxed);
    }

    /// Those that have not gone out yet.
    pub(crate) fn take_interims(&self) -> Option<Vec<u8>> {
        if !self.has_interims.load(Relaxed) {
            return None;
        }
        self.has_interims.store(false, Relaxed);
        Some(std::mem::take(&mut self.aside.lock().rare.as_mut()?.interims))
    }
}
