//! Requests received whole, and sent from there as often as needed.

use std::{
    pin::Pin,
    task::{Context, Poll},
};

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};

use super::{Reader, Spool, reader::Broken};

/// The body of a request, whole. Cloning gives another handle on the same.
#[derive(Debug, Clone)]
pub(crate) enum Received {
    /// The request has none.
    Nothing,
    /// So many bytes; perhaps zero, which is said to the backend too.
    Spooled(Spool),
}

/// One sending of a received body, its length known.
#[derive(Debug)]
pub(crate) struct SendBody {
    reader: Option<Reader>,
    left: u64,
}

impl Received {
    /// A body that reads it from the start.
    pub(crate) fn body(&self) -> SendBody {
        match self {
            Self::Nothing => SendBody { reader: None, left: 0 },
            Self::Spooled(spool) => {
                SendBody { reader: Some(spool.reader()), left: spool.written() }
            }
        }
    }

    /// Its length in bytes, where the request has a body.
    pub(crate) fn len(&self) -> Option<u64> {
        match self {
            Self::Nothing => None,
            Self::Spooled(spool) => Some(spool.written()),
        }
    }
}

impl Body for SendBody {
    type Data = Bytes;
    type Error = Broken;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Broken>>> {
        let Some(reader) = &mut self.reader else { return Poll::Ready(None) };
        let polled = reader.poll_frame(cx);
        if let Poll::Ready(Some(Ok(frame))) = &polled {
            let len = frame.data_ref().map_or(0, Bytes::len) as u64;
            self.left = self.left.saturating_sub(len);
        }
        polled
    }

    fn is_end_stream(&self) -> bool {
        self.left == 0
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.left)
    }
}
