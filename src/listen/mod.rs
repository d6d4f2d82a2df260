//! The sockets that clients connect to.

mod accept;

use std::{
    io,
    net::{SocketAddr, TcpListener},
};

use socket2::{Domain, Protocol, Socket, Type};

pub(crate) use self::accept::accept;

/// Connections that the kernel holds until they are accepted.
const BACKLOG: i32 = 4096;

/// An address that cannot be listened on.
#[derive(Debug, thiserror::Error)]
pub enum NoListener {
    /// Somebody listens there already.
    #[error(
        "cannot listen on {0}: the address is taken; stop what listens there, or choose another port"
    )]
    Taken(SocketAddr),
    /// Ports below 1024 need a privilege.
    #[error(
        "cannot listen on {0}: not permitted; choose a port from 1024 on, or grant CAP_NET_BIND_SERVICE"
    )]
    Forbidden(SocketAddr),
    /// Anything else.
    #[error("cannot listen on {0}: {1}")]
    Other(SocketAddr, #[source] io::Error),
}

/// So many listeners on the same address; port 0 is chosen once, for all.
///
/// # Errors
/// Where the address is taken or is none of this machine's.
pub(crate) fn bind(address: SocketAddr, count: usize) -> Result<Vec<TcpListener>, NoListener> {
    let told = |error: io::Error| match error.kind() {
        io::ErrorKind::AddrInUse => NoListener::Taken(address),
        io::ErrorKind::PermissionDenied => NoListener::Forbidden(address),
        _ => NoListener::Other(address, error),
    };
    // Sharing a port would also share it with a stranger who does the same. So the first one takes
    // it alone, and only then lets the others in.
    let first = socket(address, false).map_err(told)?;
    let address = first.local_addr().map_err(told)?;
    let address =
        address.as_socket().ok_or_else(|| told(io::ErrorKind::AddrNotAvailable.into()))?;
    let mut sockets = vec![first];
    if count > 1 {
        sockets[0].set_reuse_port(true).map_err(told)?;
        for _ in 1..count {
            sockets.push(socket(address, true).map_err(told)?);
        }
    }
    for socket in &sockets {
        socket.listen(BACKLOG).map_err(told)?;
    }
    Ok(sockets.into_iter().map(Into::into).collect())
}

fn socket(address: SocketAddr, shared: bool) -> io::Result<Socket> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
    // Connections of a former process that linger on must not keep this one from starting.
    socket.set_reuse_address(true)?;
    socket.set_nonblocking(true)?;
    if shared {
        socket.set_reuse_port(true)?;
    }
    socket.bind(&address.into())?;
    Ok(socket)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn workers_share_a_port_and_strangers_do_not() {
        let ours = bind("127.0.0.1:0".parse().expect("an address"), 3).expect("a port");
        let address = ours[0].local_addr().expect("an address");
        assert!(ours.iter().all(|one| one.local_addr().expect("an address") == address));
        for count in [1, 2] {
            assert!(
                matches!(bind(address, count), Err(NoListener::Taken(taken)) if taken == address)
            );
        }
    }
}
