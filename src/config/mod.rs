//! The configuration in force: what the program needs, parsed out of what the user wrote.
//!
//! [`load()`] lays the file, the environment and the command line over the defaults (`layers`),
//! reads the result (`reader`) into the mirror of the TOML (`file`) and turns that into [`Config`]. What is
//! wrong (`mistake`) is noted and put right (`mending`), so that all of it is found at once.

mod admin;
mod backend;
mod file;
mod files;
mod inspect;
mod layers;
mod listen;
mod load;
mod log;
mod mending;
mod mistake;
mod otel;
mod reader;
mod redis_url;
mod rows;
mod tls;
mod trace;
mod values;

use std::{path::PathBuf, time::Duration};

use http::Method;
use serde::Deserialize;

pub use admin::{Admin, AdminListen};
pub use backend::{Backend, Eject, Health, Hold, Orphan, Queue, Sticky};
pub(crate) use files::{Files, LOOK};
pub use inspect::Inspect;
pub use layers::Origin;
pub use listen::{Address, Listen, Mode, Url};
pub use load::{Loaded, Mistakes, Overrides, Source, load};
pub use log::Access;
pub use mistake::Mistake;
pub use redis_url::RedisUrl;
pub use rows::Change;
pub(crate) use rows::SECRET_VARIABLES;
pub use tls::{BadKeys, ClientAuth, KeyFiles, Tls, client_verifier};
pub use trace::Trace;
pub use values::{Limit, OnDisconnect, Trusted, Workers};

/// Everything that seawall was told, with no question left open.
#[derive(Debug, Clone)]
pub struct Config {
    /// Where clients connect.
    pub listen: Vec<Listen>,
    /// The servers behind; never empty, the first is the one for routes that name none.
    pub backends: Vec<Backend>,
    /// What holds for which requests, best match first; the last one matches everything.
    pub routes: Vec<Route>,
    /// Bounds on what a client may do.
    pub client: Client,
    /// Bounds on what is held of bodies.
    pub spool: Spool,
    /// The command behind us, where there is one.
    pub child: Child,
    /// Requests that are answered by exchanges of others.
    pub join: Join,
    /// Requests that are answered from the result of one before.
    pub replay: Replay,
    /// Connections that have left HTTP.
    pub tunnel: Tunnel,
    /// Where it shows itself.
    pub admin: Admin,
    /// What it keeps to be shown there.
    pub inspect: Inspect,
    /// To whom spans are sent.
    pub trace: Trace,
    /// What is written where.
    pub log: Log,
    /// How the process ends.
    pub drain: Drain,
    /// The threads.
    pub runtime: Runtime,
}

/// What holds for the requests it matches.
#[derive(Debug, Clone)]
pub struct Route {
    /// Host name without port; `None` matches all.
    pub host: Option<String>,
    /// Path prefix, by whole segments.
    pub path: String,
    /// Empty matches all.
    pub methods: Vec<Method>,
    /// Index into [`Config::backends`].
    pub backend: usize,
    /// `None`: finish, and let endless types go after the backend's `endless`.
    pub on_disconnect: Option<OnDisconnect>,
    /// Longest request body in bytes.
    pub max_body: u64,
    /// Equal reads are answered by one exchange.
    pub join: bool,
    /// `Idempotency-Key` is honoured.
    pub replay: bool,
    /// Who is told of interim answers.
    pub early_hints: EarlyHints,
}

/// Whose interim answers (103 Early Hints, 102) are passed on from the backend.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum EarlyHints {
    /// Of all requests but those of HTTP/1.0.
    All,
    /// Of those that show by `Sec-Fetch-Mode` that a browser sends them.
    Browsers,
    /// Of none.
    Off,
}

