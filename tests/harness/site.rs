//! Where a backend is not yet, or no more.

use std::io;
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};

use socket2::{Domain, Socket, Type};

use super::backend::Backend;
use super::talk::Talk;

/// An address at which nobody listens yet, or any more. It is nobody else's meanwhile: whoever
/// connects is refused.
pub(crate) struct Site {
    pub(crate) address: SocketAddr,
    _kept: Socket,
}

impl Site {
    pub(crate) fn new() -> Self {
        Self::of(Ipv4Addr::LOCALHOST)
    }

    /// The same at every address of this machine.
    pub(crate) fn everywhere() -> Self {
        Self::of(Ipv4Addr::UNSPECIFIED)
    }

    fn of(address: Ipv4Addr) -> Self {
        let kept = reusable();
        kept.bind(&SocketAddr::from((address, 0)).into()).unwrap();
        let address = kept.local_addr().unwrap().as_socket().unwrap();
        Self { address, _kept: kept }
    }

    pub(crate) fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// From now on, connecting succeeds.
    pub(crate) fn listen(&self) -> TcpListener {
        let socket = reusable();
        socket.bind(&self.address.into()).unwrap();
        socket.listen(128).unwrap();
        socket.into()
    }

    /// One where connecting neither succeeds nor fails, as long as the pair is kept.
    pub(crate) fn that_hangs() -> ((Socket, TcpStream), SocketAddr) {
        let full = reusable();
        full.bind(&SocketAddr::from(([127, 0, 0, 1], 0)).into()).unwrap();
        full.listen(0).unwrap();
        let address = full.local_addr().unwrap().as_socket().unwrap();
        // Takes the only place there is in its queue: the kernel now drops whoever else knocks.
        let first = TcpStream::connect(address).unwrap();
        ((full, first), address)
    }

    pub(crate) fn open(
        &self,
        script: impl Fn(&mut Talk) -> io::Result<()> + Send + Sync + 'static,
    ) -> Backend {
        Backend::over(self.listen(), script)
    }
}

fn reusable() -> Socket {
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
    socket.set_reuse_address(true).unwrap();
    socket
}
