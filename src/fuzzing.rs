//! What the fuzz targets (`fuzz/`) reach of the inside. Built for them alone.

use std::{io, net::SocketAddr, sync::Arc};

use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::UnixStream,
    runtime::{Builder, Runtime},
};

use crate::{
    admission::room::Room,
    backend,
    client::Hop,
    config::{self, Overrides},
    front::{self, Arrival, Seat, Transport},
    headers::Scheme,
    observe::books::Books,
    proxy::Proxy,
    socket::Socket,
    tasks::{Bell, Tasks},
};
pub use crate::{
    backend::Told,
    listen::proxy_protocol::{Header, Malformed, Source, parse as parse_proxy_header},
    tunnel::frames::Frames,
};

/// seawall with its defaults before one backend, without sockets of its own.
#[derive(Debug)]
pub struct Front {
    runtime: Runtime,
    proxy: Proxy,
    room: Arc<Room>,
    /// Never rung.
    bell: Arc<Bell>,
}

impl Front {
    /// Before the backend at this address.
    ///
    /// # Errors
    /// Where the system gives no runtime.
    pub fn before(backend: SocketAddr) -> io::Result<Self> {
        let backend = Some(format!("http://{backend}"));
        let overrides = Overrides { backend, ..Overrides::default() };
        let loaded = config::load(None, &overrides).map_err(io::Error::other)?;
        let proxy = Proxy::new(&loaded.config, Tasks::default(), Books::unwritten());
        let runtime = Builder::new_current_thread().enable_all().build()?;
        Ok(Self { runtime, proxy, room: Room::new(1), bell: Arc::default() })
    }

    /// What a client gets that sends these bytes, then a FIN, and listens until the end.
    ///
    /// # Errors
    /// Where the system gives no sockets.
    pub fn answer(&self, bytes: &[u8]) -> io::Result<Vec<u8>> {
        self.runtime.block_on(async {
            let (ours, theirs) = UnixStream::pair()?;
            let hop = Hop { address: None, scheme: Scheme::Http };
            let house = self.room.enter().await;
            let seat = Seat { client: None, house };
            let arrival = Arrival { transport: Transport::Plain(Socket::Unix(ours)), hop, seat };
            let client = async move {
                let (mut reading, mut writing) = theirs.into_split();
                let mut answer = Vec::new();
                let send = async {
                    // The other side may have refused already.
                    let _ = writing.write_all(bytes).await;
                    let _ = writing.shutdown().await;
                };
                let _ = tokio::join!(send, reading.read_to_end(&mut answer));
                answer
            };
            let served = front::serve(arrival, self.proxy.clone(), self.bell.draining());
            Ok(tokio::join!(served, client).1)
        })
    }
}

/// What is made of these bytes of a backend, cut into pieces of this size; nothing where they are no HTTP.
#[must_use]
pub fn answer_of(bytes: &[u8], size: usize) -> Option<Told> {
    backend::answer_of(bytes.chunks(size.max(1)))
}
