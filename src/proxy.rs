//! The life of a request, one line a step.

use std::{
    convert::Infallible,
    future::{Future, poll_fn},
    net::{IpAddr, Ipv4Addr, SocketAddr},
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
};

use bytes::Bytes;
use http::{HeaderValue, Method, Request, Response, StatusCode, request};
use http_body::Body;
use tokio::time::{Instant, timeout};

use crate::{
    admission::per_client::{ClientShare, Clients, TooMany},
    backend::{Backend, Outbound},
    client::{self, ClientKey},
    config::{self, Config, Limit, OnDisconnect, Route},
    connection::Connection,
    exchange::{self, Identity, Plan, Policy, Ready, Registry, Watcher},
    headers::{self, Peer},
    observe::{
        access::AccessLog,
        record::{Facts, Record},
    },
    probe::Probe,
    refusal::Refusal,
    reply::Reply,
    spool::{End, Full, Received, Retain, Store},
    tasks::Tasks,
    visit::Visit,
};

/// The proxy: a request in, an answer out, and the exchange in between on its own feet.
#[derive(Debug, Clone)]
pub struct Proxy {
    house: Arc<House>,
}

/// What all requests share.
#[derive(Debug)]
struct House {
    routes: Vec<Route>,
    bounds: Arc<config::Client>,
    backends: Vec<Arc<Backend>>,
    /// One for each backend.
    probes: Vec<Probe>,
    clients: Clients,
    registry: Registry,
    store: Store,
    tasks: Tasks,
    log: AccessLog,
}

impl Proxy {
    pub(crate) fn new(config: &Config, tasks: Tasks, log: AccessLog) -> Self {
        let joined = |index| config.routes.iter().any(|route| route.join && route.backend == index);
        let backends = config.backends.iter().enumerate();
        let house = House {
            routes: config.routes.clone(),
            bounds: Arc::new(config.client.clone()),
            backends: backends
                .map(|(index, backend)| Backend::new(backend, joined(index)))
                .collect(),
            probes: config.backends.iter().map(|backend| Probe::new(&backend.probe)).collect(),
            clients: Clients::new(&config.client),
            registry: Registry::new(&config.join),
            store: Store::new(&config.spool),
            tasks,
            log,
        };
        Self { house: Arc::new(house) }
    }

    /// One request of a connection, from its head to the head of its answer.
    pub(crate) fn visit<B>(
        &self,
        request: Request<B>,
        connection: Option<Arc<Connection>>,
    ) -> impl Future<Output = Response<Reply>> + Send + use<B>
    where
        B: Body<Data = Bytes> + Send + Unpin + 'static,
    {
        let house = self.house.clone();
        async move { house.visit(request, connection).await }
    }

    pub(crate) fn client_bounds(&self) -> Arc<config::Client> {
        self.house.bounds.clone()
    }

    /// What is to be known of a new connection.
    pub(crate) fn connection(&self, peer: SocketAddr) -> Connection {
        let account = self.house.clients.account(ClientKey::of(peer.ip()));
        Connection::new(peer, account, self.house.log.clone())
    }

    pub(crate) fn backends(&self) -> &[Arc<Backend>] {
        &self.house.backends
    }
}

impl<B> tower::Service<Request<B>> for Proxy
where
    B: Body<Data = Bytes> + Send + Unpin + 'static,
{
    type Response = Response<Reply>;
    type Error = Infallible;
    type Future = Pin<Box<dyn Future<Output = Result<Response<Reply>, Infallible>> + Send>>;

    fn poll_ready(&mut self, _cx: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        let visit = self.visit(request, None);
        Box::pin(async { Ok(visit.await) })
    }
}

