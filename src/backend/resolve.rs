//! Which servers there are: those that are named, and where a name stands for several, each of those.
//!
//! A name is asked at each new connection as long as it stands for one server: a container that was made
//! anew has a new address. Where it stands for several it is asked every `resolve`, and when one of them
//! cannot be reached. Who is no longer among them is sent nobody, and what runs there goes on.

use std::sync::{
    Arc, Weak,
    atomic::{
        AtomicBool,
        Ordering::{Relaxed, SeqCst},
    },
};

use tokio::time::sleep;

use super::{
    lasting::Lasting,
    names::{self, Ways},
    server::{Seats, Server},
};
use crate::{
    config::{self, Url},
    tasks::Tasks,
};

/// Whether somebody asks what names stand for.
#[derive(Debug, Default)]
pub(super) struct Asking {
    regularly: AtomicBool,
    now: AtomicBool,
}

impl Lasting {
    /// A name stands for these servers now.
    pub(super) fn resolved(self: &Arc<Self>, url: &Url, found: &[Ways]) {
        let named = self.named.lock();
        if named.is_retired || !named.config.servers.contains(url) {
            return;
        }
        let before = self.slots.servers();
        let is_ours = |one: &Arc<Seats>| one.server.is_at(url);
        if let (Some(only), [ways]) = (only(before.iter().filter(|one| is_ours(one))), found) {
            only.server.lead(ways, false);
            return;
        }
        let mut known: Vec<_> = before.iter().filter(|one| is_ours(one)).cloned().collect();
        known.extend(self.slots.line().gone().into_iter().filter(|one| is_ours(one)));
        let ours: Vec<_> = found.iter().map(|ways| take(&mut known, ways)).collect();
        let ours = ours.into_iter().zip(found).map(|(one, ways)| {
            // One that nobody has dialled yet may be any of them.
            let fresh = known.iter().position(|one| one.server.place().ways.is_empty());
            let one = one.or_else(|| fresh.map(|index| known.remove(index)));
            let one = one.unwrap_or_else(|| Server::new(url, &named.config));
            // It may have been retired before.
            one.server.reload(url, &named.config);
            one.server.lead(ways, found.len() > 1);
            one
        });
        let ours: Vec<_> = ours.collect();
        say_what_changed(&named.config, &before, &ours, url);
        let mut servers: Vec<Arc<Seats>> = Vec::new();
        for named in &named.config.servers {
            match named == url {
                true => servers.extend(ours.iter().cloned()),
                false => {
                    servers.extend(before.iter().filter(|one| one.server.is_at(named)).cloned());
                }
            }
        }
        self.put_in_place(&before, servers, named.config.max_concurrency);
        drop(named);
        self.tend();
    }

    /// Those that are no longer among them keep no connections.
    pub(super) fn put_in_place(
        &self,
        before: &[Arc<Seats>],
        servers: Vec<Arc<Seats>>,
        max_concurrency: usize,
    ) {
        for one in before.iter().filter(|one| !is_among(one, &servers)) {
            one.server.retire();
        }
        self.has_several.store(servers.len() > 1, Relaxed);
        self.slots.line().replace(servers);
        self.slots.line().resize(max_concurrency);
    }

    /// Asks again what the name stands for that this server came of, unless somebody does already.
    pub(super) fn ask_again(self: &Arc<Self>, seats: &Seats) {
        let place = seats.server.place();
        if place.is_of_several && !self.asking.now.swap(true, SeqCst) {
            let lasting = self.clone();
            Tasks::background(async move {
                lasting.ask(&place.url).await;
                lasting.asking.now.store(false, SeqCst);
            });
        }
    }

    /// Asks from time to time. Once, however often it is called.
    pub(super) fn ask_regularly(self: &Arc<Self>) {
        if !self.asking.regularly.swap(true, SeqCst) {
            Tasks::background(ask_regularly(Arc::downgrade(self)));
        }
    }

    async fn ask(self: &Arc<Self>, url: &Url) {
        let Some(name) = names::name(url) else { return };
        match names::look_up(name).await {
            Ok(found) => self.resolved(url, &found),
            // What is known of it is as good as before: whoever cannot be reached is out.
            Err(error) => {
                let backend = &self.named.lock().config.name;
                tracing::debug!(backend, %url, %error, "the name does not resolve");
            }
        }
    }
}

async fn ask_regularly(lasting: Weak<Lasting>) {
    loop {
        let Some(pause) = lasting.upgrade().map(|lasting| lasting.named.lock().config.resolve)
        else {
            return;
        };
        sleep(pause).await;
        let Some(lasting) = lasting.upgrade() else { return };
        if lasting.is_retired() {
            continue;
        }
        let urls = lasting.named.lock().config.servers.clone();
        for url in &urls {
            let servers = lasting.slots.servers();
            let mut ours = servers.iter().filter(|one| one.server.is_at(url));
            // One alone is asked for at each new connection; it may have none for long, and be busy.
            if ours.clone().count() > 1 || ours.any(|one| one.taken() > 0) {
                lasting.ask(url).await;
            }
        }
    }
}

fn say_what_changed(
    config: &config::Backend,
    before: &[Arc<Seats>],
    now: &[Arc<Seats>],
    url: &Url,
) {
    let ours = before.iter().filter(|one| one.server.is_at(url));
    let is_same = ours.clone().count() == now.len() && ours.clone().all(|one| is_among(one, now));
    if !is_same {
        let servers: Vec<_> = now.iter().map(|one| one.server.name().to_string()).collect();
        let (backend, servers) = (&config.name, servers.join(", "));
        tracing::info!(backend, %url, servers, "the name stands for these servers now");
    }
}

/// The one that is reached in one of these ways.
fn take(known: &mut Vec<Arc<Seats>>, ways: &Ways) -> Option<Arc<Seats>> {
    let is_it = |one: &Arc<Seats>| one.server.place().ways.iter().any(|way| ways.contains(way));
    known.iter().position(is_it).map(|index| known.remove(index))
}

fn only<T>(mut all: impl Iterator<Item = T>) -> Option<T> {
    all.next().filter(|_| all.next().is_none())
}

fn is_among(one: &Arc<Seats>, all: &[Arc<Seats>]) -> bool {
    all.iter().any(|other| Arc::ptr_eq(one, other))
}
