//! The life of a request, one line a step.

mod again;
mod handover;
mod house;
mod last_stop;
mod opening;
mod readiness;
mod receive;
mod routing;

use std::{
    convert::Infallible,
    error::Error,
    future::Future,
    net::{IpAddr, Ipv4Addr},
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
};

use arc_swap::ArcSwap;
use bytes::Bytes;
use http::{HeaderValue, Method, Request, Response, Version, request};
use http_body::Body;
use tokio::time::Instant;

use self::house::House;
pub(crate) use self::readiness::Readiness;
use crate::{
    admission::per_client::{ClientSeat, ClientShare, TooMany},
    backend::{Backend, Behind, Stuck},
    client::{self, ClientKey, Hop},
    config::{self, Config, EarlyHints, Route},
    connection::Connection,
    exchange::{self, Found, Means, Watcher},
    headers::{self, Added, Peer},
    observe::books::Books,
    refusal::Refusal,
    replay::{self, InMemory, Key},
    reply::Reply,
    spool::{Held, Received},
    tasks::Tasks,
    tunnel::Asked,
    visit::{Carrier, Visit},
};

/// The proxy: a request in, an answer out, and the exchange in between on its own feet.
#[derive(Debug, Clone)]
pub struct Proxy {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    /// Each request keeps the one that it began with.
    house: ArcSwap<House>,
    tasks: Tasks,
}

impl Proxy {
    pub(crate) fn new(config: &Config, tasks: Tasks, books: Books) -> Self {
        let house = ArcSwap::from_pointee(House::new(config, tasks.clone(), books));
        Self { shared: Arc::new(Shared { house, tasks }) }
    }

    /// From here on, requests are served as this configuration has it; those that are here go on as
    /// they began.
    pub(crate) fn reload(&self, config: &Config) {
        let before = self.shared.house.load_full();
        self.shared.house.store(Arc::new(before.reloaded(config)));
    }

    /// One request of a connection, from its head to the head of its answer.
    pub(crate) fn visit<B>(
        &self,
        request: Request<B>,
        carrier: Carrier,
    ) -> impl Future<Output = Response<Reply>> + Send + use<B>
    where
        B: Body<Data = Bytes, Error: Error + 'static> + Send + Unpin + 'static,
    {
        let house = self.shared.house.load_full();
        // Boxed, since it is handed on several times, and is large.
        let (head, body) = request.into_parts();
        let head = Box::new(head);
        let visit = house.open(&head, carrier);
        house.visit(visit, head, body)
    }

    /// A request whose client has left before anything was done.
    pub(crate) fn missed<B>(&self, request: Request<B>, carrier: Carrier) {
        drop(self.shared.house.load().open(&request.into_parts().0, carrier));
    }

    pub(crate) fn tasks(&self) -> &Tasks {
        &self.shared.tasks
    }

    pub(crate) fn client_bounds(&self) -> Arc<config::Client> {
        self.shared.house.load().bounds.clone()
    }

    pub(crate) fn tunnel_bounds(&self) -> config::Tunnel {
        self.shared.house.load().tunnel
    }

    /// Counts a connection for its client. Those of trusted proxies are many clients'.
    pub(crate) fn seat(&self, hop: Hop) -> Result<Option<ClientSeat>, Refusal> {
        let house = self.shared.house.load();
        if house.bounds.trusted_proxies.contains(hop.ip()) {
            return Ok(None);
        }
        let account = house.clients.account(ClientKey::of(hop.ip()));
        house.clients.connect(account).map(Some).map_err(|_| Refusal::TooManyConnections)
    }

    /// What is to be known of a new connection, which has this seat, and its bounds.
    pub(crate) fn connection(
        &self,
        hop: Hop,
        seat: Option<&ClientSeat>,
    ) -> (Connection, Arc<config::Client>) {
        let house = self.shared.house.load();
        let account = match seat {
            Some(seat) => seat.account().clone(),
            None => house.clients.account(ClientKey::of(hop.ip())),
        };
        (Connection::new(hop, account, house.books.clone()), house.bounds.clone())
    }

    /// What bodies take, in memory and on disk.
    pub(crate) fn spooled(&self) -> [Held; 2] {
        self.shared.house.load().store.held()
    }

    /// For replays.
    pub(crate) fn kept_answers(&self) -> InMemory {
        self.shared.house.load().replays.in_memory()
    }

    /// To be told of the child behind the first backend.
    pub(crate) fn child(&self) -> Behind {
        self.shared.house.load().child.clone()
    }

