//! What one client may have at once. Generous: behind a container's gateway all share one address.

use std::{collections::HashMap, sync::Arc};

use parking_lot::Mutex;

use crate::client::ClientKey;

/// The bounds, and who uses how much of them.
#[derive(Debug, Clone)]
pub(crate) struct Clients {
    max: Counts,
    now: Arc<Mutex<HashMap<ClientKey, Counts>>>,
}

/// One exchange of one client, and whether it is an orphan. Owned by the exchange until its end.
#[derive(Debug)]
pub(crate) struct ClientShare {
    clients: Clients,
    key: ClientKey,
    orphan: Mutex<bool>,
}

/// Which bound was reached.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum TooMany {
    /// `client.exchanges`.
    Exchanges,
    /// `client.orphans`.
    Orphans,
}

#[derive(Debug, Clone, Copy, Default)]
struct Counts {
    exchanges: usize,
    orphans: usize,
}

impl Clients {
    pub(crate) fn new(config: &crate::config::Client) -> Self {
        let max = Counts { exchanges: config.exchanges, orphans: config.orphans };
        Self { max, now: Arc::default() }
    }

    /// Counts one more exchange for this client.
    pub(crate) fn admit(&self, key: ClientKey) -> Result<ClientShare, TooMany> {
        let mut now = self.now.lock();
        // No entry is left behind by a refusal: where a bound is reached, one was there.
        let counts = now.entry(key).or_default();
        if counts.exchanges >= self.max.exchanges {
            return Err(TooMany::Exchanges);
        }
        if counts.orphans >= self.max.orphans {
            return Err(TooMany::Orphans);
        }
        counts.exchanges += 1;
        Ok(ClientShare { clients: self.clone(), key, orphan: Mutex::new(false) })
    }
}

impl ClientShare {
    /// The client of this exchange has left.
    pub(crate) fn orphan(&self) {
        let mut orphan = self.orphan.lock();
        if !std::mem::replace(&mut *orphan, true)
            && let Some(counts) = self.clients.now.lock().get_mut(&self.key)
        {
            counts.orphans += 1;
        }
    }
}

impl Drop for ClientShare {
    fn drop(&mut self) {
        let mut now = self.clients.now.lock();
        if let Some(counts) = now.get_mut(&self.key) {
            counts.exchanges -= 1;
            counts.orphans -= usize::from(*self.orphan.get_mut());
            if counts.exchanges == 0 {
                now.remove(&self.key);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_bound_counts_until_the_exchange_ends() {
        let max = Counts { exchanges: 2, orphans: 1 };
        let clients = Clients { max, now: Arc::default() };
        let key = ClientKey::of("192.0.2.1".parse().expect("an address"));
        let other = ClientKey::of("192.0.2.2".parse().expect("an address"));
        let one = clients.admit(key).expect("room");
        one.orphan();
        one.orphan();
        assert_eq!(clients.admit(key).err(), Some(TooMany::Orphans));
        drop(one);
        let _two = clients.admit(key).expect("room");
        let _three = clients.admit(key).expect("room");
        assert_eq!(clients.admit(key).err(), Some(TooMany::Exchanges));
        drop(clients.admit(other).expect("room"));
        assert_eq!(clients.now.lock().len(), 1);
    }
}
