//! One connection to the backend. Whoever awaits something of it drives it meanwhile: there is no
//! task of its own, and no wake-up between tasks.

use std::{
    future::{Future, poll_fn},
    pin::{Pin, pin},
    sync::{Arc, atomic::Ordering::Relaxed},
    task::Poll,
};

use http::{Request, Response};
use hyper::{
    body::{Body as _, Incoming},
    client::conn::{
        TrySendError,
        http1::{self, Connection, SendRequest},
    },
};
use hyper_util::rt::TokioIo;

use super::wire::{Progress, Wire};
use crate::{
    socket::Socket,
    spool::{Received, SendBody},
};

type Driven = Connection<TokioIo<Wire>, SendBody>;

#[derive(Debug)]
pub(crate) struct Link {
    /// None while parked: it holds a block of the channel to the connection.
    sender: Option<SendRequest<SendBody>>,
    /// None once it is over: what it has not taken up is given back only when it is dropped.
    connection: Option<Driven>,
    progress: Arc<Progress>,
}

impl Link {
    pub(super) async fn over(socket: Socket) -> hyper::Result<Box<Self>> {
        let progress = Arc::<Progress>::default();
        let wire = Wire::new(socket, progress.clone());
        let (sender, connection) = http1::Builder::new().handshake(TokioIo::new(wire)).await?;
        Ok(Box::new(Self { sender: Some(sender), connection: Some(connection), progress }))
    }

    /// Sends the request and awaits the head of the answer. Once nobody waits for that any more
    /// (`orphaned`), it waits in little memory.
    pub(super) async fn send(
        &mut self,
        request: Box<Request<SendBody>>,
        orphaned: impl Future<Output = ()>,
    ) -> hyper::Result<Response<Incoming>> {
        // With a body, hyper may still be sending it while nothing waits to be flushed.
        let stand_in = request.body().is_end_stream().then(|| request.method().clone());
        self.progress.flushed.store(false, Relaxed);
        self.progress.heard.store(false, Relaxed);
        let Some(sender) = &mut self.sender else { unreachable!("parked only while sending") };
        let mut answer = pin!(sender.try_send_request(*request));
        tokio::select! {
            biased;
            // Cancel-safe: the answer is awaited further below, or taken apart on purpose.
            answer = drive(&mut self.connection, answer.as_mut()) => {
                return answer.map_err(TrySendError::into_error);
            }
            () = orphaned, if stand_in.is_some() => {}
        }
        match (self.connection.take(), stand_in) {
            (Some(connection), Some(method)) if self.progress.flushed.load(Relaxed) => {
                // Boxed: few exchanges come here, and all would bear its size.
                Box::pin(self.wait_parked(connection, method)).await
            }
            (connection, _) => {
                self.connection = connection;
                let answer = drive(&mut self.connection, answer).await;
                answer.map_err(TrySendError::into_error)
            }
        }
    }

    async fn wait_parked(
        &mut self,
        connection: Driven,
        method: http::Method,
    ) -> hyper::Result<Response<Incoming>> {
        self.sender = None;
        let parts = connection.into_parts();
        let wire = parts.io.into_inner().park(parts.read_buf).await;
        let (mut sender, connection) = http1::Builder::new().handshake(TokioIo::new(wire)).await?;
        self.connection = Some(connection);
        let mut stand_in = Request::new(Received::Nothing.body());
        *stand_in.method_mut() = method;
        let answer = sender.try_send_request(stand_in);
        self.sender = Some(sender);
        drive(&mut self.connection, answer).await.map_err(TrySendError::into_error)
    }

    /// Awaits `part` of the answer.
    pub(crate) async fn drive<F: Future>(&mut self, part: F) -> F::Output {
        let mut part = pin!(part);
        // Small bodies come with the head, and then there is nothing to drive.
        if let Poll::Ready(output) = poll_fn(|cx| Poll::Ready(part.as_mut().poll(cx))).await {
            return output;
        }
        drive(&mut self.connection, part).await
    }

    /// The answer is read. Some backends answer before they have read the request: this sends the
    /// rest of it, until the connection is ready for another one, or closed.
    pub(crate) async fn settle(&mut self) {
        if let Some(sender) = &mut self.sender
            && !sender.is_ready()
        {
            // An error is a connection that is closed.
            let _ = drive(&mut self.connection, poll_fn(|cx| sender.poll_ready(cx))).await;
        }
    }

    /// Has any byte of an answer come?
    pub(super) fn has_heard(&self) -> bool {
        self.progress.heard.load(Relaxed)
    }

    pub(super) fn is_ready(&self) -> bool {
        self.connection.is_some() && self.sender.as_ref().is_some_and(SendRequest::is_ready)
    }
}

async fn drive<F: Future>(connection: &mut Option<Driven>, part: F) -> F::Output {
    let mut part = pin!(part);
    poll_fn(|cx| {
        // Its errors reach the part that is awaited.
        let polled = connection.as_mut().map(|connection| Pin::new(connection).poll(cx));
        if polled.is_some_and(|polled| polled.is_ready()) {
            *connection = None;
        }
        part.as_mut().poll(cx)
    })
    .await
}
