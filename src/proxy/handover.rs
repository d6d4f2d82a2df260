//! Handing a request over to an exchange, its own or another's, and waiting for what comes of it.

use std::{
    future::Future,
    net::{IpAddr, Ipv4Addr},
    sync::Arc,
};

use http::{Method, Response, request};
use tokio::time::{Instant, timeout_at};

use super::{Admitted, House};
use crate::{
    admission::per_client::ClientShare,
    backend::Outbound,
    client::ClientKey,
    config::{Limit, OnDisconnect, Route},
    exchange::{self, Found, Identity, Means, Plan, Policy, Ready, Watcher},
    headers,
    observe::record::{Facts, Record},
    refusal::Refusal,
    replay::Naming,
    request_id::RequestId,
    spool::{Received, Retain},
    tunnel::{self, Asked},
    visit::Visit,
};

/// A request that can be handed over to an exchange.
pub(super) struct Prepared {
    ready: Ready,
    caller: IpAddr,
    /// Where it may join another.
    identity: Option<Identity>,
}

impl House {
    /// All that it takes to start an exchange.
    pub(super) fn prepare(
        &self,
        visit: &Visit,
        route: &Route,
        means: &Arc<Means>,
        admitted: Admitted,
        (head, body): (Box<request::Parts>, Received),
        asked: Option<Box<Asked>>,
    ) -> Prepared {
        let Admitted { share, added, stuck, caller, trusted } = admitted;
        let may_join = route.join && asked.is_none() && only_asks(&head, &body);
        let identity = may_join.then(|| {
            // Whoever is to come to another server asks for something else.
            let number =
                stuck.as_ref().and_then(|stuck| stuck.number()).unwrap_or(means.backend.number);
            Identity::of(number, &head, trusted)
        });
        let lines = added.pieces(visit.record().id());
        let request = Outbound::new(head, &lines, body).stuck(stuck).upgrading(asked.is_some());
        let mut ready = ready(share, visit.record().clone(), means, route.on_disconnect, request);
        ready.plan.by_pipe = visit.takes_pipe();
        if let Some(working_set) = visit.working_set() {
            working_set.record.set(&**visit.record());
            working_set.request.set(&*ready.plan.request);
        }
        ready.plan.tunnel = asked.map(|asked| {
            let bounds = tunnel::Bounds {
                idle: self.tunnel.idle,
                closing: self.tunnel.closing,
                write_stall: self.bounds.write_stall,
            };
            let draining = self.tasks.closing().clone();
            Box::new(tunnel::Plan { asked, bounds, draining })
        });
        Prepared { ready, caller, identity }
    }

    /// Asks the backend how it is, for whoever wants to know.
    pub(super) fn ask(&self, means: &Arc<Means>, path: &str) -> Option<(Arc<Record>, Watcher)> {
        let facts = Facts {
            id: RequestId::new(),
            client: None,
            line: Some((Method::GET, path.into())),
            began: Instant::now(),
        };
        let record = Record::open(&self.books, facts);
        record.note(|outcome| outcome.because("asked for all who probe"));
        let nobody = ClientKey::of(Some(Ipv4Addr::UNSPECIFIED.into()));
        let share = self.clients.admit(&self.clients.account(nobody)).ok()?;
        let head = headers::of_probe(path, &means.backend.host, record.id())?;
        if let Some(mut capture) = record.capture() {
            capture.request(&head, record.facts(), false);
        }
        let request = Outbound::new(Box::new(head), &[], Received::Nothing);
        let mut ready = ready(share, record.clone(), means, None, request);
        ready.plan.policy = Policy::Ours;
        Some((record, exchange::start(ready)))
    }

    /// Hands the request over to an exchange, its own or one that runs for an equal request; from
    /// here on the client only watches.
    pub(super) fn join_or_start(&self, prepared: Prepared) -> Watcher {
        let Prepared { ready, caller, identity } = prepared;
        match identity {
            None => exchange::start(ready),
            Some(identity) => self.registry.join_or_start(identity, caller, ready),
        }
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
        let found = self.replays.run_attach_or_replay(&name, caller, ready);
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

    pub(super) fn await_head(
        watcher: &mut Watcher,
        route: &Route,
        patience: Option<Instant>,
        interim: impl Fn(Response<()>),
    ) -> impl Future<Output = Result<Box<exchange::Head>, Refusal>> {
        // Where it would only be sent to be cut, nothing is promised.
        let goes_on = route.on_disconnect != Some(OnDisconnect::Cancel);
        // Here, since an `async fn` would hold it all twice.
        async move {
            let Some(until) = patience else { return watcher.head(interim).await };
            // Boxed: nobody waits by the clock unless it is configured.
            let head = Box::pin(timeout_at(until, watcher.head(interim))).await;
            head.unwrap_or_else(|_| {
                if goes_on {
                    watcher.promise();
                }
                Err(Refusal::StillWaiting)
            })
        }
    }
}

/// All that it takes to start an exchange for one client.
fn ready(
    share: ClientShare,
    record: Arc<Record>,
    means: &Arc<Means>,
    on_disconnect: Option<OnDisconnect>,
    request: Outbound,
) -> Ready {
    let policy = Policy::Route(on_disconnect);
    let means = means.clone();
    // Boxed: it is handed on, and kept, at many places.
    let request = Box::new(request);
    let (retain, by_pipe, tunnel) = (Retain::Nothing, false, None);
    let plan = Plan { means, request, policy, by_pipe, retain, tunnel };
    Ready { share, record, plan }
}

/// A GET or HEAD and nothing besides, so that its head says all of it.
fn only_asks(head: &request::Parts, body: &Received) -> bool {
    let reads = head.method == Method::GET || head.method == Method::HEAD;
    reads && matches!(body, Received::Nothing)
}
