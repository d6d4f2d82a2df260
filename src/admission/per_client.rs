//! What one client may have at once. Generous: behind a container's gateway all share one address.

use std::{
    collections::HashMap,
    sync::{Arc, Weak},
};

use parking_lot::Mutex;

use crate::client::ClientKey;

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
    max: Counts,
    now: Mutex<Counts>,
    known: Known,
}

/// One exchange of one client, and whether it is an orphan. Owned by the exchange until its end.
#[derive(Debug)]
pub(crate) struct ClientShare {
    account: Arc<Account>,
    orphan: Mutex<bool>,
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

#[derive(Debug, Clone, Copy, Default)]
struct Counts {
    exchanges: usize,
    orphans: usize,
    connections: usize,
}

type Known = Arc<Mutex<HashMap<ClientKey, Weak<Account>>>>;

impl Clients {
    pub(crate) fn new(config: &crate::config::Client) -> Self {
        let max = Counts {
            exchanges: config.exchanges,
            orphans: config.orphans,
            connections: config.connections,
        };
        Self { max, known: Known::default() }
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
        let now = Mutex::default();
        let account = Account { key, max: self.max, now, known: self.known.clone() };
        let account = Arc::new(account);
        known.insert(key, Arc::downgrade(&account));
        account
    }
}

impl Account {
    /// Counts one more exchange for this client.
    pub(crate) fn admit(self: &Arc<Self>) -> Result<ClientShare, TooMany> {
        let mut now = self.now.lock();
        if now.exchanges >= self.max.exchanges {
            return Err(TooMany::Exchanges);
        }
        if now.orphans >= self.max.orphans {
            return Err(TooMany::Orphans);
        }
        now.exchanges += 1;
        drop(now);
        Ok(ClientShare { account: self.clone(), orphan: Mutex::new(false) })
    }

    /// Counts one more connection of this client.
    pub(crate) fn connect(self: &Arc<Self>) -> Result<ClientSeat, TooMany> {
        let mut now = self.now.lock();
        if now.connections >= self.max.connections {
            return Err(TooMany::Connections);
        }
        now.connections += 1;
        Ok(ClientSeat { account: self.clone() })
    }

    pub(crate) fn is_of(&self, key: ClientKey) -> bool {
        self.key == key
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
        if !std::mem::replace(&mut *self.orphan.lock(), true) {
            self.account.now.lock().orphans += 1;
        }
    }

    /// Another client has joined it.
    pub(crate) fn adopted(&self) {
        if std::mem::replace(&mut *self.orphan.lock(), false) {
            self.account.now.lock().orphans -= 1;
        }
    }
}

impl Drop for ClientShare {
    fn drop(&mut self) {
        let mut now = self.account.now.lock();
        now.exchanges -= 1;
        now.orphans -= usize::from(*self.orphan.get_mut());
    }
}

impl Drop for ClientSeat {
    fn drop(&mut self) {
        self.account.now.lock().connections -= 1;
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
        let one = clients.account(key).admit().expect("room");
        one.orphan();
        one.orphan();
        assert_eq!(clients.account(key).admit().err(), Some(TooMany::Orphans));
        one.adopted();
        one.adopted();
        drop(clients.account(key).admit().expect("no orphan is left"));
        one.orphan();
        assert_eq!(clients.account(key).admit().err(), Some(TooMany::Orphans));
        drop(one);
        let _two = clients.account(key).admit().expect("room");
        let _three = clients.account(key).admit().expect("room");
        assert_eq!(clients.account(key).admit().err(), Some(TooMany::Exchanges));
        let seat = clients.account(key).connect().expect("room");
        assert_eq!(clients.account(key).connect().err(), Some(TooMany::Connections));
        drop(clients.account(other).connect().expect("room"));
        drop(seat);
        drop(clients.account(key).connect().expect("room"));
        drop(clients.account(other).admit().expect("room"));
        assert_eq!(clients.known.lock().len(), 1);
    }
}
