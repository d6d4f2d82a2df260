//! A client connection that leaves HTTP/1.1, if its request asks for that and the answer is 101.

use std::{
    io::{self, IoSlice},
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
};

use bytes::{Buf, Bytes};
use http::{Request, header::UPGRADE};
use hyper::upgrade::{OnUpgrade, Parts};
use hyper_util::rt::TokioIo;
use tokio::{
    io::{AsyncRead, AsyncWrite, AsyncWriteExt as _, ReadBuf},
    sync::oneshot,
};

use super::io::ClientIo;
use crate::{
    connection::Connection,
    lock::Mutex,
    proxy::Proxy,
    tunnel::{ClientSide, Duplex},
};

/// What the present request of a connection asks for.
#[derive(Default)]
pub(super) struct Upgrade(Mutex<Option<Asked>>);

pub(super) struct Asked {
    /// hyper lets go of the socket by this, and does not close it, whatever the answer was.
    given_up: OnUpgrade,
    /// To the exchange that waits for its client's end.
    tunnel: Option<oneshot::Sender<Box<dyn Duplex>>>,
}

impl Upgrade {
    /// Does the request ask? Few do; the field is there for no other reason.
    pub(super) fn is_asked<B>(request: &Request<B>) -> bool {
        request.extensions().get::<OnUpgrade>().is_some()
    }

    /// Tells the proxy how to have the client's end.
    pub(super) fn ask<B>(&self, request: &mut Request<B>, connection: &Connection) {
        let given_up = hyper::upgrade::on(&mut *request);
        let (tunnel, end) = oneshot::channel();
        let asked = Asked { given_up, tunnel: Some(tunnel) };
        *self.0.lock() = Some(asked);
        let is_websocket = |value: &http::HeaderValue| {
            value.as_bytes().trim_ascii().eq_ignore_ascii_case(b"websocket")
        };
        if request.headers().get_all(UPGRADE).iter().any(is_websocket) {
            // It has nothing to say without its sending side.
            connection.fin_is_leaving();
        }
        request.extensions_mut().insert(ClientSide::of_upgrade(async { end.await.ok() }));
    }

    /// The answer is an ordinary one.
    pub(super) fn declined(&self) {
        if let Some(asked) = &mut *self.0.lock() {
            asked.tunnel = None;
        }
    }

    /// What is to become of the connection once hyper is done with it.
    pub(super) fn asked(self) -> Option<Asked> {
        self.0.into_inner()
    }
}

impl Asked {
    /// hyper is done with the connection: it goes to the tunnel, or is closed.
    pub(super) async fn hand_over(self, connection: Arc<Connection>, proxy: &Proxy) {
        let Self { given_up, tunnel } = self;
        // An error means that the connection was broken.
        let Ok(upgraded) = given_up.await else { return };
        let Ok(Parts { io, read_buf, .. }) = upgraded.downcast::<TokioIo<Box<ClientIo>>>() else {
            return;
        };
        let mut io = io.into_inner();
        match tunnel {
            Some(tunnel) => {
                io.keep_alive(proxy.tunnel_bounds().keepalive);
                let end = ClientEnd { io, ahead: read_buf, is_shut: false, connection };
                // Whoever has asked for it is gone: it is broken off.
                drop(tunnel.send(Box::new(end)));
            }
            // Nobody is left to be told of an error.
            None => drop(io.shutdown().await),
        }
    }
}

/// The client's end of a tunnel: the bare socket, since what HTTP needs of it is over.
struct ClientEnd {
    io: Box<ClientIo>,
    /// What was read of it together with the request.
    ahead: Bytes,
    is_shut: bool,
    connection: Arc<Connection>,
}

impl AsyncRead for ClientEnd {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if self.ahead.is_empty() {
            return self.io.poll_bare_read(cx, buf);
        }
        let len = self.ahead.len().min(buf.remaining());
        buf.put_slice(&self.ahead[..len]);
        self.ahead.advance(len);
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for ClientEnd {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(self.io.transport()).poll_write(cx, bytes)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(self.io.transport()).poll_write_vectored(cx, slices)
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(self.io.transport()).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let shut = ready!(Pin::new(self.io.transport()).poll_shutdown(cx));
        self.is_shut = true;
        Poll::Ready(shut)
    }
}

impl Drop for ClientEnd {
    /// A FIN would look like the end of what was to come.
    fn drop(&mut self) {
        if !self.is_shut {
            self.connection.break_off();
        }
    }
}
