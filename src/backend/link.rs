//! One connection to the backend. Whoever awaits something of it drives it meanwhile: there is no
//! task of its own, and no wake-up between tasks.

use std::{
    future::{Future, poll_fn},
    pin::{Pin, pin},
    task::Poll,
};

use crate::{socket::Socket, spool::SendBody};
use http::{Request, Response};
use hyper::{
    body::Incoming,
    client::conn::{
        TrySendError,
        http1::{self, Connection, SendRequest},
    },
};
use hyper_util::rt::TokioIo;

#[derive(Debug)]
pub(crate) struct Link {
    sender: SendRequest<SendBody>,
    /// None once it is over: what it has not taken up is given back only when it is dropped.
    connection: Option<Connection<TokioIo<Socket>, SendBody>>,
}

impl Link {
    pub(super) async fn over(stream: Socket) -> hyper::Result<Box<Self>> {
        let (sender, connection) = http1::Builder::new().handshake(TokioIo::new(stream)).await?;
        Ok(Box::new(Self { sender, connection: Some(connection) }))
    }

    pub(super) async fn send(
        &mut self,
        request: Request<SendBody>,
    ) -> Result<Response<Incoming>, TrySendError<Request<SendBody>>> {
        let answer = self.sender.try_send_request(request);
        drive(&mut self.connection, answer).await
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

    /// Can it serve another request? Polled once, so that a close which has come is seen.
    pub(super) async fn is_reusable(&mut self) -> bool {
        if self.connection.is_some() && !self.sender.is_ready() {
            self.drive(poll_fn(|_| Poll::Ready(()))).await;
        }
        self.connection.is_some() && self.sender.is_ready()
    }
}

async fn drive<F: Future>(
    connection: &mut Option<Connection<TokioIo<Socket>, SendBody>>,
    part: F,
) -> F::Output {
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
