//! The life of one stream: a visit, and its answer handed to h2 as the client takes it.
//!
//! A stream that is reset is a client that leaves: its visit is dropped, and nothing else.

use std::{
    future::poll_fn,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
    time::{Duration, SystemTime},
};

use bytes::Bytes;
use h2::{Reason, RecvStream, SendStream, server::SendResponse};
use http::{
    HeaderValue, Method, Response, StatusCode,
    header::{CONTENT_LENGTH, DATE},
    response,
};
use http_body::{Body as _, Frame};
use tokio::{sync::oneshot, time::timeout};

use super::{duplex::StreamEnd, upload::Upload};
use crate::{
    connection::Stream,
    proxy::Proxy,
    reply::{CutShort, Reply},
    tunnel::{Duplex, Opened},
    visit::Carrier,
};

/// A request that has come, and the way back.
pub(super) struct Begun {
    pub request: http::Request<Upload>,
    pub respond: SendResponse<Bytes>,
    pub stream: Arc<Stream>,
    /// Where it is asked to become one.
    pub tunnel: Option<Box<Tunnel>>,
    /// `client.write_stall`.
    pub write_stall: Duration,
}

/// What a tunnel needs of a stream.
pub(super) struct Tunnel {
    pub from: RecvStream,
    /// To the exchange that waits for its client's end.
    pub to: oneshot::Sender<Box<dyn Duplex>>,
}

/// Why the answer did not come to its end.
enum Gone {
    /// The client has reset the stream, or the connection is gone.
    Reset,
    /// It opens no window.
    Stalled,
    /// The answer was cut short.
    Cut,
}

impl Begun {
    /// Serves the stream to its end.
    pub(super) async fn serve(self, proxy: Proxy) {
        let Self { request, mut respond, stream, tunnel, write_stall } = self;
        let to_head = request.method() == Method::HEAD;
        let carrier = Carrier::Stream(stream.clone());
        let early = poll_fn(|cx| Poll::Ready(poll_gone(respond.poll_reset(cx)))).await;
        if let Poll::Ready(reason) = early {
            // Reset before we looked at it: nothing is begun.
            stream.reset_early();
            stream.note(word(reason));
            return proxy.missed(request, carrier);
        }
        // Boxed: what streams to its client for long holds none of it.
        let visit = Box::pin(proxy.visit(request, carrier));
        // Where the client leaves, it is dropped within.
        let Ok(response) = answered(visit, &mut respond, &stream).await else { return };
        let (mut parts, mut reply) = response.into_parts();
        if let Some(tunnel) = tunnel {
            if parts.extensions.remove::<Opened>().is_some() {
                return tunnel.open(parts, &mut respond, stream);
            }
            if parts.status.is_success() {
                // To a CONNECT, that would say that there is a tunnel (RFC 9110, section 9.3.6).
                parts.status = StatusCode::BAD_GATEWAY;
                reply.goes_out_as(parts.status);
            }
        }
        let (head, ends) = head(parts, &reply, to_head, &stream);
        // An error here is a reset that came meanwhile.
        let Ok(mut way) = respond.send_response(head, ends) else { return reply.left() };
        if ends {
            return;
        }
        let Err(gone) = pass_on(&mut reply, &mut way, &stream, write_stall).await else { return };
        match gone {
            Gone::Reset => {}
            Gone::Stalled => way.send_reset(Reason::CANCEL),
            Gone::Cut => way.send_reset(Reason::INTERNAL_ERROR),
        }
        reply.left();
    }
}

impl Tunnel {
    fn open(self, head: response::Parts, respond: &mut SendResponse<Bytes>, stream: Arc<Stream>) {
        let head = complete(head, &stream);
        // An error here is a reset that came meanwhile.
        let Ok(to) = respond.send_response(Response::from_parts(head, ()), false) else { return };
        // Whoever has asked for it is gone: it is broken off.
        drop(self.to.send(Box::new(StreamEnd::new(self.from, to, stream))));
    }
}

/// The answer to the visit, unless the client leaves before.
async fn answered(
    mut visit: Pin<Box<impl Future<Output = Response<Reply>>>>,
    respond: &mut SendResponse<Bytes>,
    stream: &Stream,
) -> Result<Response<Reply>, ()> {
    poll_fn(|cx| {
        if let Poll::Ready(reason) = poll_gone(respond.poll_reset(cx)) {
            stream.reset_early();
            stream.note(word(reason));
            return Poll::Ready(Err(()));
        }
        let polled = visit.as_mut().poll(cx);
        for mut interim in stream.interims() {
            stream.keep_out_new(interim.headers_mut());
            // An error here is a reset, which is seen next.
            let _ = respond.send_informational(interim);
        }
        polled.map(Ok)
    })
    .await
}

fn head(
    mut parts: response::Parts,
    reply: &Reply,
    to_head: bool,
    stream: &Stream,
) -> (Response<()>, bool) {
    if let Some(len) = reply.size_hint().exact()
        && parts.status != StatusCode::NO_CONTENT
        && !parts.headers.contains_key(CONTENT_LENGTH)
    {
        parts.headers.insert(CONTENT_LENGTH, HeaderValue::from(len));
    }
    let ends = to_head || reply.is_end_stream();
    (Response::from_parts(complete(parts, stream), ()), ends)
}