impl House {
    async fn visit<B>(
        &self,
        request: Request<B>,
        connection: Option<Arc<Connection>>,
    ) -> Response<Reply>
    where
        B: Body<Data = Bytes> + Send + Unpin,
    {
        let (head, body) = request.into_parts();
        // Boxed: it is handed on several times, and is large.
        let head = Box::new(head);
        let accept = head.headers.get(http::header::ACCEPT).cloned();
        let visit = self.open(&head, connection);
        match self.answer(&visit, head, body).await {
            Ok(Answer::Exchange { head, watcher }) => Reply::of_exchange(head, watcher, visit),
            Ok(Answer::Own(response, reason)) => Reply::own(response, reason, visit),
            Err(refusal) => Reply::refusal(&refusal, accept, visit),
        }
    }

    fn open(&self, head: &request::Parts, connection: Option<Arc<Connection>>) -> Visit {
        let facts = Facts {
            id: headers::id_of(&head.headers),
            client: connection.as_ref().map(|connection| self.name_of(connection, head)),
            line: Some((head.method.clone(), path_of(head).into())),
            began: Instant::now(),
        };
        Visit::new(Record::open(&self.log, facts), connection)
    }

    /// For the log: the peer, or for whom it speaks.
    fn name_of(&self, connection: &Connection, head: &request::Parts) -> Arc<str> {
        let peer = connection.peer.ip();
        match client::address(peer, &head.headers, &self.bounds.trusted_proxies) {
            address if address == peer => connection.name.clone(),
            address => address.to_string().into(),
        }
    }

    async fn answer<B>(
        &self,
        visit: &Visit,
        mut head: Box<request::Parts>,
        body: B,
    ) -> Result<Answer, Refusal>
    where
        B: Body<Data = Bytes> + Unpin,
    {
        headers::check(&head, visit.connection().map(|connection| &connection.fields))?;
        if headers::max_forwards(&mut head) == Some(0) {
            return Ok(Answer::Own(
                last_stop(&head),
                "answered for the backend: Max-Forwards is 0",
            ));
        }
        let route = self.route(&head)?;
        let backend = self.backends.get(route.backend).ok_or(Refusal::Internal)?;
        if let Some(probe) = self.probes.get(route.backend).filter(|probe| probe.is_meant(&head)) {
            let answer = probe.answer(backend, |path| self.ask(backend, path)).await;
            return Ok(Answer::Own(answer, "probe: answered for the backend"));
        }
        let admitted = self.admit(visit, &mut head, backend)?;
        let body = self.receive(visit, body, route.max_body).await?;
        let request = Outbound::new(head, body);
        let mut watcher = self.join_or_start(visit, route, backend, admitted, request);
        let head = self.await_head(&mut watcher, route).await?;
        Ok(Answer::Exchange { head, watcher })
    }

    fn route(&self, head: &request::Parts) -> Result<&Route, Refusal> {
        let is_host =
            |name: &str| host_of(head).is_some_and(|host| host.eq_ignore_ascii_case(name));
        let matches = |route: &&Route| {
            route.host.as_deref().is_none_or(is_host)
                && (route.methods.is_empty() || route.methods.contains(&head.method))
                && (route.path == "/" || is_prefix(&route.path, head.uri.path()))
        };
        // The last one matches everything.
        self.routes.iter().find(matches).ok_or(Refusal::Internal)
    }

    /// Counts the request for its client, and makes of its head what the backend gets.
    fn admit(
        &self,
        visit: &Visit,
        head: &mut request::Parts,
        backend: &Backend,
    ) -> Result<Admitted, Refusal> {
        let id = visit.record().id().clone();
        let trusted = &self.bounds.trusted_proxies;
        let connection = visit.connection();
        let nobody = Ipv4Addr::UNSPECIFIED.into();
        let address = connection.map_or(nobody, |connection| connection.peer.ip());
        let client = client::address(address, &head.headers, trusted);
        let key = ClientKey::of(client);
        let own = connection.map(|connection| &connection.account);
        let admitted = match own.filter(|account| account.is_of(key)) {
            Some(account) => account.admit(),
            // Its connection is that of a proxy before us.
            None => self.clients.account(key).admit(),
        };
        let share = admitted.map_err(|bound| match bound {
            TooMany::Exchanges => Refusal::TooManyExchanges,
            TooMany::Orphans => Refusal::TooManyOrphans,
        })?;
        let trusted = client::is_trusted(address, trusted);
        let peer = Peer { fields: connection.map(|connection| &connection.fields), trusted };
        headers::rebuild(head, peer, &id, &backend.host);
        Ok(Admitted { share, caller: client.to_canonical(), trusted })
    }

