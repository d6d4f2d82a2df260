//! One connection to the backend. Whoever awaits something of it drives it meanwhile: there is no
//! task of its own, and no wake-up between tasks.

use std::{
    future::{Future, poll_fn},
    pin::{Pin, pin},
    sync::{Arc, atomic::Ordering::Relaxed},
    task::{Context, Poll, Waker},
    time::Duration,
};

use http::{Request, Response, StatusCode};
use hyper::{
    body::{Body as _, Incoming},
    client::conn::{
        TrySendError,
        http1::{self, Connection, Parts, SendRequest},
    },
};
use hyper_util::rt::TokioIo;
use tokio::time::{Instant, timeout};

use super::{
    Answer, Switched,
    driver::Driver,
    wire::{Progress, Wire},
};
use crate::{
    socket::Socket,
    spool::{Received, SendBody},
};

type Driven = Connection<TokioIo<Wire>, SendBody>;
type Answered = Result<Response<Incoming>, TrySendError<Request<SendBody>>>;
type Unsent = Box<Request<SendBody>>;

#[derive(Debug)]
pub(crate) struct Link {
    /// None while parked: it holds a block of the channel to the connection.
    sender: Option<SendRequest<SendBody>>,
    /// None once it is over: what it has not taken up is given back only when it is dropped.
    connection: Option<Driven>,
    driver: Driver,
    progress: Arc<Progress>,
    /// The server that it leads to.
    pub(super) server: u64,
    /// It has served another exchange before.
    pub(super) was_kept: bool,
    /// When its present exchange got it.
    pub(crate) since: Instant,
}

/// What came of a request.
pub(super) enum Came {
    Answer(Answer),
    /// The connection has left HTTP.
    Switched(Box<Switched>),
}

/// Why no head of an answer came, and how far it had got.
#[derive(Debug)]
pub(super) struct Lost {
    pub error: hyper::Error,
    /// Bytes of an answer had come.
    pub heard: bool,
    /// Bytes of the request had left.
    pub sent: bool,
    /// The request, where hyper had not taken it up.
    pub unsent: Option<Unsent>,
}

impl Link {
    pub(super) async fn over(socket: Socket, server: u64) -> hyper::Result<Box<Self>> {
        let progress = Arc::<Progress>::default();
        let driver = Driver::new();
        let wire = Wire::new(socket, progress.clone(), driver.news());
        let (sender, connection) = http1::Builder::new().handshake(TokioIo::new(wire)).await?;
        Ok(Box::new(Self {
            sender: Some(sender),
            connection: Some(connection),
            driver,
            progress,
            server,
            was_kept: false,
            since: Instant::now(),
        }))
    }

    pub(super) fn progress(&self) -> &Arc<Progress> {
        &self.progress
    }

    /// Sends the request and awaits the head of the answer. Once nobody waits for that any more
    /// (`orphaned`), it waits in little memory. Interim answers that come before it are `tell`ed.
    pub(super) fn send(
        mut self: Box<Self>,
        request: Request<SendBody>,
        upgrades: bool,
        orphaned: impl Future<Output = ()>,
        tell: impl Fn(Response<()>),
    ) -> impl Future<Output = Result<Came, Lost>> {
        // With a body, hyper may still be sending it while nothing waits to be flushed.
        let stand_in = request.body().is_end_stream().then(|| request.method().clone());
        self.progress.flushed.store(false, Relaxed);
        self.progress.heard.store(false, Relaxed);
        self.progress.sent.store(false, Relaxed);
        let Some(sender) = &mut self.sender else { unreachable!("parked only while sending") };
        // Boxed: it has room for the request twice, and would be moved with that.
        let answer = Box::pin(sender.try_send_request(request));
        async move {
            if upgrades {
                // Boxed: few requests ask for that.
                return Box::pin(self.switch(answer, tell)).await;
            }
            match self.answer(answer, stand_in, orphaned, tell).await {
                Ok(response) => Ok(Came::Answer(Answer { response, link: self })),
                Err(lost) => Err(self.lost(lost)),
            }
        }
    }

    /// The answer to a request that asks for another protocol. Where the backend switches, hyper has
    /// to let go of the connection.
    async fn switch(
        mut self: Box<Self>,
        mut answer: Pin<Box<impl Future<Output = Answered>>>,
        tell: impl Fn(Response<()>),
    ) -> Result<Came, Lost> {
        let Some(mut connection) = self.connection.take() else { unreachable!("a new one") };
        let mut is_over = false;
        let answered = poll_fn(|cx| {
            // Its errors reach the answer.
            is_over = is_over || Pin::new(&mut connection).poll(cx).is_ready();
            self.progress.tell(&tell);
            answer.as_mut().poll(cx)
        });
        let response = match answered.await {
            Ok(response) => response,
            Err(error) => return Err(self.lost(recover(error))),
        };
        if response.status() != StatusCode::SWITCHING_PROTOCOLS {
            self.connection = Some(connection).filter(|_| !is_over);
            return Ok(Came::Answer(Answer { response, link: self }));
        }
        if !is_over {
            // Not all of the request is out. An error is found again by whoever uses the socket.
            let _ = (&mut connection).await;
        }
        let Parts { io, read_buf, .. } = connection.into_parts();
        let wire = io.into_inner().resume(read_buf);
        Ok(Came::Switched(Box::new(Switched { head: response.into_parts().0, wire })))
    }

