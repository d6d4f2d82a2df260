//! Sockets that systemd has opened for us (`sd_listen_fds(3)`).

use std::{env, io};

use listenfd::ListenFd;
use socket2::SockRef;

use super::{Bound, Listener, NoListener};

/// What was handed over to this process, by name.
#[derive(Debug, Default)]
pub(crate) struct Inherited(Vec<(String, Bound)>);

impl Inherited {
    /// Takes all of it: what no listener wants is closed, so that no child has it either. To be
    /// called before there are threads: it changes the environment.
    pub(crate) fn take() -> Self {
        let names = env::var("LISTEN_FDNAMES").unwrap_or_default();
        let mut names = names.split(':').map(ToOwned::to_owned);
        let mut handed = ListenFd::from_env();
        let mut sockets = Vec::new();
        for index in 0..handed.len() {
            // Without names, systemd itself calls them so (`sd_listen_fds_with_names`).
            let name = names.next().filter(|name| !name.is_empty());
            let name = name.unwrap_or_else(|| "unknown".to_owned());
            let tcp = handed.take_tcp_listener(index).map(|socket| socket.map(Bound::Tcp));
            let taken = tcp.or_else(|_| {
                handed.take_unix_listener(index).map(|socket| socket.map(Bound::Unix))
            });
            match taken {
                Ok(socket) => sockets.extend(socket.map(|socket| (name, socket))),
                Err(error) => tracing::warn!(name, %error, "systemd: no socket to listen at"),
            }
        }
        Self(sockets)
    }

    /// Those of this name, for so many workers: each has a descriptor of the same socket.
    pub(super) fn listeners(
        &mut self,
        name: &str,
        workers: usize,
    ) -> Result<Vec<Listener>, NoListener> {
        let found: Vec<_> = self.0.extract_if(.., |(own, _)| own == name).collect();
        if found.is_empty() {
            let there: Vec<_> = self.0.iter().map(|(own, _)| own.as_str()).collect();
            return Err(NoListener::NotInherited {
                name: name.to_owned(),
                there: if there.is_empty() { "none".to_owned() } else { there.join(", ") },
            });
        }
        let told = |error| NoListener::Other(format!("systemd:{name}"), error);
        found.into_iter().map(|(_, socket)| listener(socket, workers).map_err(told)).collect()
    }
}

fn listener(socket: Bound, workers: usize) -> io::Result<Listener> {
    let reference = match &socket {
        Bound::Tcp(socket) => SockRef::from(socket),
        Bound::Unix(socket) => SockRef::from(socket),
    };
    if !reference.is_listener()? {
        return Err(io::Error::other("it does not listen; the unit must not say Accept=yes"));
    }
    reference.set_nonblocking(true)?;
    let place = reference.local_addr()?;
    let address = place.as_socket();
    let file = || place.as_pathname().map(|path| format!("unix:{}", path.display()));
    let name = address.map(|address| address.to_string()).or_else(file);
    let mut sockets = Vec::new();
    for _ in 1..workers {
        sockets.push(match &socket {
            Bound::Tcp(socket) => Bound::Tcp(socket.try_clone()?),
            Bound::Unix(socket) => Bound::Unix(socket.try_clone()?),
        });
    }
    sockets.push(socket);
    Ok(Listener {
        name: name.unwrap_or_else(|| "unix".to_owned()),
        address,
        sockets,
        // The file is systemd's.
        file: None,
    })
}