    pub(crate) fn backends(&self) -> Vec<Arc<Backend>> {
        let house = self.shared.house.load();
        house.means.iter().map(|means| means.backend.clone()).collect()
    }
}

impl<B> tower::Service<Request<B>> for Proxy
where
    B: Body<Data = Bytes, Error: Error + 'static> + Send + Unpin + 'static,
{
    type Response = Response<Reply>;
    type Error = Infallible;
    type Future = Pin<Box<dyn Future<Output = Result<Response<Reply>, Infallible>> + Send>>;

    fn poll_ready(&mut self, _cx: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        let visit = self.visit(request, Carrier::Nothing);
        Box::pin(async { Ok(visit.await) })
    }
}

impl House {
    fn visit<B>(
        self: Arc<Self>,
        visit: Visit,
        head: Box<request::Parts>,
        body: B,
    ) -> impl Future<Output = Response<Reply>> + Send + use<B>
    where
        B: Body<Data = Bytes, Error: Error + 'static> + Send + Unpin,
    {
        // A copy: a slice would keep the whole read buffer while the answer is awaited.
        let accept = head.headers.get(http::header::ACCEPT);
        let accept: Option<Box<[u8]>> = accept.map(|value| value.as_bytes().into());
        let version = head.version;
        // Here, since an `async fn` would hold it all twice.
        async move {
            match self.answer(&visit, head, body).await {
                Ok(Answer::Exchange { head, watcher }) => Reply::of_exchange(*head, watcher, visit),
                Ok(Answer::Kept(answer)) => Reply::kept(answer, visit),
                Ok(Answer::Own(response, reason)) => Reply::own(response, reason, visit),
                Err(refusal) => {
                    let accept = accept.and_then(|value| HeaderValue::from_bytes(&value).ok());
                    Reply::refusal(&refusal, accept, version, visit)
                }
            }
        }
    }

    async fn answer<B>(
        &self,
        visit: &Visit,
        mut head: Box<request::Parts>,
        body: B,
    ) -> Result<Answer, Refusal>
    where
        B: Body<Data = Bytes, Error: Error + 'static> + Unpin,
    {
        if head.version == Version::HTTP_2 {
            headers::check_http2(&head, self.bounds.max_head, self.bounds.max_fields)?;
        }
        let asked = Asked::of(&mut head);
        headers::check(&head, visit.connection().map(|connection| &connection.fields))?;
        if headers::max_forwards(&mut head) == Some(0) {
            return Ok(Answer::Own(
                last_stop::answer(&head),
                "answered for the backend: Max-Forwards is 0",
            ));
        }
        let route = self.route(&head)?;
        let means = self.means.get(route.backend).ok_or(Refusal::Internal)?;
        let backend = &means.backend;
        visit.record().is_for(backend.shared.account);
        if let Some(probe) = self.probes.get(route.backend).filter(|probe| probe.is_meant(&head)) {
            // Boxed, as all that is rare: every visit would bear its size.
            let answer = probe.answer(backend, |path| self.ask(means, path));
            let answer = Box::pin(answer).await;
            return Ok(Answer::Own(answer, "probe: answered for the backend"));
        }
        let takes_hints = takes_hints(&head, route);
        // A block, so that nothing of it needs room while the answer is awaited.
        let (mut watcher, patience) = {
            let (found, patience) = self.begin(visit, (head, body), route, means, asked).await?;
            match found {
                Found::Exchange(mut watcher) => {
                    if !visit.is_there() {
                        watcher.let_run();
                    }
                    (watcher, patience)
                }
                Found::Kept(answer) => return Ok(Answer::Kept(answer)),
            }
        };
        let interim = |head| {
            if takes_hints {
                visit.interim(head);
            }
        };
        if let Some(working_set) = visit.working_set() {
            watcher.locate(&working_set.exchange);
        }
        let head = Self::await_head(&mut watcher, route, patience, interim).await?;
        Ok(Answer::Exchange { head, watcher })
    }