/// What hyper sees to over HTTP/1.
fn complete(mut parts: response::Parts, stream: &Stream) -> response::Parts {
    let fields = &mut parts.headers;
    for value in fields.values_mut() {
        // h2's table of fields keeps values as long as the connection lives, and a value that is a
        // piece of what was read from the backend would keep all of that.
        if let Ok(copy) = HeaderValue::from_bytes(value.as_bytes()) {
            *value = copy;
        }
    }
    if !fields.contains_key(DATE)
        && let Ok(now) = HeaderValue::try_from(httpdate::fmt_http_date(SystemTime::now()))
    {
        fields.insert(DATE, now);
    }
    stream.keep_out_new(fields);
    parts
}

/// Hands the body on, as far as the client's windows go.
async fn pass_on(
    reply: &mut Reply,
    way: &mut SendStream<Bytes>,
    stream: &Stream,
    write_stall: Duration,
) -> Result<(), Gone> {
    loop {
        let Some(frame) = next(reply, way, stream).await? else {
            return end(way, Bytes::new());
        };
        let mut bytes = match frame.into_data() {
            Ok(bytes) => bytes,
            Err(other) => {
                let mut trailers = other.into_trailers().unwrap_or_default();
                stream.keep_out_new(&mut trailers);
                return way.send_trailers(trailers).map_err(|_| Gone::Reset);
            }
        };
        let last = reply.is_end_stream();
        while !bytes.is_empty() {
            way.reserve_capacity(bytes.len());
            let room = match timeout(write_stall, room(way, stream)).await {
                Ok(room) => room?,
                Err(_) => {
                    stream.note("client took no byte for client.write_stall");
                    return Err(Gone::Stalled);
                }
            };
            let part = bytes.split_to(room.min(bytes.len()));
            if last && bytes.is_empty() {
                return end(way, part);
            }
            way.send_data(part, false).map_err(|_| Gone::Reset)?;
        }
    }
}

fn end(way: &mut SendStream<Bytes>, part: Bytes) -> Result<(), Gone> {
    way.send_data(part, true).map_err(|_| Gone::Reset)
}

async fn next(
    reply: &mut Reply,
    way: &mut SendStream<Bytes>,
    stream: &Stream,
) -> Result<Option<Frame<Bytes>>, Gone> {
    poll_fn(|cx| {
        if let Poll::Ready(gone) = poll_left(way, stream, cx) {
            return Poll::Ready(Err(gone));
        }
        let polled = Pin::new(&mut *reply).poll_frame(cx);
        polled.map(|frame| frame.transpose().map_err(|_: CutShort| Gone::Cut))
    })
    .await
}

/// Bytes that the client, and h2's buffer, take now.
async fn room(way: &mut SendStream<Bytes>, stream: &Stream) -> Result<usize, Gone> {
    poll_fn(|cx| {
        if let Poll::Ready(gone) = poll_left(way, stream, cx) {
            return Poll::Ready(Err(gone));
        }
        match way.capacity() {
            0 => {}
            room => return Poll::Ready(Ok(room)),
        }
        match way.poll_capacity(cx) {
            Poll::Pending => Poll::Pending,
            Poll::Ready(Some(Ok(room))) => Poll::Ready(Ok(room)),
            Poll::Ready(_) => Poll::Ready(Err(Gone::Reset)),
        }
    })
    .await
}

fn poll_left(way: &mut SendStream<Bytes>, stream: &Stream, cx: &mut Context<'_>) -> Poll<Gone> {
    poll_gone(way.poll_reset(cx)).map(|reason| {
        stream.note(word(reason));
        Gone::Reset
    })
}

/// With the reason, where it is the stream alone that is gone.
fn poll_gone(polled: Poll<Result<Reason, h2::Error>>) -> Poll<Option<Reason>> {
    polled.map(Result::ok)
}

/// For the log. Some reasons can be the client's or h2's, which resets streams that break the
/// protocol.
fn word(reason: Option<Reason>) -> &'static str {
    match reason {
        None => "client closed the connection",
        Some(Reason::CANCEL) => "client reset the stream: CANCEL",
        Some(Reason::NO_ERROR) => "client reset the stream: NO_ERROR",
        Some(Reason::REFUSED_STREAM) => "client reset the stream: REFUSED_STREAM",
        Some(Reason::INTERNAL_ERROR) => "client reset the stream: INTERNAL_ERROR",
        Some(Reason::PROTOCOL_ERROR) => "the stream was reset: PROTOCOL_ERROR",
        Some(Reason::FLOW_CONTROL_ERROR) => "the stream was reset: FLOW_CONTROL_ERROR",
        Some(Reason::STREAM_CLOSED) => "the stream was reset: STREAM_CLOSED",
        Some(Reason::ENHANCE_YOUR_CALM) => "the stream was reset: ENHANCE_YOUR_CALM",
        Some(_) => "the stream was reset",
    }
}
