//! The sockets that clients connect to.

mod accept;
mod entry;
mod gate;
pub(crate) mod proxy_protocol;
mod systemd;
mod tcp;
mod tls;
mod unix;

use std::{io, net::SocketAddr, path::PathBuf, sync::Arc};

use tokio::runtime::Handle;
use tokio_util::sync::CancellationToken;

use self::{accept::Door, entry::Entry, tls::Encryption, unix::SocketFile};
pub(crate) use self::{gate::Gate, systemd::Inherited};
use crate::{
    config::{Address, Listen, Trusted},
    proxy::Proxy,
    tasks::Tasks,
};

/// A bound place to listen at.
#[derive(Debug)]
pub(crate) struct Listener {
    /// As the log calls it; a port chosen by the system filled in.
    name: String,
    /// None for a Unix socket.
    address: Option<SocketAddr>,
    /// One for each worker.
    sockets: Vec<Bound>,
    proxies: Option<Trusted>,
    encryption: Option<Arc<Encryption>>,
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

/// Binds all places, for so many workers.
///
/// # Errors
/// Where one is taken, or is none of this machine's.
pub(crate) fn bind(
    places: &[Listen],
    mut inherited: Inherited,
    workers: usize,
) -> Result<Vec<Listener>, NoListener> {
    let mut bound = Vec::new();
    for place in places {
        let mut listeners = match &place.address {
            Address::Tcp(addresses) => tcp::bind(addresses, places, workers)?,
            Address::Unix(path) => vec![unix::bind(path, place.mode, workers)?],
            Address::Systemd(name) => inherited.listeners(name, workers)?,
        };
        let name = listeners.first().map(|listener| listener.name.clone()).unwrap_or_default();
        let encryption = Encryption::of(place, &name)?;
        for listener in &mut listeners {
            listener.encryption.clone_from(&encryption);
            listener.proxies = place.proxy_protocol.then(|| place.proxy_protocol_from.clone());
        }
        bound.extend(listeners);
    }
    Ok(bound)
}

impl Listener {
    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    pub(crate) fn address(&self) -> Option<SocketAddr> {
        self.address
    }

    /// Accepts at each worker until `closing`, when the place is closed.
    pub(crate) fn open(
        self,
        workers: &[Handle],
        proxy: &Proxy,
        tasks: &Tasks,
        gate: &Arc<Gate>,
        closing: &CancellationToken,
    ) {
        if let (Some(encryption), Some(first)) = (&self.encryption, workers.first()) {
            let _here = first.enter();
            Tasks::background(encryption.clone().follow_files());
        }
        let entry = Arc::new(Entry { proxies: self.proxies, encryption: self.encryption });
        for (socket, worker) in self.sockets.into_iter().zip(workers) {
            let _here = worker.enter();
            match Door::open(socket, entry.clone(), gate.clone(), self.file.clone()) {
                Ok(door) => tasks.listener(accept::accept(
                    door,
                    proxy.clone(),
                    tasks.clone(),
                    closing.clone(),
                )),
                Err(error) => tracing::error!(address = %self.name, %error, "cannot accept"),
            }
        }
    }
}

/// Connections that the kernel holds until they are accepted.
const BACKLOG: i32 = 4096;
