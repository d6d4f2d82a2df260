//! Handing a request over to an exchange, its own or another's, and waiting for what comes of it.

use std::{
    net::{IpAddr, Ipv4Addr},
    sync::Arc,
    time::Duration,
};

use http::{Method, Response};
use tokio::time::{Instant, timeout_at};

use super::{Admitted, House};
use crate::{
    admission::per_client::ClientShare,
    backend::{Backend, Outbound},
    client::ClientKey,
    config::{Limit, OnDisconnect, Route},
    exchange::{self, Found, Identity, Plan, Policy, Ready, Watcher},
    headers,
    observe::record::{Facts, Record},
    refusal::Refusal,
    replay::Naming,
    spool::{Received, Retain},
    tunnel::{self, Asked},
    visit::Visit,
};

/// A request that can be handed over to an exchange.
pub(super) struct Prepared {
    ready: Ready,
    caller: IpAddr,
    trusted: bool,
}

impl House {
    /// All that it takes to start an exchange.
    pub(super) fn prepare(
        &self,
        visit: &Visit,
        route: &Route,
        backend: &Arc<Backend>,
        admitted: Admitted,
        request: Outbound,
        asked: Option<Box<Asked>>,
    ) -> Prepared {
        let Admitted { share, caller, trusted, .. } = admitted;
        let request = if asked.is_some() { request.upgrading() } else { request };
        let mut ready =
            self.ready(share, visit.record().clone(), backend, route.on_disconnect, request);
        ready.plan.tunnel = asked.map(|asked| {
            let bounds = tunnel::Bounds {
                idle: self.tunnel.idle,
                closing: self.tunnel.closing,
                write_stall: self.bounds.write_stall,
            };
            let draining = self.tasks.closing().clone();
            Box::new(tunnel::Plan { asked, bounds, draining })
        });
        Prepared { ready, caller, trusted }
    }

    fn ready(
        &self,
        share: ClientShare,
        record: Arc<Record>,
        backend: &Arc<Backend>,
        on_disconnect: Option<OnDisconnect>,
        request: Outbound,
    ) -> Ready {
        let policy = Policy {
            on_disconnect,
            orphan: backend.config.orphan.clone(),
            endless: backend.config.endless,
        };
        let (backend, store) = (backend.clone(), self.store.clone());
        let plan = Plan { backend, request, policy, store, retain: Retain::Nothing, tunnel: None };
        Ready { share, record, plan, tasks: self.tasks.clone() }
    }

    /// Asks the backend how it is, for whoever wants to know.
    pub(super) fn ask(&self, backend: &Arc<Backend>, path: &str) -> Option<(Arc<Record>, Watcher)> {
        let facts = Facts {
            id: headers::request_id(),
            client: None,
            line: Some((Method::GET, path.into())),
            began: Instant::now(),
        };
        let record = Record::open(&self.books, facts);
        record.note(|outcome| outcome.because("asked for all who probe"));
        let nobody = ClientKey::of(Some(Ipv4Addr::UNSPECIFIED.into()));
        let share = self.clients.admit(&self.clients.account(nobody)).ok()?;
        let head = headers::of_probe(path, &backend.host, record.id())?;
        if let Some(mut capture) = record.capture() {
            capture.request(&head, record.facts(), false);
        }
        let request = Outbound::new(Box::new(head), Received::Nothing);
        let mut ready = self.ready(share, record.clone(), backend, None, request);
        // Whoever hears it out does so for as long; without him, it is cut at once.
        ready.plan.policy.orphan.max_duration = Duration::ZERO;
        Some((record, exchange::start(ready)))
    }

    /// Hands the request over to an exchange, its own or one that runs for an equal request; from
    /// here on the client only watches.
    pub(super) fn join_or_start(&self, prepared: Prepared, route: &Route) -> Watcher {
        let Prepared { ready, caller, trusted } = prepared;
        if !route.join || !ready.plan.request.only_asks() {
            return exchange::start(ready);
        }
        // Whoever is to come to another server asks for something else.
        let number = ready.plan.request.number().unwrap_or(ready.plan.backend.number);
        let identity = Identity::of(number, ready.plan.request.head(), trusted);
        self.registry.join_or_start(identity, caller, ready)
    }

    /// The same for a request that may have come before.
    pub(super) async fn run_attach_or_replay(
        &self,
        prepared: Prepared,
        naming: Naming,
        patience: Option<Instant>,
    ) -> Result<Found, Refusal> {
        let Prepared { ready, caller, .. } = prepared;
        let name = naming.end();
        // Boxed: few requests have a key.
        let found = Box::pin(self.replays.run_attach_or_replay(&name, caller, ready));
        match patience {
            None => found.await,
            Some(until) => timeout_at(until, found).await.unwrap_or(Err(Refusal::StillWaiting)),
        }
    }

    /// Until when the client is kept waiting for the head.
    pub(super) fn patience(&self) -> Option<Instant> {
        match self.bounds.wait {
            Limit::Off => None,
            Limit::At(wait) => Some(Instant::now() + wait),
        }
    }

    pub(super) async fn await_head(
        &self,
        watcher: &mut Watcher,
        route: &Route,
        patience: Option<Instant>,
        interim: impl Fn(Response<()>),
    ) -> Result<exchange::Head, Refusal> {
        let head = watcher.head(interim);
        let Some(until) = patience else { return head.await };
        match timeout_at(until, head).await {
            Ok(head) => head,
            Err(_) => {
                // Not where it would only be sent to be cut.
                if route.on_disconnect != Some(OnDisconnect::Cancel) {
                    watcher.promise();
                }
                Err(Refusal::StillWaiting)
            }
        }
    }
}
