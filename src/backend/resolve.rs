//! Which servers there are: those that are named, and where a name stands for several, each of those.
//!
//! A name is asked at each new connection as long as it stands for one server: a container that was made
//! anew has a new address. Where it stands for several it is asked every `resolve`, and when one of them
//! cannot be reached. Who is no longer among them is sent nobody, and what runs there goes on.
//!
//! Where nobody can say what a name stands for, what it stood for before counts: when names are out, servers are
//! not. Until it resolves again; but an address at which nobody is any more is forgotten.

use std::{
    fmt::Display,
    future::pending,
    sync::{
        Arc, Weak,
        atomic::{
            AtomicBool,
            Ordering::{Relaxed, SeqCst},
        },
    },
    time::Duration,
};

use tokio::time::{Instant, sleep, timeout};

use super::{
    dial::NoConnection,
    lasting::Lasting,
    names::{self, Ways},
    server::{Place, Seats, Server},
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
        say_that_it_resolves(&named.config, before.iter().filter(|one| is_ours(one)), url);
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

    /// Asks what the name of a server stands for that is the only one of its name, before it is dialled.
    pub(super) async fn ask_before(
        self: &Arc<Self>,
        server: &Server,
        until: Instant,
    ) -> Result<(), NoConnection> {
        let place = server.place();
        let Some(name) = place.to_ask() else { return Ok(()) };
        let is_known = !place.ways.is_empty();
        if is_known && server.is_nameless.load(Relaxed) {
            // Else everybody would wait for an answer that nobody gives.
            self.ask_meanwhile(&place);
            return Ok(());
        }
        let left = until - Instant::now();
        // The other half is for dialling what is known.
        let found = timeout(if is_known { left / 2 } else { left }, names::look_up(name)).await;
        let error = match found {
            Ok(Ok(found)) => {
                self.resolved(&place.url, &found);
                return Ok(());
            }
            Ok(Err(error)) => NoConnection::Name(error),
            Err(_) => NoConnection::TimedOut,
        };
        if !is_known {
            return Err(error);
        }
        self.unresolved(&place.url, &error);
        Ok(())
    }

    /// Resolves when a server that is dialled where it was before is elsewhere: nobody waits for one that is gone.
    pub(super) async fn moved(self: &Arc<Self>, seats: &Arc<Seats>, place: &Arc<Place>) {
        if !seats.server.is_nameless.load(Relaxed) {
            return pending().await;
        }
        loop {
            sleep(PAUSE).await;
            if !seats.server.is_nameless.load(Relaxed) {
                return pending().await;
            }
            self.ask_meanwhile(place);
            if seats.server.place().number != place.number || !self.slots.line().has(seats) {
                return;
            }
        }
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
        if place.is_of_several {
            self.ask_meanwhile(&place);
        }
    }

    fn ask_meanwhile(self: &Arc<Self>, place: &Arc<Place>) {
        if !self.asking.now.swap(true, SeqCst) {
            let (lasting, place) = (self.clone(), place.clone());
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
            Err(error) => self.unresolved(url, &error),
        }
    }

    /// Nobody can say what a name stands for: said once, until somebody can.
    fn unresolved(&self, url: &Url, error: &dyn Display) {
        let servers = self.slots.servers();
        let ours = servers.iter().filter(|one| one.server.is_at(url));
        if ours.filter(|one| !one.server.is_nameless.swap(true, Relaxed)).count() > 0 {
            let backend = &self.named.lock().config.name;
            tracing::warn!(backend, %url, %error, "nobody knows the name: what it stood for before counts");
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
            let is_due = |one: &Arc<Seats>| one.taken() > 0 || one.server.is_nameless.load(Relaxed);
            if ours.clone().count() > 1 || ours.any(is_due) {
                lasting.ask(url).await;
            }
        }
    }
}

/// Where it did not before.
fn say_that_it_resolves<'a>(
    config: &config::Backend,
    ours: impl Iterator<Item = &'a Arc<Seats>>,
    url: &Url,
) {
    // Looked at first: this is asked at each new connection.
    let nameless = ours.filter(|one| one.server.is_nameless.load(Relaxed));
    if nameless.filter(|one| one.server.is_nameless.swap(false, Relaxed)).count() > 0 {
        let backend = &config.name;
        tracing::info!(backend, %url, "the name is known again");
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

/// Between two looks whether one that is dialled has moved.
const PAUSE: Duration = Duration::from_millis(100);
