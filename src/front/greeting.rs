//! HTTP/1 or HTTP/2? The first bytes tell.

use std::future::poll_fn;

use super::io::ClientIo;

/// With this begins the preface of HTTP/2 (RFC 9113, section 3.4); no method of HTTP/1 is called so
/// (section 11.6).
const PREFACE: &[u8] = b"PRI ";

/// Waits for the first bytes, within the bounds for heads and idle connections. What is read can be
/// read again, so this may be dropped at any time.
pub(super) async fn is_http2(io: &mut ClientIo) -> bool {
    loop {
        if io.ahead().starts_with(PREFACE) {
            return true;
        }
        // Where nothing more comes, hyper will find out what that means.
        if !PREFACE.starts_with(io.ahead())
            || !matches!(poll_fn(|cx| io.poll_more(cx)).await, Ok(true))
        {
            return false;
        }
    }
}