    /// Takes in the whole body before anything is asked of the backend.
    async fn receive<B>(&self, visit: &Visit, body: B, max: u64) -> Result<Received, Refusal>
    where
        B: Body<Data = Bytes> + Unpin,
    {
        if body.is_end_stream() {
            return Ok(Received::Nothing);
        }
        // Boxed: most requests have no body.
        Box::pin(self.receive_all(visit, body, max)).await
    }

    async fn receive_all<B>(
        &self,
        visit: &Visit,
        mut body: B,
        max: u64,
    ) -> Result<Received, Refusal>
    where
        B: Body<Data = Bytes> + Unpin,
    {
        if body.size_hint().lower() > max {
            return Err(Refusal::BodyTooLong);
        }
        let spool = self.store.spool(Retain::All);
        while let Some(frame) = self.next_frame(visit, &mut body).await? {
            // Trailers end here: a body that is sent with its length has no place for them.
            let Ok(chunk) = frame.into_data() else { continue };
            if spool.written() + chunk.len() as u64 > max {
                return Err(Refusal::BodyTooLong);
            }
            spool.write(chunk).await.map_err(|full: Full| {
                tracing::warn!(reason = %full, "no room for a request body");
                Refusal::SpoolFull
            })?;
        }
        spool.end(End::Whole(None));
        visit.received().await;
        Ok(Received::Spooled(spool))
    }

    async fn next_frame<B>(
        &self,
        visit: &Visit,
        body: &mut B,
    ) -> Result<Option<http_body::Frame<Bytes>>, Refusal>
    where
        B: Body<Data = Bytes> + Unpin,
    {
        let frame = poll_fn(|cx| match Pin::new(&mut *body).poll_frame(cx) {
            Poll::Ready(None) => Poll::Ready(Ok(None)),
            Poll::Ready(Some(Ok(frame))) => Poll::Ready(Ok(Some(frame))),
            Poll::Ready(Some(Err(_))) => Poll::Ready(Err(Refusal::Incomplete)),
            // The rest will never come.
            Poll::Pending if visit.is_half_closed() => Poll::Ready(Err(Refusal::Incomplete)),
            Poll::Pending => Poll::Pending,
        });
        match timeout(self.bounds.body_stall, frame).await {
            Ok(Err(refusal)) => {
                // Half-closed, it can still be told; else nobody is there.
                visit.let_go(refusal.reason());
                Err(refusal)
            }
            Ok(frame) => frame,
            Err(_) => Err(Refusal::BodyStalled),
        }
    }

    /// Hands the request over to an exchange, its own or one that runs for an equal request; from
    /// here on the client only watches.
    fn join_or_start(
        &self,
        visit: &Visit,
        route: &Route,
        backend: &Arc<Backend>,
        admitted: Admitted,
        request: Outbound,
    ) -> Watcher {
        let Admitted { share, caller, trusted } = admitted;
        let joins = route.join && request.only_asks();
        let identity = joins.then(|| Identity::of(route.backend, request.head(), trusted));
        let plan = self.plan(backend, route.on_disconnect, request);
        let ready =
            Ready { share, record: visit.record().clone(), plan, tasks: self.tasks.clone() };
        match identity {
            Some(identity) => self.registry.join_or_start(identity, caller, ready),
            None => exchange::start(ready),
        }
    }