/// Bounds on what a client may do.
#[derive(Debug, Clone, Deserialize)]
pub struct Client {
    /// From the first byte of a request to the end of its head; then 408.
    #[serde(deserialize_with = "values::duration")]
    pub head_timeout: Duration,
    /// Connections of one client address at once; then 429, or where TLS is spoken, closed.
    #[serde(deserialize_with = "values::count")]
    pub connections: usize,
    /// Connections of all clients at once; then accepting pauses.
    #[serde(deserialize_with = "values::count")]
    pub total_connections: usize,
    /// From the connection to the end of the PROXY header and the TLS handshake; then it is closed.
    #[serde(deserialize_with = "values::duration")]
    pub handshake_timeout: Duration,
    /// A kept connection without a request is closed after this.
    #[serde(deserialize_with = "values::duration")]
    pub idle: Duration,
    /// No byte of a request body for so long: 408.
    #[serde(deserialize_with = "values::duration")]
    pub body_stall: Duration,
    /// Bytes of a request body in a second, in the mean of twice `body_stall`; slower: 408. Zero: no
    /// bound.
    #[serde(deserialize_with = "values::size")]
    pub body_pace: u64,
    /// No byte of the answer taken for so long: the client is let go.
    #[serde(deserialize_with = "values::duration")]
    pub write_stall: Duration,
    /// How long a closing connection is read on, so that the answer is not lost to a reset.
    #[serde(deserialize_with = "values::duration")]
    pub linger: Duration,
    /// No head of the answer after so long: 504, and the exchange goes on.
    pub wait: Limit<Duration>,
    /// Longest request head in bytes; then 431.
    #[serde(deserialize_with = "values::size")]
    pub max_head: u64,
    /// Fields of a request; more: 431.
    #[serde(deserialize_with = "values::field_count")]
    pub max_fields: usize,
    /// Longest request body in bytes; then 413. A route may set its own.
    #[serde(deserialize_with = "values::size")]
    pub max_body: u64,
    /// HTTP/2: streams of one connection at once.
    #[serde(deserialize_with = "values::small_count")]
    pub streams: u32,
    /// HTTP/2: bytes of one request body that may be under way to us.
    #[serde(deserialize_with = "values::window")]
    pub stream_window: u32,
    /// HTTP/2: bytes of all request bodies of a connection that may be under way to us.
    #[serde(deserialize_with = "values::window")]
    pub connection_window: u32,
    /// HTTP/2: a client that was silent for so long, with an answer to come, is asked by a PING
    /// whether it is there; no sign for as long again, and it is gone.
    #[serde(deserialize_with = "values::duration")]
    pub ping: Duration,
    /// HTTP/2: so many streams reset before they were answered, out of at most twice as many: the
    /// connection is sent away.
    #[serde(deserialize_with = "values::small_count")]
    pub early_resets: u32,
    /// HTTP/2: frames that are neither request nor body, within 10 s and beyond what requests and
    /// answers call for: the connection is sent away.
    #[serde(deserialize_with = "values::small_count")]
    pub control_frames: u32,
    /// Exchanges of one client at once, queued ones included; then 429.
    #[serde(deserialize_with = "values::count")]
    pub exchanges: usize,
    /// Orphans of one client at once; from there on its requests get 429.
    #[serde(deserialize_with = "values::count")]
    pub orphans: usize,
    /// Whose `Forwarded` and `X-Forwarded-*` are believed.
    pub trusted_proxies: Trusted,
}

/// Bounds on what is held of bodies.
#[derive(Debug, Clone, Deserialize)]
pub struct Spool {
    /// Bytes of one body in memory; more goes to disk.
    #[serde(deserialize_with = "values::size")]
    pub memory: u64,
    /// How long in all the backend waits for the reader of one answer; at most a tenth of it at a time.
    #[serde(deserialize_with = "values::duration")]
    pub patience: Duration,
    /// Bytes of all bodies in memory.
    #[serde(deserialize_with = "values::size")]
    pub total_memory: u64,
    /// Bytes of all bodies on disk.
    #[serde(deserialize_with = "values::size")]
    pub total_disk: u64,
    /// Folder of the temporary files; empty for the system's.
    pub dir: PathBuf,
}

