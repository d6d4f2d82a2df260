//! What all requests share, as one configuration has it. Read again, the next one takes over what must
//! not be there twice: backends, accounts of clients, what runs and can be joined, what is kept.

use std::{collections::HashSet, sync::Arc};

use crate::{
    admission::per_client::Clients,
    backend::{Backend, Behind, Retired, Shared, Writes},
    config::{self, Config, Route, Url},
    exchange::{Means, Registry, Replays},
    observe::{books::Books, redact::Redact},
    probe::Probe,
    spool::Store,
    tasks::Tasks,
};

#[derive(Debug)]
pub(super) struct House {
    pub routes: Vec<Route>,
    pub bounds: Arc<config::Client>,
    pub tunnel: config::Tunnel,
    /// One for each backend.
    pub means: Vec<Arc<Means>>,
    /// One for each backend.
    pub probes: Vec<Probe>,
    /// What runs behind the first backend.
    pub child: Behind,
    pub clients: Clients,
    pub registry: Registry,
    pub replays: Replays,
    pub store: Store,
    pub tasks: Tasks,
    pub books: Books,
    pub redact: Redact,
    /// Backends that were taken out. Where one is put in again while something runs there still, it
    /// must not have its slots twice.
    retired: Vec<Retired>,
}

/// What is written at which servers. Backends that have one in common share the count of it, and so do
/// those that share one with such a backend.
struct WritesOf(Vec<(HashSet<Url>, Arc<Writes>)>);

/// A backend as it was before, with its probe, if it was in the configuration.
struct Former<'a> {
    backend: Arc<Backend>,
    probe: Option<&'a Probe>,
}

impl House {
    pub(super) fn new(config: &Config, tasks: Tasks, books: Books) -> Self {
        let child = Behind::default();
        let (backends, probes) = backends(config, &books, &child, &mut Vec::new());
        let store = Store::new(&config.spool);
        Self {
            routes: config.routes.clone(),
            bounds: Arc::new(config.client.clone()),
            tunnel: config.tunnel,
            means: means(backends, &store, &tasks),
            probes,
            child,
            clients: Clients::new(&config.client),
            registry: Registry::new(&config.join),
            replays: Replays::new(&config.replay),
            store,
            tasks,
            books,
            redact: Redact::new(&config.log.redact),
            retired: Vec::new(),
        }
    }

    pub(super) fn reloaded(&self, config: &Config) -> Self {
        let probes = self.probes.iter().map(Some);
        let present = self.means.iter().map(|means| means.backend.clone()).zip(probes);
        let revived =
            self.retired.iter().filter_map(Retired::revive).map(|backend| (backend, None));
        let former = present.chain(revived);
        let mut former: Vec<_> = former.map(|(backend, probe)| Former { backend, probe }).collect();
        let (backends, probes) = backends(config, &self.books, &self.child, &mut former);
        let store = self.store.reloaded(&config.spool);
        Self {
            routes: config.routes.clone(),
            bounds: Arc::new(config.client.clone()),
            tunnel: config.tunnel,
            means: means(backends, &store, &self.tasks),
            probes,
            child: self.child.clone(),
            clients: self.clients.reloaded(&config.client),
            registry: self.registry.reloaded(&config.join),
            replays: self.replays.reloaded(&config.replay),
            store,
            tasks: self.tasks.clone(),
            books: self.books.clone(),
            redact: Redact::new(&config.log.redact),
            retired: former.into_iter().map(|former| former.backend.retire()).collect(),
        }
    }
}

/// Takes over those of the `former` ones that are there still: by their name, or where they are only
/// called differently now, by their url.
fn backends(
    config: &Config,
    books: &Books,
    child: &Behind,
    former: &mut Vec<Former<'_>>,
) -> (Vec<Arc<Backend>>, Vec<Probe>) {
    let writes = WritesOf::new(config, former);
    let by_name: Vec<_> = config
        .backends
        .iter()
        .map(|next| take(former, |backend| backend.config.name == next.name))
        .collect();
    let mut made = (Vec::new(), Vec::new());
    for (index, (next, found)) in config.backends.iter().zip(by_name).enumerate() {
        let found =
            found.or_else(|| take(former, |backend| backend.config.servers == next.servers));
        let shared = Shared {
            account: books.account(&next.name),
            writes: writes.at(next.url()),
            child: if index == 0 { child.clone() } else { Behind::default() },
        };
        let (backend, probe) = match found {
            Some(Former { backend, probe }) => (backend.reloaded(next, shared), probe),
            None => (Backend::new(next, shared), None),
        };
        made.0.push(backend);
        made.1.push(match probe {
            Some(probe) => probe.reloaded(&next.probe),
            None => Probe::new(&next.probe),
        });
    }
    made
}

/// What exchanges with each of these backends work with.
fn means(backends: Vec<Arc<Backend>>, store: &Store, tasks: &Tasks) -> Vec<Arc<Means>> {
    let of = |backend| Means { backend, store: store.clone(), tasks: tasks.clone() };
    backends.into_iter().map(of).map(Arc::new).collect()
}

impl WritesOf {
    fn new(config: &Config, former: &[Former<'_>]) -> Self {
        let mut all = Self(Vec::new());
        for Former { backend, .. } in former {
            all.add(&backend.config.servers, backend.shared.writes.clone());
        }
        for next in &config.backends {
            all.add(&next.servers, Arc::default());
        }
        all
    }

    fn add(&mut self, servers: &[Url], writes: Arc<Writes>) {
        let is_ours =
            |(urls, _): &mut (HashSet<Url>, _)| servers.iter().any(|url| urls.contains(url));
        let mut ours = self.0.extract_if(.., is_ours);
        let (mut urls, writes) = ours.next().unwrap_or_else(|| (HashSet::new(), writes));
        urls.extend(ours.flat_map(|(urls, _)| urls));
        urls.extend(servers.iter().cloned());
        self.0.push((urls, writes));
    }

    fn at(&self, url: &Url) -> Arc<Writes> {
        let found = self.0.iter().find(|(urls, _)| urls.contains(url));
        found.map(|(_, writes)| writes.clone()).unwrap_or_default()
    }
}

fn take<'a>(former: &mut Vec<Former<'a>>, is_it: impl Fn(&Backend) -> bool) -> Option<Former<'a>> {
    let index = former.iter().position(|former| is_it(&former.backend))?;
    Some(former.remove(index))
}