    /// No answer has come, for this reason.
    fn lost(&self, (error, unsent): (hyper::Error, Option<Unsent>)) -> Lost {
        let (heard, sent) = (&self.progress.heard, &self.progress.sent);
        Lost { error, heard: heard.load(Relaxed), sent: sent.load(Relaxed), unsent }
    }

    async fn answer(
        &mut self,
        mut answer: Pin<Box<impl Future<Output = Answered>>>,
        stand_in: Option<http::Method>,
        orphaned: impl Future<Output = ()>,
        tell: impl Fn(Response<()>),
    ) -> Result<Response<Incoming>, (hyper::Error, Option<Unsent>)> {
        {
            let mut driven = drive(&mut self.connection, &self.driver, answer.as_mut());
            let told = poll_fn(|cx| {
                let polled = Pin::new(&mut driven).poll(cx);
                // Before the answer that they came before.
                self.progress.tell(&tell);
                polled
            });
            tokio::select! {
                biased;
                // Cancel-safe: the answer is awaited further below, or taken apart on purpose.
                answer = told => return answer.map_err(recover),
                () = orphaned, if stand_in.is_some() => {}
            }
        }
        match (self.connection.take(), stand_in) {
            (Some(connection), Some(method)) if self.progress.flushed.load(Relaxed) => {
                // Boxed: few exchanges come here, and all would bear its size.
                Box::pin(self.wait_parked(connection, method)).await.map_err(|error| (error, None))
            }
            (connection, _) => {
                self.connection = connection;
                let answer = drive(&mut self.connection, &self.driver, answer).await;
                answer.map_err(recover)
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
        let answer = pin!(sender.try_send_request(stand_in));
        self.sender = Some(sender);
        drive(&mut self.connection, &self.driver, answer).await.map_err(TrySendError::into_error)
    }

    /// `part` of the answer where it is there already, as small bodies are that come with the head.
    pub(crate) fn at_once<F: Future>(part: F) -> Poll<F::Output> {
        pin!(part).poll(&mut unwoken())
    }

    /// Awaits `part` of the answer.
    pub(crate) async fn drive<F: Future>(&mut self, part: F) -> F::Output {
        let mut part = pin!(part);
        match Self::at_once(part.as_mut()) {
            Poll::Ready(output) => output,
            Poll::Pending => drive(&mut self.connection, &self.driver, part).await,
        }
    }

    /// The answer is read. Some backends answer before they have read the request: this sends the
    /// rest of it, until the connection is ready for another one, or closed.
    pub(crate) async fn settle(&mut self) {
        if let Some(sender) = &mut self.sender
            && !sender.is_ready()
        {
            // An error is a connection that is closed.
            let _ = drive(&mut self.connection, &self.driver, poll_fn(|cx| sender.poll_ready(cx)))
                .await;
        }
    }

    /// Does the other side close it within this time, unasked?
    pub(super) async fn closes_within(&mut self, time: Duration) -> bool {
        let closed = poll_fn(|cx| {
            self.driver.poll(cx, |cx| match &mut self.connection {
                Some(connection) => Pin::new(connection).poll(cx).map(drop),
                None => Poll::Ready(()),
            })
        });
        let is_closed = timeout(time, closed).await.is_ok();
        if is_closed {
            self.connection = None;
        }
        is_closed
    }

    pub(super) fn is_ready(&self) -> bool {
        self.connection.is_some() && self.sender.as_ref().is_some_and(SendRequest::is_ready)
    }
}

/// Polls the connection, then `part`, which only the connection can make ready: nobody needs to be
/// woken for it, least of all the task that is being polled.
fn drive<F: Future + Unpin>(
    connection: &mut Option<Driven>,
    driver: &Driver,
    mut part: F,
) -> impl Future<Output = F::Output> + Unpin {
    // No `async fn`, which would hold the part twice.
    poll_fn(move |cx| {
        driver.poll(cx, |cx| {
            // Its errors reach the part that is awaited.
            let polled = connection.as_mut().map(|connection| Pin::new(connection).poll(cx));
            if polled.is_some_and(|polled| polled.is_ready()) {
                *connection = None;
            }
            Pin::new(&mut part).poll(&mut unwoken())
        })
    })
}

/// What hyper gives back of a request that it could not send.
fn recover(mut error: TrySendError<Request<SendBody>>) -> (hyper::Error, Option<Unsent>) {
    let unsent = error.take_message().map(Box::new);
    (error.into_error(), unsent)
}

fn unwoken() -> Context<'static> {
    Context::from_waker(Waker::noop())
}