    fn plan(
        &self,
        backend: &Arc<Backend>,
        on_disconnect: Option<OnDisconnect>,
        request: Outbound,
    ) -> Plan {
        let policy = Policy {
            on_disconnect,
            orphan: backend.config.orphan.clone(),
            endless: backend.config.endless,
        };
        Plan {
            backend: backend.clone(),
            request,
            policy,
            store: self.store.clone(),
            retain: Retain::Nothing,
        }
    }

    /// Asks the backend how it is, for whoever wants to know.
    fn ask(&self, backend: &Arc<Backend>, path: &str) -> Option<(Arc<Record>, Watcher)> {
        let facts = Facts {
            id: headers::request_id(),
            client: None,
            line: Some((Method::GET, path.into())),
            began: Instant::now(),
        };
        let record = Record::open(&self.log, facts);
        record.note(|outcome| outcome.because("asked for all who probe"));
        let nobody = ClientKey::of(Ipv4Addr::UNSPECIFIED.into());
        let share = self.clients.account(nobody).admit().ok()?;
        let head = headers::of_probe(path, &backend.host, record.id())?;
        let plan = self.plan(backend, None, Outbound::new(Box::new(head), Received::Nothing));
        let ready = Ready { share, record: record.clone(), plan, tasks: self.tasks.clone() };
        Some((record, exchange::start(ready)))
    }

    async fn await_head(
        &self,
        watcher: &mut Watcher,
        route: &Route,
    ) -> Result<exchange::Head, Refusal> {
        let Limit::At(wait) = self.bounds.wait else { return watcher.head().await };
        match timeout(wait, watcher.head()).await {
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

/// A request that is counted for its client.
struct Admitted {
    share: ClientShare,
    /// The client's address, as far as it is known.
    caller: IpAddr,
    /// What the peer says of its clients is believed.
    trusted: bool,
}

enum Answer {
    Exchange {
        head: exchange::Head,
        watcher: Watcher,
    },
    /// With the reason for the log.
    Own(Response<Bytes>, &'static str),
}

fn path_of(head: &request::Parts) -> &str {
    head.uri.path_and_query().map_or("*", http::uri::PathAndQuery::as_str)
}

fn host_of(head: &request::Parts) -> Option<&str> {
    let from_field = || head.headers.get(http::header::HOST)?.to_str().ok();
    let host = head.uri.authority().map(http::uri::Authority::as_str).or_else(from_field)?;
    // Without the port; an IPv6 address keeps its brackets.
    match host.rsplit_once(':') {
        Some((name, port)) if port.bytes().all(|byte| byte.is_ascii_digit()) => Some(name),
        _ => Some(host),
    }
}

/// By whole segments: `/api` is no prefix of `/apiary`.
fn is_prefix(prefix: &str, path: &str) -> bool {
    match path.strip_prefix(prefix) {
        Some(rest) => rest.is_empty() || rest.starts_with('/') || prefix.ends_with('/'),
        None => false,
    }
}

/// `Max-Forwards: 0`: the request ends here (RFC 9110, sections 7.6.2, 9.3.7 and 9.3.8).
fn last_stop(head: &request::Parts) -> Response<Bytes> {
    if head.method != Method::TRACE {
        let mut response = Response::new(Bytes::new());
        *response.status_mut() = StatusCode::NO_CONTENT;
        return response;
    }
    let mut text = format!("TRACE {} {:?}\r\n", head.uri, head.version).into_bytes();
    for (name, value) in &head.headers {
        let secret =
            [http::header::AUTHORIZATION, http::header::COOKIE, http::header::PROXY_AUTHORIZATION];
        if !secret.contains(name) {
            text.extend_from_slice(name.as_str().as_bytes());
            text.extend_from_slice(b": ");
            text.extend_from_slice(value.as_bytes());
            text.extend_from_slice(b"\r\n");
        }
    }
    text.extend_from_slice(b"\r\n");
    let mut response = Response::new(Bytes::from(text));
    response
        .headers_mut()
        .insert(http::header::CONTENT_TYPE, HeaderValue::from_static("message/http"));
    response
}
