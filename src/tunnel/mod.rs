//! Tunnels: connections that have left HTTP for another protocol (RFC 9110, section 7.8).
//!
//! Bytes pass as they come, both ways. What a client does to its connection does not reach the
//! backend as it was done: it hears of it in order. Where the protocol is WebSocket (RFC 6455), of
//! which `frames` knows the boundaries, that is a Close; else it is a FIN.
//!
//! What is asked for, and whether the answer fits, is `asked`; one direction is `flow`, both of
//! them and their end are `life`.

mod asked;
mod flow;
/// Where WebSocket frames begin and end: public for the fuzzer.
pub mod frames;
mod life;

use std::{fmt, future::Future, pin::Pin, sync::Arc, time::Duration};

use tokio::io::{AsyncRead, AsyncWrite};
use tokio_util::sync::CancellationToken;

pub(crate) use self::{
    asked::{Asked, Protocol},
    life::{Counts, End, Life, Witness},
};
use crate::lock::Mutex;

/// One end of a tunnel. Shut down, it ends in order; dropped before that, it is broken off.
pub(crate) trait Duplex: AsyncRead + AsyncWrite + Send + Unpin {}

impl<T: AsyncRead + AsyncWrite + Send + Unpin> Duplex for T {}

/// How a client can become one end of a tunnel: travels among the extensions of its request.
#[derive(Clone)]
pub(crate) struct ClientSide {
    form: Form,
    opening: Arc<Mutex<Option<Opening>>>,
}

type Opening = Pin<Box<dyn Future<Output = Option<Box<dyn Duplex>>> + Send>>;

/// How the client asks.
#[derive(Debug, Clone)]
enum Form {
    /// By `Upgrade`, and is answered by 101.
    Upgrade,
    /// By `:protocol` (RFC 8441), and is answered by 200.
    Connect(Box<str>),
}

/// Among the extensions of an answer to extended CONNECT: it opens a tunnel. An ordinary answer can
/// have the same status.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Opened;

/// What a tunnel works with.
#[derive(Debug)]
pub(crate) struct Plan {
    pub asked: Box<Asked>,
    pub bounds: Bounds,
    /// Cancelled when the process is to end.
    pub draining: CancellationToken,
}

#[derive(Debug, Clone, Copy)]
pub(crate) struct Bounds {
    /// No byte either way for so long.
    pub idle: Duration,
    /// How long the end may take, once it has begun.
    pub closing: Duration,
    /// How long the client may take no byte.
    pub write_stall: Duration,
}

impl ClientSide {
    /// Of a request with `Upgrade`. The future is ready once the client has the answer 101, and
    /// gives nothing where it will not have it.
    pub(crate) fn of_upgrade(
        opening: impl Future<Output = Option<Box<dyn Duplex>>> + Send + 'static,
    ) -> Self {
        Self::new(Form::Upgrade, opening)
    }

    /// Of an extended CONNECT. The future is ready once the client has the answer 200.
    pub(crate) fn of_connect(
        protocol: &str,
        opening: impl Future<Output = Option<Box<dyn Duplex>>> + Send + 'static,
    ) -> Self {
        Self::new(Form::Connect(protocol.into()), opening)
    }

    fn new(
        form: Form,
        opening: impl Future<Output = Option<Box<dyn Duplex>>> + Send + 'static,
    ) -> Self {
        Self { form, opening: Arc::new(Mutex::new(Some(Box::pin(opening)))) }
    }

    /// The client's end; none where the client has left.
    pub(crate) async fn open(&self) -> Option<Box<dyn Duplex>> {
        let opening = self.opening.lock().take();
        opening?.await
    }
}

impl fmt::Debug for ClientSide {
    fn fmt(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        to.debug_struct("ClientSide").field("form", &self.form).finish_non_exhaustive()
    }
}
