//! What a connection has besides its h2, and is while it is parked.
//!
//! Of a connection that says nothing, h2's buffers and tables are most of what it takes. So h2 is given
//! up, and begun anew when there is something for it to do. It hears then what the client had said
//! before, as far as it matters ([`Standing`](super::standing::Standing)), and what it says to that is
//! dropped, since the client has heard it. The client notices nothing.

use std::{
    future::{Future, poll_fn},
    pin::{Pin, pin},
    sync::Arc,
    task::{Context, Poll, Waker},
    time::Duration,
};

use bytes::Bytes;
use h2::server::{self, SendResponse};
use http::Response;
use tokio::time::{Instant, Sleep, sleep_until};

use super::{builder, io::Io, session::Session};
use crate::{
    config::Client,
    connection::{Connection, Streams},
    proxy::Proxy,
};

pub(super) struct Lasting {
    pub io: Io,
    pub streams: Arc<Streams>,
    pub connection: Arc<Connection>,
    pub bounds: Arc<Client>,
    pub proxy: Proxy,
    /// No stream is open, since this time.
    pub idle: Option<Instant>,
    /// The one timer, set to what is due first.
    pub timer: Pin<Box<Sleep>>,
    /// It is parked when it has been silent for so long.
    pub pause: Duration,
}

/// A connection that is silent for so long is parked, as one of HTTP/1 is.
pub(super) const PARK: Duration = Duration::from_secs(1);
/// At most so long, where requests did not come: h2 begun anew for a PING costs more than the PING.
const MAX_PAUSE: Duration = Duration::from_secs(64);

impl Lasting {
    /// With the bounds that the client was told.
    pub(super) fn new(
        io: Io,
        connection: Arc<Connection>,
        bounds: Arc<Client>,
        proxy: Proxy,
    ) -> Self {
        let streams = Streams::new(connection.clone(), bounds.early_resets);
        let timer = Box::pin(sleep_until(Instant::now() + bounds.idle));
        Self { io, streams, connection, bounds, proxy, idle: None, timer, pause: PARK }
    }

    /// Waits until there is something for h2 to do: the client speaks, or has been idle for too long.
    /// False where it has closed the connection, which is closed then.
    pub(super) async fn speaks(&mut self) -> bool {
        tracing::debug!(client = %self.connection.name, "client connection parked");
        self.connection.fields.forget();
        self.timer.as_mut().reset(self.idle.unwrap_or_else(Instant::now) + self.bounds.idle);
        let speaks = poll_fn(|cx| match self.io.wire().poll_speaks(cx) {
            Poll::Pending => self.timer.as_mut().poll(cx).map(|()| true),
            speaks @ Poll::Ready(_) => speaks,
        });
        if speaks.await {
            return true;
        }
        // Where it cannot be closed, it is closed.
        let _ = poll_fn(|cx| self.io.wire().poll_shutdown(cx)).await;
        false
    }

    /// Begins h2 anew. None where it does not take what it took before.
    pub(super) fn resume(mut self) -> Option<Box<Session>> {
        // Until there is a request.
        self.pause = MAX_PAUSE.min(self.pause * 2);
        let Some(h2) = self.rehearse() else {
            tracing::warn!(client = %self.connection.name, "a parked connection could not be resumed");
            return None;
        };
        self.io.wire().go_on(self.bounds.connection_window);
        Some(Box::new(Session::new(h2, self)))
    }

    /// All of it is at hand and nothing is waited for: each poll goes as far as there is something to hear.
    fn rehearse(&self) -> Option<server::Connection<Io, Bytes>> {
        let cx = &mut Context::from_waker(Waker::noop());
        let (opening, heads, mut owed, closing) = {
            let wire = self.io.wire();
            let standing = wire.standing();
            (standing.opening(), standing.heads(), standing.owed(), standing.closing())
        };
        self.hear(&opening);
        let mut shaking = pin!(builder(&self.bounds).handshake(self.io.clone()));
        let Poll::Ready(Ok(mut h2)) = shaking.as_mut().poll(cx) else { return None };
        for head in heads {
            self.hear(&head.bytes);
            // Some are refused, as they were before.
            let Poll::Ready(accepted) = h2.poll_accept(cx) else { continue };
            let (_, respond) = accepted?.ok()?;
            self.answer(&mut h2, cx, respond, std::mem::take(&mut owed), &head.end())?;
        }
        self.hear(&closing);
        let is_pending = h2.poll_accept(cx).is_pending();
        (is_pending && owed == 0 && self.io.wire().is_rehearsed()).then_some(h2)
    }

    /// The answer is the same for all, but for the length of the first.
    fn answer(
        &self,
        h2: &mut server::Connection<Io, Bytes>,
        cx: &mut Context<'_>,
        mut respond: SendResponse<Bytes>,
        len: usize,
        end: &[u8],
    ) -> Option<()> {
        let mut way = respond.send_response(Response::new(()), len == 0).ok()?;
        if len > 0 {
            way.send_data(vec![0; len].into(), true).ok()?;
        }
        let mut pending = h2.poll_accept(cx).is_pending();
        if !end.is_empty() {
            self.hear(end);
            pending &= h2.poll_accept(cx).is_pending();
        }
        pending.then_some(())
    }

    fn hear(&self, script: &[u8]) {
        self.io.wire().rehearse(script);
    }
}

impl Drop for Lasting {
    fn drop(&mut self) {
        self.streams.end();
    }
}
