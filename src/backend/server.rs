//! One server of a backend: where it is dialled, the connections that are kept to it, and how it has been.

use std::{
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering::Relaxed},
    },
    time::Duration,
};

use arc_swap::ArcSwap;

use super::{
    dial::Dialler,
    eject::Conduct,
    names::{self, Ways},
    pool::{Bounds, Pool},
    stick::digest,
};
use crate::{
    admission::queue,
    config::{self, Url},
};

/// A server and its slots.
pub(super) type Seats = queue::Seats<Server>;
/// The right to have one exchange running at a server.
pub(crate) type Slot = queue::Slot<Server>;
/// A place in the queue for one.
pub(crate) type InLine<'a> = queue::InLine<'a, Server>;

/// Lives as long as anything runs there.
#[derive(Debug)]
pub(crate) struct Server {
    pub(super) pool: Pool,
    pub(super) conduct: Conduct,
    /// Nobody could say what its name stands for, when it was asked last.
    pub(super) is_nameless: AtomicBool,
    place: ArcSwap<Place>,
}

/// Where a server is dialled, as the last configuration has it.
#[derive(Debug)]
pub(super) struct Place {
    pub url: Url,
    /// What its name stood for when it was asked last; empty where nobody has asked.
    pub ways: Ways,
    /// Its name stands for others as well.
    pub is_of_several: bool,
    pub dialler: Dialler,
    pub connect_timeout: Duration,
    pub eject: config::Eject,
    /// Whose server it is.
    pub backend: Arc<str>,
    /// For people: as it is named, or its address where the name is that of others as well.
    pub name: Arc<str>,
    /// By which clients know it who come back.
    pub mark: u64,
    /// Another for each place: connections to one are none to the next.
    pub number: u64,
    bounds: Bounds,
}

/// The last number of a place.
static NUMBERS: AtomicU64 = AtomicU64::new(0);

/// Another one each time.
pub(super) fn number() -> u64 {
    NUMBERS.fetch_add(1, Relaxed) + 1
}

impl Server {
    pub(super) fn new(url: &Url, config: &config::Backend) -> Arc<Seats> {
        let place = Place::new(url, config, number());
        let pool = Pool::new(place.bounds);
        let conduct = Conduct::default();
        let is_nameless = AtomicBool::default();
        let server = Self { pool, conduct, is_nameless, place: ArcSwap::from_pointee(place) };
        Seats::new(server, config.max_concurrency)
    }

    pub(super) fn place(&self) -> Arc<Place> {
        self.place.load_full()
    }

    pub(super) fn is_at(&self, url: &Url) -> bool {
        self.place.load().url == *url
    }

    /// Connections are made as is said here from now on. Where it leads elsewhere, those that are
    /// kept are closed.
    pub(super) fn reload(&self, url: &Url, config: &config::Backend) {
        let before = self.place();
        let place = match before.url == *url {
            true => {
                let place = Place::new(url, config, before.number);
                place.to(before.ways.clone(), before.is_of_several)
            }
            false => Place::new(url, config, number()),
        };
        self.go(place);
    }

    /// Its name stands for this now, and perhaps for others.
    pub(super) fn lead(&self, ways: &Ways, is_of_several: bool) {
        let before = self.place();
        if before.ways == *ways && before.is_of_several == is_of_several {
            return;
        }
        let is_same = before.ways.is_empty() || before.ways.iter().any(|way| ways.contains(way));
        let number = if is_same { before.number } else { number() };
        self.go(before.numbered(number).to(ways.clone(), is_of_several));
    }

    /// Nobody is there any more. Where its name does not say where it is, the address is forgotten with it: whoever has
    /// it next is somebody else.
    pub(super) fn is_gone(&self) {
        if self.is_nameless.load(Relaxed) && self.place.load().to_ask().is_some() {
            self.lead(&Ways::new(), false);
        }
    }

    /// What runs there goes to its end, and nothing is kept any more.
    pub(super) fn retire(&self) {
        let bounds = Bounds { max: 0, max_age: Duration::ZERO, ..self.place().bounds };
        self.pool.rebound(bounds);
    }

    fn go(&self, place: Place) {
        let bounds = place.bounds;
        // Before the pool knows: who dials the former one now keeps no connection to it.
        self.place.store(Arc::new(place));
        self.pool.rebound(bounds);
    }

    pub(crate) fn name(&self) -> Arc<str> {
        self.place.load().name.clone()
    }
}

impl Place {
    fn new(url: &Url, config: &config::Backend, number: u64) -> Self {
        let config::Backend { connect_timeout, eject, max_concurrency: max, idle, .. } = *config;
        Self {
            url: url.clone(),
            ways: Ways::new(),
            is_of_several: false,
            dialler: Dialler::new(url, &[]),
            connect_timeout,
            eject,
            backend: config.name.as_str().into(),
            name: name(url, None),
            mark: digest(&[&config.name, &url.to_string()]),
            number,
            bounds: Bounds { max, max_age: idle, server: number },
        }
    }

    fn to(self, ways: Ways, is_of_several: bool) -> Self {
        let dialler = Dialler::new(&self.url, &ways);
        let address = ways.first().filter(|_| is_of_several);
        let name = name(&self.url, address);
        let known_by = address.map_or_else(|| self.url.to_string(), ToString::to_string);
        let mark = digest(&[&self.backend, &known_by]);
        Self { ways, is_of_several, dialler, name, mark, ..self }
    }

    fn numbered(&self, number: u64) -> Self {
        Self {
            url: self.url.clone(),
            ways: Ways::new(),
            dialler: Dialler::new(&self.url, &[]),
            backend: self.backend.clone(),
            name: self.name.clone(),
            bounds: Bounds { server: number, ..self.bounds },
            number,
            ..*self
        }
    }

    /// Its name, where that is to be asked before each new connection.
    pub(super) fn to_ask(&self) -> Option<(&str, u16)> {
        // Of an address, which would have to be read first, nothing is asked.
        let is_asked = self.dialler.is_by_name && !self.is_of_several;
        is_asked.then(|| names::name(&self.url)).flatten()
    }
}

fn name(url: &Url, address: Option<&SocketAddr>) -> Arc<str> {
    match (url, address) {
        (_, Some(address)) => address.to_string().into(),
        (Url::Tcp(_), None) => url.host().into(),
        (Url::Unix(_), None) => url.to_string().into(),
    }
}
