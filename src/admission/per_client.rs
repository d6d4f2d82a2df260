//! What one client may have at once. Generous: behind a container's gateway all share one address.

use std::{
    collections::HashMap,
    sync::{
        Arc, Weak,
        atomic::{AtomicBool, AtomicUsize, Ordering::Relaxed},
    },
};

use crate::{client::ClientKey, config, lock::Mutex};

/// The bounds, and the accounts of all who are here.
#[derive(Debug, Clone)]
pub(crate) struct Clients {
    max: Counts,
    known: Known,
}

/// What one client has at once. Lives as long as its connections and exchanges do, so that a
/// request on a kept connection looks nothing up.
#[derive(Debug)]
pub(crate) struct Account {
    key: ClientKey,
    now: Now,
    known: Known,
}

/// Each is risen before it is compared with its bound, so that nobody counts past another.
#[derive(Debug, Default)]
struct Now {
    exchanges: AtomicUsize,
    orphans: AtomicUsize,
    connections: AtomicUsize,
}

/// One exchange of one client, and whether it is an orphan. Owned by the exchange until its end.
#[derive(Debug)]
pub(crate) struct ClientShare {
    account: Arc<Account>,
    orphan: AtomicBool,
}

/// One connection of one client. Owned by the connection until its end.
#[derive(Debug)]
pub(crate) struct ClientSeat {
    account: Arc<Account>,
}

/// Which bound was reached.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum TooMany {
    /// `client.exchanges`.
    Exchanges,
    /// `client.orphans`.
    Orphans,
    /// `client.connections`.
    Connections,
}

#[derive(Debug, Clone, Copy)]
struct Counts {
    exchanges: usize,
    orphans: usize,
    connections: usize,
}

type Known = Arc<Mutex<HashMap<ClientKey, Weak<Account>>>>;

impl Clients {
    pub(crate) fn new(config: &config::Client) -> Self {
        Self { max: Counts::most(config), known: Known::default() }
    }

    /// The same accounts with the bounds of this configuration.
    pub(crate) fn reloaded(&self, config: &config::Client) -> Self {
        Self { max: Counts::most(config), known: self.known.clone() }
    }

    #[cfg(test)]
    pub(crate) fn generous() -> Self {
        Self { max: Counts { exchanges: 9, orphans: 9, connections: 9 }, known: Known::default() }
    }

    /// The account of this client, old or new.
    pub(crate) fn account(&self, key: ClientKey) -> Arc<Account> {
        let mut known = self.known.lock();
        if let Some(account) = known.get(&key).and_then(Weak::upgrade) {
            return account;
        }
        let account = Account { key, now: Now::default(), known: self.known.clone() };
        let account = Arc::new(account);
        known.insert(key, Arc::downgrade(&account));
        account
    }

    /// Counts one more exchange for this client.
    pub(crate) fn admit(&self, account: &Arc<Account>) -> Result<ClientShare, TooMany> {
        let now = &account.now;
        if !rise(&now.exchanges, self.max.exchanges) {
            return Err(TooMany::Exchanges);
        }
        let share = ClientShare { account: account.clone(), orphan: AtomicBool::new(false) };
        match now.orphans.load(Relaxed) < self.max.orphans {
            true => Ok(share),
            false => Err(TooMany::Orphans),
        }
    }

    /// Counts one more connection of this client.
    pub(crate) fn connect(&self, account: Arc<Account>) -> Result<ClientSeat, TooMany> {
        if !rise(&account.now.connections, self.max.connections) {
            return Err(TooMany::Connections);
        }
        Ok(ClientSeat { account })
    }
}

/// Counts one more, unless that would be more than `max`.
fn rise(count: &AtomicUsize, max: usize) -> bool {
    let is_room = count.fetch_add(1, Relaxed) < max;
    if !is_room {
        count.fetch_sub(1, Relaxed);
    }
    is_room
}

impl Account {
    pub(crate) fn is_of(&self, key: ClientKey) -> bool {
        self.key == key
    }
}

impl Counts {
    fn most(config: &config::Client) -> Self {
        let config::Client { exchanges, orphans, connections, .. } = *config;
        Self { exchanges, orphans, connections }
    }
}

impl Drop for Account {
    fn drop(&mut self) {
        let mut known = self.known.lock();
        // Unless the client has come back meanwhile and has a new one.
        if known.get(&self.key).is_some_and(|account| account.strong_count() == 0) {
            known.remove(&self.key);
        }
    }
}

impl ClientShare {
    /// The client of this exchange has left.
    pub(crate) fn orphan(&self) {
        if !self.orphan.swap(true, Relaxed) {
            self.account.now.orphans.fetch_add(1, Relaxed);
        }
    }

    /// Another client has joined it.
    pub(crate) fn adopted(&self) {
        if self.orphan.swap(false, Relaxed) {
            self.account.now.orphans.fetch_sub(1, Relaxed);
        }
    }
}

impl Drop for ClientShare {
    fn drop(&mut self) {
        self.account.now.exchanges.fetch_sub(1, Relaxed);
        if *self.orphan.get_mut() {
            self.account.now.orphans.fetch_sub(1, Relaxed);
        }
    }
}

impl ClientSeat {
    pub(crate) fn account(&self) -> &Arc<Account> {
        &self.account
    }
}

impl Drop for ClientSeat {
    fn drop(&mut self) {
        self.account.now.connections.fetch_sub(1, Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_bound_counts_until_the_exchange_ends() {
        let max = Counts { exchanges: 2, orphans: 1, connections: 1 };
        let clients = Clients { max, known: Known::default() };
        let key = ClientKey::of("192.0.2.1".parse().ok());
        let other = ClientKey::of("192.0.2.2".parse().ok());
        let admit = |key| clients.admit(&clients.account(key));
        let connect = |key| clients.connect(clients.account(key));
        let one = admit(key).expect("room");
        one.orphan();
        one.orphan();
        assert_eq!(admit(key).err(), Some(TooMany::Orphans));
        one.adopted();
        one.adopted();
        drop(admit(key).expect("no orphan is left"));
        one.orphan();
        assert_eq!(admit(key).err(), Some(TooMany::Orphans));
        drop(one);
        let _two = admit(key).expect("room");
        let _three = admit(key).expect("room");
        assert_eq!(admit(key).err(), Some(TooMany::Exchanges));
        let seat = connect(key).expect("room");
        assert_eq!(connect(key).err(), Some(TooMany::Connections));
        drop(connect(other).expect("room"));
        drop(seat);
        drop(connect(key).expect("room"));
        drop(admit(other).expect("room"));
        assert_eq!(clients.known.lock().len(), 1);
    }
}
