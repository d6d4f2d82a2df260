//! The places of the configuration: bound and opened, and when it is read again, kept, changed, added
//! and closed.

use std::{
    fs,
    net::SocketAddr,
    os::unix::fs::PermissionsExt as _,
    sync::{Arc, Weak},
};

use arc_swap::ArcSwap;
use tokio::runtime::Handle;
use tokio_util::sync::CancellationToken;

use super::{
    Inherited, Listener, NoListener, accept,
    accept::Door,
    entry::Entry,
    gate::Gate,
    tcp::{self, Neighbours},
    unix,
};
use crate::{
    config::{Address, Listen},
    proxy::Proxy,
    tasks::Tasks,
};

/// All places at which we listen.
#[derive(Debug, Default)]
pub(crate) struct Places(Vec<Place>);

/// What connections are led to.
#[derive(Debug)]
pub(crate) struct Inside {
    pub(crate) workers: Vec<Handle>,
    pub(crate) proxy: Proxy,
    pub(crate) tasks: Tasks,
    pub(crate) gate: Arc<Gate>,
}

#[derive(Debug)]
struct Place {
    source: Listen,
    entry: Arc<ArcSwap<Entry>>,
    /// Those that are bound and not yet open.
    bound: Vec<Listener>,
    /// What is bound here, as the log calls it.
    names: Vec<String>,
    addresses: Vec<SocketAddr>,
    doors: Vec<Weak<Door>>,
    /// Ends the accepting.
    stop: CancellationToken,
}

/// Places as they are to be. Nothing has changed yet.
#[derive(Debug)]
pub(crate) struct Change(Vec<Next>);

#[derive(Debug)]
enum Next {
    /// The one of this number, with what is asked of who connects there.
    Kept(usize, Box<Listen>, Arc<Entry>),
    New(Box<Place>),
}

impl Places {
    /// Binds all of them, for so many workers.
    ///
    /// # Errors
    /// Where one is taken, or is none of this machine's.
    pub(crate) fn bind(
        wanted: &[Listen],
        mut inherited: Inherited,
        workers: usize,
    ) -> Result<Self, NoListener> {
        let neighbours = Neighbours { all: wanted, leaving: &[] };
        let bound = wanted.iter().map(|one| Place::bind(one, neighbours, &mut inherited, workers));
        bound.collect::<Result<_, _>>().map(Self)
    }

    /// Accepts at each worker, until the drain closes all.
    pub(crate) fn open(&mut self, inside: &Inside) {
        for place in &mut self.0 {
            place.open(inside);
        }
    }

    /// Makes ready for other places: those at the same address are kept, and so are their
    /// certificates where those are the same.
    ///
    /// # Errors
    /// As [`Places::bind`].
    pub(crate) fn prepare(&self, wanted: &[Listen], workers: usize) -> Result<Change, NoListener> {
        let mut left: Vec<usize> = (0..self.0.len()).collect();
        let kept: Vec<Option<usize>> = wanted
            .iter()
            .map(|next| {
                let same = |index: &usize| is_same(&self.0[*index].source.address, &next.address);
                let found = left.iter().position(same)?;
                Some(left.remove(found))
            })
            .collect();
        let leaving: Vec<&Place> = left.iter().map(|index| &self.0[*index]).collect();
        let ports: Vec<u16> = leaving.iter().flat_map(|place| place.ports()).collect();
        for door in leaving.iter().flat_map(|place| &place.doors) {
            if let Some(door) = door.upgrade() {
                door.let_others_in();
            }
        }
        let neighbours = Neighbours { all: wanted, leaving: &ports };
        let mut inherited = Inherited::default();
        let next = wanted.iter().zip(kept).map(|(next, kept)| match kept {
            Some(index) => {
                let Place { source, entry, names, .. } = &self.0[index];
                let name = names.first().map_or("", String::as_str);
                let entry = entry.load().reloaded(source, next, name)?;
                Ok(Next::Kept(index, Box::new(next.clone()), entry))
            }
            None => Place::bind(next, neighbours, &mut inherited, workers)
                .map(|place| Next::New(Box::new(place))),
        });
        next.collect::<Result<_, _>>().map(Change)
    }

