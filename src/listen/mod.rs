//! The sockets that clients connect to.

mod accept;
mod entry;
mod gate;
mod places;
pub(crate) mod proxy_protocol;
mod systemd;
mod tcp;
mod tls;
mod unix;

use std::{io, net::SocketAddr, path::PathBuf, sync::Arc};

use self::unix::SocketFile;
pub(crate) use self::{
    gate::Gate,
    places::{Inside, Places},
    systemd::Inherited,
};

/// A bound socket to listen at.
#[derive(Debug)]
struct Listener {
    /// As the log calls it; a port chosen by the system filled in.
    name: String,
    /// None for a Unix socket.
    address: Option<SocketAddr>,
    /// One for each worker.
    sockets: Vec<Bound>,
    /// Removed when the last worker has closed its socket.
    file: Option<Arc<SocketFile>>,
}

#[derive(Debug)]
enum Bound {
    Tcp(std::net::TcpListener),
    Unix(std::os::unix::net::UnixListener),
}

/// A place that cannot be listened at.
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
    /// Somebody listens at the socket file.
    #[error(
        "cannot listen on unix:{}: somebody listens there; stop that, or choose another path", .0.display()
    )]
    FileTaken(PathBuf),
    /// There is something else than a socket.
    #[error(
        "cannot listen on unix:{}: a file is there that is no socket; remove it, or choose another path", .0.display()
    )]
    NoSocket(PathBuf),
    /// The folder is missing or not ours to write.
    #[error(
        "cannot listen on unix:{}: {error}; the folder must exist and be writable for this user", .path.display()
    )]
    Folder {
        /// Where the socket was to be.
        path: PathBuf,
        /// What the system says.
        #[source]
        error: io::Error,
    },
    /// systemd was to have opened it.
    #[error(
        "cannot listen on systemd:{name}: no socket of this name was handed over (there: {there}); start this by a .socket unit with FileDescriptorName={name}"
    )]
    NotInherited {
        /// As the configuration has it.
        name: String,
        /// What was handed over.
        there: String,
    },
    /// Connections cannot be encrypted.
    #[error("listen.tls: {0}")]
    Encryption(#[from] tls::NoEncryption),
    /// Anything else.
    #[error("cannot listen on {0}: {1}")]
    Other(String, #[source] io::Error),
}

/// Connections that the kernel holds until they are accepted.
const BACKLOG: i32 = 4096;
