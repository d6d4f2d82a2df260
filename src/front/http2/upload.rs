//! The body of a request. The client may send more of it as it is taken in, and not before.

use std::{
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
};

use bytes::Bytes;
use h2::RecvStream;
use http::{HeaderMap, header::CONTENT_LENGTH};
use http_body::{Body, Frame, SizeHint};

use crate::connection::Stream;

pub(super) struct Upload {
    /// None where the stream carries a tunnel, not a body.
    body: Option<RecvStream>,
    stream: Arc<Stream>,
    /// As the head says; h2 holds the client to it.
    length: Option<u64>,
    /// Bytes handed on, whose room in the windows is not given back yet.
    taken: usize,
}

impl Upload {
    pub(super) fn new(body: RecvStream, fields: &HeaderMap, stream: Arc<Stream>) -> Self {
        let length = || fields.get(CONTENT_LENGTH)?.to_str().ok()?.parse().ok();
        Self { body: Some(body), stream, length: length(), taken: 0 }
    }

    pub(super) fn nothing(stream: Arc<Stream>) -> Self {
        Self { body: None, stream, length: None, taken: 0 }
    }

    fn give_back(&mut self) {
        let taken = std::mem::take(&mut self.taken);
        if let Some(body) = self.body.as_mut().filter(|_| taken > 0) {
            // Fails where the stream is gone, and then there is nothing to give back to.
            let _ = body.flow_control().release_capacity(taken);
        }
    }
}

impl Body for Upload {
    type Data = Bytes;
    type Error = h2::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, h2::Error>>> {
        self.stream.begin_body();
        // Whoever asks for more has stored what came before.
        self.give_back();
        let Some(body) = &mut self.body else { return Poll::Ready(None) };
        match ready!(body.poll_data(cx)) {
            // Trailers end here, as they do for every request.
            None => Poll::Ready(None),
            Some(Err(error)) => Poll::Ready(Some(Err(error))),
            Some(Ok(bytes)) => {
                self.taken = bytes.len();
                Poll::Ready(Some(Ok(Frame::data(bytes))))
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        self.body.as_ref().is_none_or(RecvStream::is_end_stream)
    }

    fn size_hint(&self) -> SizeHint {
        self.length.map_or_else(SizeHint::default, SizeHint::with_exact)
    }
}

impl Drop for Upload {
    fn drop(&mut self) {
        self.give_back();
    }
}
