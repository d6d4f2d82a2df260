//! Accepting: from the kernel's queue to a connection that is served.

use std::{
    future::poll_fn,
    io,
    net::{self, SocketAddr},
    sync::Arc,
    task::{Context, Poll, ready},
};

use arc_swap::{ArcSwap, Cache};
use socket2::SockRef;
use tokio::net::{TcpListener, UnixListener};
use tokio_util::sync::CancellationToken;

use super::{Bound, entry::Entry, gate::Gate, unix::SocketFile};
use crate::{
    admission::room::Ticket,
    client::Hop,
    front::{self, Arrival, Seat, Transport},
    headers::Scheme,
    proxy::Proxy,
    socket::Socket,
    tasks::{Draining, Tasks},
};

/// A listening socket at a worker.
#[derive(Debug)]
pub(super) struct Door {
    listener: Accepting,
    entry: Arc<ArcSwap<Entry>>,
    gate: Arc<Gate>,
    /// Kept until the socket is closed.
    _file: Option<Arc<SocketFile>>,
}

#[derive(Debug)]
enum Accepting {
    Tcp(TcpListener),
    Unix(UnixListener),
}

/// Accepts until `stop`, which comes with the drain or before it; what the kernel holds by then is
/// accepted too.
pub(super) async fn accept(door: Arc<Door>, proxy: Proxy, tasks: Tasks, stop: CancellationToken) {
    let bell = tasks.bell();
    // Looked at for every connection, and renewed by a reload.
    let mut entry = Cache::new(door.entry.clone());
    loop {
        let accepted = tokio::select! {
            // Cancel-safe: a connection that was not returned is still the kernel's.
            accepted = poll_fn(|cx| door.poll_accept(cx)) => accepted,
            () = stop.cancelled() => break,
        };
        match accepted {
            Ok((socket, hop)) => {
                let permit = door.gate.pass().await;
                let seat = (permit, bell.draining());
                serve(entry.load(), socket, hop, seat, &proxy, &tasks);
            }
            Err(error) if is_of_one_connection(&error) => {}
            Err(error) => door.gate.pause(error).await,
        }
    }
    // Closing the socket would reset those that are still in its queue.
    while let Some(Ok((socket, hop))) = poll_fn(|cx| match door.poll_accept(cx) {
        Poll::Ready(accepted) => Poll::Ready(Some(accepted)),
        Poll::Pending => Poll::Ready(None),
    })
    .await
    {
        let permit = door.gate.pass().await;
        let seat = (permit, bell.draining_late());
        serve(entry.load(), socket, hop, seat, &proxy, &tasks);
    }
}

impl Door {
    /// Of the present worker.
    pub(super) fn open(
        socket: Bound,
        entry: Arc<ArcSwap<Entry>>,
        gate: Arc<Gate>,
        file: Option<Arc<SocketFile>>,
    ) -> io::Result<Self> {
        let listener = match socket {
            Bound::Tcp(socket) => {
                bequeath(&socket)?;
                Accepting::Tcp(TcpListener::from_std(socket)?)
            }
            Bound::Unix(socket) => Accepting::Unix(UnixListener::from_std(socket)?),
        };
        Ok(Self { listener, entry, gate, _file: file })
    }

    /// From here on, sockets of ours may be bound to the same port.
    pub(super) fn let_others_in(&self) {
        if let Accepting::Tcp(listener) = &self.listener {
            // Where it fails, they find the port taken.
            let _ = SockRef::from(listener).set_reuse_port(true);
        }
    }

    fn poll_accept(&self, cx: &mut Context<'_>) -> Poll<io::Result<(Socket, Hop)>> {
        let (socket, peer) = match &self.listener {
            Accepting::Tcp(listener) => {
                let (stream, peer) = ready!(listener.poll_accept(cx))?;
                // A listener for both kinds sees IPv4 in the clothes of IPv6.
                let peer = SocketAddr::new(peer.ip().to_canonical(), peer.port());
                (Socket::Tcp(stream), Some(peer))
            }
            Accepting::Unix(listener) => {
                let (stream, _) = ready!(listener.poll_accept(cx))?;
                (Socket::Unix(stream), None)
            }
        };
        Poll::Ready(Ok((socket, Hop { address: peer, scheme: Scheme::Http })))
    }
}

/// What everyone who is accepted there has from its listener.
fn bequeath(listener: &net::TcpListener) -> io::Result<()> {
    let socket = SockRef::from(listener);
    // Small answers must not wait for acknowledgements.
    socket.set_tcp_nodelay(true)?;
    // Nor is a request acknowledged before its answer does so, and that is a segment less: where
    // more of it is to come, `ClientIo` says so. A system without this does without.
    let _ = socket.set_tcp_quickack(false);
    // Within the machine no line is shared and nothing gets lost, and where the system's way is to pace what is
    // sent (BBR), by a timer for each piece, that takes half the time of a large answer. Every system has this one.
    if listener.local_addr()?.ip().to_canonical().is_loopback() {
        let _ = socket.set_tcp_congestion(b"reno");
    }
    Ok(())
}

fn serve(
    entry: &Arc<Entry>,
    socket: Socket,
    hop: Hop,
    (permit, draining): (Ticket, Draining),
    proxy: &Proxy,
    tasks: &Tasks,
) {
    if !entry.is_open() {
        tasks.connection(entry.clone().serve(socket, hop, permit, proxy.clone(), draining));
        return;
    }
    let transport = Transport::Plain(socket);
    match proxy.seat(hop) {
        Ok(seat) => {
            let seat = Seat { client: seat, house: permit };
            let arrival = Arrival { transport, hop, seat };
            tasks.connection(front::serve(arrival, proxy.clone(), draining));
        }
        Err(refusal) => {
            tasks.connection(front::refuse(transport, hop, permit, proxy.clone(), refusal));
        }
    }
}

/// A client that was gone before it was accepted.
fn is_of_one_connection(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::ConnectionAborted
            | io::ErrorKind::ConnectionReset
            | io::ErrorKind::Interrupted
    )
}

#[cfg(test)]
mod tests {
    use std::net::{Ipv4Addr, TcpListener, TcpStream};

    use socket2::SockRef;

    use super::bequeath;

    /// How is sent to a client of the listener at this address.
    fn congestion_control(address: Ipv4Addr) -> Vec<u8> {
        let listener = TcpListener::bind((address, 0)).expect("a port");
        bequeath(&listener).expect("options");
        let port = listener.local_addr().expect("an address").port();
        let _client = TcpStream::connect((Ipv4Addr::LOCALHOST, port)).expect("connected");
        let (accepted, _) = listener.accept().expect("accepted");
        SockRef::from(&accepted).tcp_congestion().expect("a name")
    }

    #[test]
    fn what_is_sent_within_the_machine_is_not_paced() {
        assert!(congestion_control(Ipv4Addr::LOCALHOST).starts_with(b"reno"));
        let systems = std::fs::read("/proc/sys/net/ipv4/tcp_congestion_control").expect("Linux");
        assert!(congestion_control(Ipv4Addr::UNSPECIFIED).starts_with(systems.trim_ascii()));
    }
}