/// The command that is given behind `--`.
#[derive(Debug, Clone, Deserialize)]
pub struct Child {
    /// How long it may take to end after SIGINT, and again after SIGTERM; then SIGKILL.
    #[serde(deserialize_with = "values::duration")]
    pub grace: Duration,
}

/// Requests that are answered by exchanges of others.
#[derive(Debug, Clone, Deserialize)]
pub struct Join {
    /// Bytes of an answer that are held for those who join; longer ones are closed to newcomers.
    #[serde(deserialize_with = "values::size")]
    pub max_body: u64,
}

/// Requests that are answered from the result of one before.
#[derive(Debug, Clone, Deserialize)]
pub struct Replay {
    /// How long an answer is kept.
    #[serde(deserialize_with = "values::duration")]
    pub keep: Duration,
    /// Answers kept in memory; beyond, the oldest goes.
    #[serde(deserialize_with = "values::count")]
    pub entries: usize,
    /// Bytes of all answers kept in memory; beyond, the oldest goes.
    #[serde(deserialize_with = "values::size")]
    pub total: u64,
    /// Bytes of the longest body that is kept.
    #[serde(deserialize_with = "values::size")]
    pub max_body: u64,
    /// What becomes of a retry while its request runs.
    pub while_running: WhileRunning,
    /// Where several seawalls share what they know.
    #[serde(deserialize_with = "values::redis")]
    pub redis: Option<RedisUrl>,
}

/// What becomes of a retry while its request runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum WhileRunning {
    /// It is answered by the exchange that runs.
    Attach,
    /// 409.
    Conflict,
}

/// Connections that have left HTTP for another protocol, such as WebSocket.
#[derive(Debug, Clone, Copy, Deserialize)]
pub struct Tunnel {
    /// No byte either way for so long: both ends are told to close.
    #[serde(deserialize_with = "values::duration")]
    pub idle: Duration,
    /// How long each end may take for its Close, and again for its FIN; then the connection is cut.
    #[serde(deserialize_with = "values::duration")]
    pub closing: Duration,
    /// A client that has been silent for so long is asked by the kernel whether it is still there.
    #[serde(deserialize_with = "values::duration")]
    pub keepalive: Duration,
}

/// What is written where.
#[derive(Debug, Clone, Deserialize)]
pub struct Log {
    /// The form of both logs.
    pub format: LogFormat,
    /// Diagnostics: a level, or `module=level` pairs.
    #[serde(deserialize_with = "log::level")]
    pub level: String,
    /// One line per exchange.
    pub access: Access,
    /// The part of the lines that is written, from 0 to 1, where nothing went wrong.
    #[serde(deserialize_with = "log::part")]
    pub sample: f64,
    /// In lower case: whose values in a query are not to be seen; `*` for all.
    #[serde(deserialize_with = "log::names")]
    pub redact: Vec<String>,
}

/// The form of log lines.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum LogFormat {
    /// Pretty on a terminal, JSON elsewhere.
    Auto,
    /// For people.
    Pretty,
    /// One JSON object a line.
    Json,
}

/// How the process ends.
#[derive(Debug, Clone, Deserialize)]
pub struct Drain {
    /// Goes on accepting for so long after the signal.
    #[serde(deserialize_with = "values::duration")]
    pub delay: Duration,
    /// Then everything that runs may take this long.
    #[serde(deserialize_with = "values::duration")]
    pub timeout: Duration,
}

/// The threads.
#[derive(Debug, Clone, Deserialize)]
pub struct Runtime {
    /// Threads that serve.
    pub workers: Workers,
    /// How they share the work.
    pub kind: RuntimeKind,
}

/// How threads share the work.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum RuntimeKind {
    /// Each worker accepts for itself; a connection stays with its worker.
    PerCore,
    /// Workers take tasks from each other.
    WorkStealing,
}