    /// Makes the change, and gives back the names of what is closed. Who is connected stays so.
    pub(crate) fn change(&mut self, Change(next): Change, inside: &Inside) -> Vec<String> {
        let mut before: Vec<Option<Place>> = self.0.drain(..).map(Some).collect();
        for next in next {
            let place = match next {
                Next::New(mut place) => {
                    place.open(inside);
                    Some(*place)
                }
                Next::Kept(index, source, entry) => before[index].take().map(|mut place| {
                    place.take_over(*source, entry, inside);
                    place
                }),
            };
            self.0.extend(place);
        }
        let closed = before.into_iter().flatten().flat_map(|place| {
            place.stop.cancel();
            place.names
        });
        closed.collect()
    }

    /// As the log calls them.
    pub(crate) fn names(&self) -> Vec<String> {
        self.0.iter().flat_map(|place| place.names.clone()).collect()
    }

    /// Those that are TCP's, ports chosen by the system filled in.
    pub(crate) fn addresses(&self) -> Vec<SocketAddr> {
        self.0.iter().flat_map(|place| place.addresses.clone()).collect()
    }
}

impl Place {
    fn bind(
        source: &Listen,
        neighbours: Neighbours<'_>,
        inherited: &mut Inherited,
        workers: usize,
    ) -> Result<Self, NoListener> {
        let bound = match &source.address {
            Address::Tcp(addresses) => tcp::bind(addresses, neighbours, workers)?,
            Address::Unix(path) => vec![unix::bind(path, source.mode, workers)?],
            Address::Systemd(name) => inherited.listeners(name, workers)?,
        };
        let names: Vec<String> = bound.iter().map(|listener| listener.name.clone()).collect();
        let entry = Entry::of(source, names.first().map_or("", String::as_str))?;
        Ok(Self {
            source: source.clone(),
            entry: Arc::new(ArcSwap::new(entry)),
            addresses: bound.iter().filter_map(|listener| listener.address).collect(),
            names,
            bound,
            doors: Vec::new(),
            stop: CancellationToken::new(),
        })
    }

    /// Each socket belongs to its task from here on: when that ends, it is closed.
    fn open(&mut self, inside: &Inside) {
        let Inside { workers, proxy, tasks, gate } = inside;
        self.follow_files(inside);
        self.stop = tasks.closing().child_token();
        for Listener { name, sockets, file, .. } in self.bound.drain(..) {
            for (socket, worker) in sockets.into_iter().zip(workers) {
                let _here = worker.enter();
                match Door::open(socket, self.entry.clone(), gate.clone(), file.clone()) {
                    Ok(door) => {
                        let door = Arc::new(door);
                        self.doors.push(Arc::downgrade(&door));
                        let (proxy, stop) = (proxy.clone(), self.stop.clone());
                        tasks.listener(accept::accept(door, proxy, tasks.clone(), stop));
                    }
                    Err(error) => tracing::error!(address = %name, %error, "cannot accept"),
                }
            }
        }
    }

    /// Whoever connects from here on is asked for what is said here.
    fn take_over(&mut self, source: Listen, entry: Arc<Entry>, inside: &Inside) {
        if let Address::Unix(path) = &source.address
            && source.mode != self.source.mode
            && let Err(error) = fs::set_permissions(path, fs::Permissions::from_mode(source.mode.0))
        {
            tracing::warn!(path = %path.display(), %error, "listen.mode: cannot be changed");
        }
        self.source = source;
        self.entry.store(entry);
        self.follow_files(inside);
    }

    fn follow_files(&self, inside: &Inside) {
        if let (Some(encryption), Some(first)) =
            (&self.entry.load().encryption, inside.workers.first())
        {
            let _here = first.enter();
            encryption.follow_files();
        }
    }

    fn ports(&self) -> impl Iterator<Item = u16> {
        self.addresses.iter().map(SocketAddr::port)
    }
}

/// A name may stand for its addresses in another order each time.
fn is_same(one: &Address, other: &Address) -> bool {
    match (one, other) {
        (Address::Tcp(own), Address::Tcp(others)) => {
            own.len() == others.len() && own.iter().all(|address| others.contains(address))
        }
        (one, other) => one == other,
    }
}