    /// Counts the request, receives it whole, and begins an exchange for it, joins one or finds what an equal one came
    /// to; with the moment until which its client waits.
    fn begin<B>(
        &self,
        visit: &Visit,
        (mut head, body): (Box<request::Parts>, B),
        route: &Route,
        means: &Arc<Means>,
        asked: Option<Box<Asked>>,
    ) -> impl Future<Output = Result<(Found, Option<Instant>), Refusal>>
    where
        B: Body<Data = Bytes, Error: Error + 'static> + Unpin,
    {
        let backend = &means.backend;
        // Here, since an `async fn` would hold it all twice.
        async move {
            let key = key_of(&head, route)?;
            // What is to run once is no beginning of something else.
            let asked = asked.filter(|_| key.is_none());
            let admitted = self.admit(visit, &mut head, backend)?;
            if let Some(asked) = &asked {
                asked.mark(&mut head);
            }
            if key.is_none() && body.is_end_stream() {
                let received = (head, Received::Nothing);
                let ready = self.prepare(visit, route, means, admitted, received, asked);
                return Ok((Found::Exchange(self.join_or_start(ready)), self.patience()));
            }
            // Boxed: most have no body to wait for, and no key.
            let rest = async move {
                let mut naming = key
                    .map(|key| Box::new(key.naming(&backend.config.name, &head, admitted.caller)));
                let body = self.receive(visit, body, route.max_body, naming.as_deref_mut()).await?;
                let patience = self.patience();
                let ready = self.prepare(visit, route, means, admitted, (head, body), asked);
                let found = match naming {
                    None => Found::Exchange(self.join_or_start(ready)),
                    // Boxed, too: large, and few have a key.
                    Some(naming) => {
                        Box::pin(self.run_attach_or_replay(ready, *naming, patience)).await?
                    }
                };
                Ok((found, patience))
            };
            Box::pin(rest).await
        }
    }

    /// Counts the request for its client, and makes of its head what the backend gets.
    fn admit(
        &self,
        visit: &Visit,
        head: &mut request::Parts,
        backend: &Backend,
    ) -> Result<Admitted, Refusal> {
        let trusted = &self.bounds.trusted_proxies;
        let connection = visit.connection();
        let hop = connection.map(|connection| Hop::of(&connection.fields));
        let client = hop.and_then(|hop| client::address(&hop, &head.headers, trusted));
        let key = ClientKey::of(client);
        let own = connection.map(|connection| &connection.account);
        let admitted = match own.filter(|account| account.is_of(key)) {
            Some(account) => self.clients.admit(account),
            // Its connection is that of a proxy before us.
            None => self.clients.admit(&self.clients.account(key)),
        };
        let share = admitted.map_err(|bound| match bound {
            TooMany::Exchanges => Refusal::TooManyExchanges,
            TooMany::Orphans => Refusal::TooManyOrphans,
            TooMany::Connections => Refusal::TooManyConnections,
        })?;
        let trusted = hop.is_some_and(|hop| trusted.contains(hop.ip()));
        let peer = Peer { fields: connection.map(|connection| &connection.fields), trusted };
        let added = headers::rebuild(head, peer, visit.record().id(), &backend.host);
        self.continue_trace(visit, head, &backend.host);
        let nobody = Ipv4Addr::UNSPECIFIED.into();
        let stuck = backend.stick(&mut head.headers, key, peer);
        Ok(Admitted {
            share,
            added,
            stuck,
            caller: client.map_or(nobody, |client| client.to_canonical()),
            trusted,
        })
    }
}

/// A request that is counted for its client.
struct Admitted {
    share: ClientShare,
    /// To the head that the backend gets.
    added: Added,
    /// Where it is to go.
    stuck: Option<Box<Stuck>>,
    /// The client's address, as far as it is known.
    caller: IpAddr,
    /// What the peer says of its clients is believed.
    trusted: bool,
}

enum Answer {
    Exchange {
        head: Box<exchange::Head>,
        watcher: Watcher,
    },
    Kept(replay::Answer),
    /// With the reason for the log.
    Own(Response<Bytes>, &'static str),
}

/// Is the client told of interim answers? One that takes them for the answer itself is not.
fn takes_hints(head: &request::Parts, route: &Route) -> bool {
    match route.early_hints {
        EarlyHints::All => true,
        EarlyHints::Browsers => headers::is_of_browser(head),
        EarlyHints::Off => false,
    }
}

/// What the client calls its request, where that is honoured.
fn key_of(head: &request::Parts, route: &Route) -> Result<Option<Key>, Refusal> {
    if !route.replay || (head.method != Method::POST && head.method != Method::PATCH) {
        return Ok(None);
    }
    Key::of(&head.headers).map_err(|_| Refusal::KeyMalformed)
}

#[cfg(test)]
mod tests {
    use hyper::body::Incoming;

    use super::*;

    #[test]
    fn a_visit_that_waits_is_small() {
        fn size<A, B, C, D, F: Future>(_: fn(A, B, C, D) -> F) -> usize {
            size_of::<F>()
        }
        // hyper's place for it has 16 bytes more, and is to be of another of the allocator's size classes than the tasks.
        let size = size(House::visit::<Incoming>);
        assert!(size <= 304, "{size}");
    }
}
