//! What comes before HTTP on a connection.

use std::{future::Future, io, pin::Pin, sync::Arc};

use tokio::{
    io::AsyncReadExt as _,
    time::{error::Elapsed, timeout},
};

use super::{
    proxy_protocol::{self, Malformed, Source},
    tls::{Encryption, NoEncryption},
};
use crate::{
    admission::{per_client::ClientSeat, room::Ticket},
    client::Hop,
    config::{Listen, Trusted},
    front::{self, Arrival, Seat, Transport},
    headers::Scheme,
    proxy::Proxy,
    refusal::Refusal,
    socket::Socket,
    tasks::{Draining, LATE},
};

/// What a listener asks of who connects.
#[derive(Debug)]
pub(super) struct Entry {
    /// Who is to say whose connections it passes on, where that is asked for.
    pub(super) proxies: Option<Trusted>,
    pub(super) encryption: Option<Arc<Encryption>>,
}

/// Who is not served.
#[derive(Debug, thiserror::Error)]
enum Unwelcome {
    /// It can be told so in plain HTTP.
    #[error("refused")]
    Refused(Box<Refused>),
    /// It would not understand.
    #[error("closed")]
    Closed(Hop, Refusal),
    /// It is none of `proxy_protocol_from`.
    #[error("it is not in listen.proxy_protocol_from")]
    Stranger,
    #[error(transparent)]
    Header(#[from] Malformed),
    /// The connection has ended, or its handshake has failed.
    #[error(transparent)]
    Lost(#[from] io::Error),
}

/// A connection that is to be told why.
#[derive(Debug)]
struct Refused {
    socket: Socket,
    hop: Hop,
    house: Ticket,
    refusal: Refusal,
}

impl Entry {
    /// `name` is the listener's.
    pub(super) fn of(listen: &Listen, name: &str) -> Result<Arc<Self>, NoEncryption> {
        Ok(Self::with(listen, Encryption::of(listen, name)?))
    }

    /// As `next` has it, where this is that of `before`: what encrypts stays, if it is to be the same.
    pub(super) fn reloaded(
        &self,
        before: &Listen,
        next: &Listen,
        name: &str,
    ) -> Result<Arc<Self>, NoEncryption> {
        let of =
            |listen: &Listen| (listen.tls.clone(), listen.client_ca.clone(), listen.client_auth);
        match of(before) == of(next) {
            true => Ok(Self::with(next, self.encryption.clone())),
            false => Self::of(next, name),
        }
    }

    fn with(listen: &Listen, encryption: Option<Arc<Encryption>>) -> Arc<Self> {
        let proxies = listen.proxy_protocol.then(|| listen.proxy_protocol_from.clone());
        Arc::new(Self { proxies, encryption })
    }

    /// Can HTTP begin at once?
    pub(super) fn is_open(&self) -> bool {
        self.proxies.is_none() && self.encryption.is_none()
    }

    /// Serves the connection once it has done what is asked of it.
    pub(super) fn serve(
        self: Arc<Self>,
        socket: Socket,
        hop: Hop,
        permit: Ticket,
        proxy: Proxy,
        mut draining: Draining,
    ) -> impl Future<Output = ()> {
        let bound = proxy.client_bounds().handshake_timeout;
        // Boxed, and not within: it is over soon, and the connection may last.
        let entering = Box::pin(timeout(bound, self.enter(socket, hop, permit, proxy.clone())));
        async move {
            let serving = match entered(entering, &mut draining).await {
                Ok(Ok(arrival)) => front::serve(arrival, proxy, draining),
                // Boxed: those who are welcome would bear its size.
                Ok(Err(unwelcome)) => {
                    return Box::pin(turn_away(unwelcome, hop, proxy)).await;
                }
                Err(_) => {
                    let client = hop.name();
                    tracing::debug!(%client, "nothing came within client.handshake_timeout");
                    return;
                }
            };
            serving.await;
        }
    }

    async fn enter(
        self: Arc<Self>,
        mut socket: Socket,
        mut hop: Hop,
        permit: Ticket,
        proxy: Proxy,
    ) -> Result<Arrival, Unwelcome> {
        // What comes before HTTP comes in pieces.
        socket.acknowledge();
        if let Some(proxies) = &self.proxies {
            if !proxies.contains(hop.ip()) {
                return Err(Unwelcome::Stranger);
            }
            match header(&mut socket).await? {
                Source::Peer => {}
                Source::Address(address) => hop.address = Some(address),
                Source::Unix => hop.address = None,
            }
        }
        let seat = proxy.seat(hop);
        let Some(encryption) = &self.encryption else {
            return match seat {
                Ok(seat) => Ok(arrival(Transport::Plain(socket), hop, seat, permit)),
                Err(refusal) => Err(refused(socket, hop, permit, refusal)),
            };
        };
        // Before the handshake, which costs more than all else.
        let seat = seat.map_err(|refusal| Unwelcome::Closed(hop, refusal))?;
        let mut first = [0];
        if socket.peek(&mut first, 0).await? == 1 && is_http(first[0]) {
            return Err(refused(socket, hop, permit, Refusal::NotEncrypted));
        }
        let stream = encryption.acceptor().accept(socket).await?;
        let hop = Hop { scheme: Scheme::Https, ..hop };
        Ok(arrival(Transport::Tls(Box::new(stream)), hop, seat, permit))
    }
}

/// What comes of it: once `draining` is over, it has little time left.
async fn entered<T>(
    mut entering: Pin<Box<impl Future<Output = Result<T, Elapsed>>>>,
    draining: &mut Draining,
) -> Result<T, Elapsed> {
    tokio::select! {
        // Cancel-safe: it goes on below.
        entered = entering.as_mut() => entered,
        () = draining => {
            Box::pin(timeout(LATE, entering.as_mut())).await.and_then(|entered| entered)
        }
    }
}

fn arrival(transport: Transport, hop: Hop, seat: Option<ClientSeat>, permit: Ticket) -> Arrival {
    Arrival { transport, hop, seat: Seat { client: seat, house: permit } }
}

fn refused(socket: Socket, hop: Hop, house: Ticket, refusal: Refusal) -> Unwelcome {
    Unwelcome::Refused(Box::new(Refused { socket, hop, house, refusal }))
}

async fn turn_away(unwelcome: Unwelcome, hop: Hop, proxy: Proxy) {
    match unwelcome {
        Unwelcome::Refused(refused) => {
            let Refused { socket, hop, house, refusal } = *refused;
            front::refuse(Transport::Plain(socket), hop, house, proxy, refusal).await;
        }
        Unwelcome::Closed(hop, refusal) => front::turn_away(hop, &proxy, &refusal),
        Unwelcome::Stranger => {
            tracing::warn!(peer = %hop.name(), "closed: it is not in listen.proxy_protocol_from");
        }
        Unwelcome::Header(_) => {
            tracing::warn!(peer = %hop.name(), error = %unwelcome, "no PROXY header; closed");
        }
        // The user has asked for certificates, and looks for who is turned away.
        Unwelcome::Lost(error) if is_about_certificate(&error) => {
            tracing::warn!(client = %hop.name(), %error, "no handshake: listen.client_ca");
        }
        Unwelcome::Lost(error) => tracing::debug!(client = %hop.name(), %error, "no handshake"),
    }
}

/// Is the client's certificate missing, or not to be trusted?
fn is_about_certificate(error: &io::Error) -> bool {
    let cause = error.get_ref().and_then(|cause| cause.downcast_ref::<rustls::Error>());
    matches!(
        cause,
        Some(rustls::Error::NoCertificatesPresented | rustls::Error::InvalidCertificate(_))
    )
}

/// Takes the PROXY header, and no byte more: what follows may be a handshake.
async fn header(socket: &mut Socket) -> Result<Source, Unwelcome> {
    let mut room = vec![0; proxy_protocol::LONGEST];
    let mut seen = 0;
    loop {
        let len = socket.peek(&mut room, seen).await?;
        if len <= seen {
            return Err(io::Error::from(io::ErrorKind::UnexpectedEof).into());
        }
        seen = len;
        if let Some(header) = proxy_protocol::parse(&room[..seen])? {
            // All there already, so this does not wait.
            socket.read_exact(&mut room[..header.len]).await?;
            return Ok(header.source);
        }
    }
}

/// A method begins so, while a handshake begins with 22.
fn is_http(first: u8) -> bool {
    first.is_ascii_alphabetic()
}
