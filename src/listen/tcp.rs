//! Listening at TCP ports.

use std::{
    io,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
};

use socket2::{Domain, Protocol, Socket, Type};

use super::{BACKLOG, Bound, Listener, NoListener};
use crate::config::{Address, Listen};

/// Who else listens, or will.
#[derive(Debug, Clone, Copy)]
pub(super) struct Neighbours<'a> {
    /// All places that there are to be.
    pub all: &'a [Listen],
    /// Ports at which we listen, and soon no longer: they can be shared until then.
    pub leaving: &'a [u16],
}

/// All that a name stands for, as far as this machine has it: "localhost" stands for `::1` also
/// where there is no IPv6, and there `[::]` is IPv4 alone. Port 0 is chosen once, for all.
pub(super) fn bind(
    addresses: &[SocketAddr],
    neighbours: Neighbours<'_>,
    workers: usize,
) -> Result<Vec<Listener>, NoListener> {
    let mut bound: Vec<Listener> = Vec::new();
    let mut missing = None;
    for address in addresses {
        let mut address = *address;
        if let Some(chosen) = bound.first().and_then(|first| first.address) {
            address.set_port(chosen.port());
        }
        let shared = neighbours.leaving.contains(&address.port());
        let six_only = is_six_only(address, neighbours.all);
        let listener = match bind_one(address, six_only, shared, workers) {
            Err(NoListener::Other(_, error))
                if is_not_here(&error) && address.ip() == Ipv6Addr::UNSPECIFIED && !six_only =>
            {
                address.set_ip(Ipv4Addr::UNSPECIFIED.into());
                bind_one(address, false, shared, workers)
            }
            tried => tried,
        };
        match listener {
            Ok(listener) => bound.push(listener),
            Err(NoListener::Other(name, error)) if is_not_here(&error) => {
                missing = Some(NoListener::Other(name, error));
            }
            Err(error) => return Err(error),
        }
    }
    match missing {
        Some(missing) if bound.is_empty() => Err(missing),
        _ => Ok(bound),
    }
}

/// So many sockets at the same address. `shared`: there are others of ours at its port.
fn bind_one(
    address: SocketAddr,
    six_only: bool,
    shared: bool,
    count: usize,
) -> Result<Listener, NoListener> {
    let told = |error: io::Error| match error.kind() {
        io::ErrorKind::AddrInUse => NoListener::Taken(address),
        io::ErrorKind::PermissionDenied => NoListener::Forbidden(address),
        _ => NoListener::Other(address.to_string(), error),
    };
    // Sharing a port would also share it with a stranger who does the same. So the first one takes
    // it alone, and only then lets the others in.
    let first = socket(address, six_only, shared).map_err(told)?;
    let address = first.local_addr().map_err(told)?;
    let address =
        address.as_socket().ok_or_else(|| told(io::ErrorKind::AddrNotAvailable.into()))?;
    let mut sockets = vec![first];
    if count > 1 {
        sockets[0].set_reuse_port(true).map_err(told)?;
        for _ in 1..count {
            sockets.push(socket(address, six_only, true).map_err(told)?);
        }
    }
    for socket in &sockets {
        socket.listen(BACKLOG).map_err(told)?;
    }
    Ok(Listener {
        name: address.to_string(),
        address: Some(address),
        sockets: sockets.into_iter().map(|socket| Bound::Tcp(socket.into())).collect(),
        file: None,
    })
}

fn socket(address: SocketAddr, six_only: bool, shared: bool) -> io::Result<Socket> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
    // Connections of a former process that linger on must not keep this one from starting.
    socket.set_reuse_address(true)?;
    socket.set_nonblocking(true)?;
    if address.is_ipv6() {
        // Whatever the system's default (`net.ipv6.bindv6only`).
        socket.set_only_v6(six_only)?;
    }
    if shared {
        socket.set_reuse_port(true)?;
    }
    socket.bind(&address.into())?;
    Ok(socket)
}

/// `[::]` is IPv4 too, unless that has a listener of its own at the same port.
fn is_six_only(address: SocketAddr, all: &[Listen]) -> bool {
    let four = SocketAddr::new(IpAddr::V4(Ipv4Addr::UNSPECIFIED), address.port());
    let has = |place: &Listen| matches!(&place.address, Address::Tcp(own) if own.contains(&four));
    address.ip() == IpAddr::V6(Ipv6Addr::UNSPECIFIED) && all.iter().any(has)
}

fn is_not_here(error: &io::Error) -> bool {
    error.kind() == io::ErrorKind::AddrNotAvailable
        || error.raw_os_error() == Some(rustix::io::Errno::AFNOSUPPORT.raw_os_error())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn workers_share_a_port_and_strangers_do_not() {
        let any = "127.0.0.1:0".parse().expect("an address");
        let ours = bind_one(any, false, false, 3).expect("a port");
        let address = ours.address.expect("an address");
        assert_eq!(ours.sockets.len(), 3);
        for socket in &ours.sockets {
            let Bound::Tcp(socket) = socket else { panic!("no TCP") };
            assert_eq!(socket.local_addr().expect("an address"), address);
        }
        for count in [1, 2] {
            assert!(
                matches!(bind_one(address, false, false, count), Err(NoListener::Taken(taken)) if taken == address)
            );
        }
    }

    #[test]
    fn an_address_that_this_machine_lacks_is_passed_over_where_a_name_has_others() {
        let address = |text: &str| text.parse().expect("an address");
        // Of RFC 5737: nobody has it.
        let elsewhere: SocketAddr = address("192.0.2.1:0");
        let alone = Neighbours { all: &[], leaving: &[] };
        let ours = bind(&[elsewhere, address("127.0.0.1:0")], alone, 1).expect("a port");
        assert_eq!(ours.len(), 1);
        assert!(matches!(bind(&[elsewhere], alone, 1), Err(NoListener::Other(..))));
    }
}
