//! The body of a request, taken in whole.

use std::{future::poll_fn, pin::Pin, task::Poll};

use bytes::Bytes;
use http_body::Body;
use tokio::time::timeout;

use super::House;
use crate::{
    refusal::Refusal,
    replay::Naming,
    spool::{End, Full, Received, Retain},
    visit::Visit,
};

impl House {
    /// Takes in the whole body before anything is asked of the backend.
    pub(super) async fn receive<B>(
        &self,
        visit: &Visit,
        body: B,
        max: u64,
        naming: Option<&mut Naming>,
    ) -> Result<Received, Refusal>
    where
        B: Body<Data = Bytes> + Unpin,
    {
        if body.is_end_stream() {
            return Ok(Received::Nothing);
        }
        // Boxed: most requests have no body.
        Box::pin(self.receive_all(visit, body, max, naming)).await
    }

    async fn receive_all<B>(
        &self,
        visit: &Visit,
        mut body: B,
        max: u64,
        mut naming: Option<&mut Naming>,
    ) -> Result<Received, Refusal>
    where
        B: Body<Data = Bytes> + Unpin,
    {
        if body.size_hint().lower() > max {
            return Err(Refusal::BodyTooLong);
        }
        let spool = self.store.spool(Retain::All);
        while let Some(frame) = self.next_frame(visit, &mut body).await? {
            // Trailers end here: a body that is sent with its length has no place for them.
            let Ok(chunk) = frame.into_data() else { continue };
            if spool.written() + chunk.len() as u64 > max {
                return Err(Refusal::BodyTooLong);
            }
            if let Some(naming) = &mut naming {
                naming.body(&chunk);
            }
            spool.write(chunk).await.map_err(|full: Full| {
                tracing::warn!(reason = %full, "no room for a request body");
                Refusal::SpoolFull
            })?;
        }
        spool.end(End::Whole(None));
        visit.received().await;
        Ok(Received::Spooled(spool))
    }

    async fn next_frame<B>(
        &self,
        visit: &Visit,
        body: &mut B,
    ) -> Result<Option<http_body::Frame<Bytes>>, Refusal>
    where
        B: Body<Data = Bytes> + Unpin,
    {
        let frame = poll_fn(|cx| match Pin::new(&mut *body).poll_frame(cx) {
            Poll::Ready(None) => Poll::Ready(Ok(None)),
            Poll::Ready(Some(Ok(frame))) => Poll::Ready(Ok(Some(frame))),
            Poll::Ready(Some(Err(_))) => Poll::Ready(Err(Refusal::Incomplete)),
            // The rest will never come.
            Poll::Pending if visit.is_half_closed() => Poll::Ready(Err(Refusal::Incomplete)),
            Poll::Pending => Poll::Pending,
        });
        match timeout(self.bounds.body_stall, frame).await {
            Ok(Err(refusal)) => {
                // Half-closed, it can still be told; else nobody is there.
                visit.let_go(refusal.reason());
                Err(refusal)
            }
            Ok(frame) => frame,
            Err(_) => Err(Refusal::BodyStalled),
        }
    }
}
