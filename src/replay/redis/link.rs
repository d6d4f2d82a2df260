//! The connection to Redis: made when it is needed, replaced when it is dead, and not waited for
//! while Redis is lost.

use std::{
    fmt,
    sync::{
        Arc, Weak,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use ::redis::{
    AsyncConnectionConfig, ErrorKind, RedisError, RedisResult, ScriptInvocation,
    aio::MultiplexedConnection,
};
use bytes::Bytes;
use tokio::{
    sync::{Semaphore, watch},
    time::{sleep, timeout},
};

use super::{Lost, scripts::Scripts};
use crate::{config::RedisUrl, tasks::Tasks};

pub(super) struct Link {
    pub scripts: Scripts,
    /// KiB of answers that may wait for a lost Redis to come back; beyond, they are given up.
    pub waiting: Semaphore,
    url: RedisUrl,
    timeout: Duration,
    state: watch::Sender<State>,
    /// The log says that Redis is lost.
    lost: AtomicBool,
}

#[derive(Clone)]
struct State {
    /// How many connections there were, this one included.
    connections: u64,
    connection: Connection,
}

#[derive(Clone)]
enum Connection {
    /// Nobody dials.
    None,
    /// The first one, or one in the place of a dead one: callers wait for it.
    Dialling,
    Open(MultiplexedConnection),
    /// Dialled again and again; callers are told at once.
    Lost(Lost),
}

impl Link {
    pub(super) fn new(url: RedisUrl, timeout: Duration) -> Self {
        Self {
            scripts: Scripts::new(),
            waiting: Semaphore::new(WAITING),
            url,
            timeout,
            state: watch::Sender::new(State { connections: 0, connection: Connection::None }),
            lost: AtomicBool::new(false),
        }
    }

    pub(super) fn is_to(&self, url: &RedisUrl) -> bool {
        self.url == *url
    }

    /// Runs a script. Ends within the time-out, whatever Redis does.
    pub(super) async fn ask(
        self: &Arc<Self>,
        script: &ScriptInvocation<'_>,
    ) -> Result<Option<Bytes>, Lost> {
        let mut asked = None;
        match timeout(self.timeout, self.ask_in_peace(script, &mut asked)).await {
            Ok(answer) => answer,
            Err(_) => {
                if let Some(number) = asked {
                    self.lose(number, Lost::Silent, "no answer");
                }
                Err(Lost::Silent)
            }
        }
    }

    /// `asked`: the number of the connection over which an answer is awaited.
    async fn ask_in_peace(
        self: &Arc<Self>,
        script: &ScriptInvocation<'_>,
        asked: &mut Option<u64>,
    ) -> Result<Option<Bytes>, Lost> {
        let mut attempts = 0;
        loop {
            attempts += 1;
            let (mut connection, number) = self.connection().await?;
            *asked = Some(number);
            let error = match script.invoke_async(&mut connection).await {
                Ok(answer) => return Ok(answer),
                Err(error) => error,
            };
            *asked = None;
            match Lost::of(&error) {
                // Perhaps only this connection was dead: Redis closes idle ones, and may have been
                // restarted long ago. All scripts can be sent twice. If it is Redis, dialling fails.
                Lost::Unreachable if attempts < ATTEMPTS => self.close(number),
                // This key is at fault, and no other.
                Lost::Unreadable => return Err(Lost::Unreadable),
                lost => {
                    self.lose(number, lost, &said(&error));
                    return Err(lost);
                }
            }
        }
    }

    /// How many connections there were. More of them than before: Redis may have been restarted.
    pub(super) fn connections(&self) -> u64 {
        self.state.borrow().connections
    }

    /// Waits for a connection that is newer than this one.
    pub(super) async fn connected_anew(&self, known: u64) {
        // It fails only when the sender is gone, and that is ours.
        let _ = self.state.subscribe().wait_for(|state| state.connections > known).await;
    }

    async fn connection(self: &Arc<Self>) -> Result<(MultiplexedConnection, u64), Lost> {
        let mut state = self.state.subscribe();
        loop {
            let mine = self.change(
                |state| matches!(state.connection, Connection::None),
                |state| state.connection = Connection::Dialling,
            );
            if mine {
                self.dial();
            }
            let settled = |state: &State| !matches!(state.connection, Connection::Dialling);
            let state = state.wait_for(settled).await.map_err(|_| Lost::Ending)?.clone();
            match state.connection {
                Connection::Open(connection) => return Ok((connection, state.connections)),
                Connection::Lost(lost) => return Err(lost),
                Connection::None | Connection::Dialling => {}
            }
        }
    }

    /// Gives up a dead connection. The next caller dials, and others wait with it.
    fn close(&self, number: u64) {
        self.change(|state| state.is_open(number), |state| state.connection = Connection::None);
    }

    /// Gives up a connection because Redis is lost. Only the first who notices does something.
    fn lose(self: &Arc<Self>, number: u64, lost: Lost, reason: &str) {
        let first = self.change(
            |state| state.is_open(number),
            |state| state.connection = Connection::Lost(lost),
        );
        if first {
            self.log_lost(lost, reason);
            self.dial();
        }
    }

    fn dial(self: &Arc<Self>) {
        Tasks::background(dial(Dialler(Arc::downgrade(self))));
    }

    async fn connect(&self) -> Result<MultiplexedConnection, (Lost, String)> {
        // The one time-out is ours: the crate's would only be a second bound to keep in step.
        let config =
            AsyncConnectionConfig::new().set_connection_timeout(None).set_response_timeout(None);
        let connected: Result<RedisResult<_>, _> = timeout(self.timeout, async {
            let client = &self.url.client;
            let mut connection =
                client.get_multiplexed_async_connection_with_config(&config).await?;
            // It may accept and hang, refuse the password, be loading, full or read-only. So it
            // is asked for what it is needed for.
            let probe = self.scripts.claim(PROBE, PROBE.as_bytes(), self.timeout);
            probe.invoke_async::<Option<Bytes>>(&mut connection).await?;
            Ok(connection)
        })
        .await;
        match connected {
            Ok(Ok(connection)) => Ok(connection),
            Ok(Err(error)) => Err((Lost::of(&error), said(&error))),
            Err(_) => Err((Lost::Silent, "no answer".into())),
        }
    }

    fn log_lost(&self, lost: Lost, reason: &str) {
        if !self.lost.swap(true, Ordering::Relaxed) {
            tracing::warn!(redis = self.url.name, reason, "replay: {lost}; going on without it");
        }
    }

    fn log_back(&self) {
        if self.lost.swap(false, Ordering::Relaxed) {
            tracing::info!(redis = self.url.name, "replay: Redis is back");
        }
    }

    fn change(&self, applies: impl Fn(&State) -> bool, change: impl Fn(&mut State)) -> bool {
        self.state.send_if_modified(|state| {
            let applies = applies(state);
            if applies {
                change(state);
            }
            applies
        })
    }
}

impl State {
    fn is_open(&self, number: u64) -> bool {
        self.connections == number && matches!(self.connection, Connection::Open(_))
    }
}

/// Who dials. There is one at most, and where its worker ends, the next caller dials instead.
struct Dialler(Weak<Link>);

impl Drop for Dialler {
    fn drop(&mut self) {
        let Some(link) = self.0.upgrade() else { return };
        link.change(
            |state| matches!(state.connection, Connection::Dialling | Connection::Lost(_)),
            |state| state.connection = Connection::None,
        );
    }
}

/// Dials until Redis answers, or nobody is left who would ask it.
async fn dial(mut dialler: Dialler) {
    while let Some(link) = dialler.0.upgrade() {
        match link.connect().await {
            Ok(connection) => {
                link.log_back();
                // What becomes of this connection is no longer its affair.
                dialler.0 = Weak::new();
                link.state.send_modify(|state| {
                    state.connections += 1;
                    state.connection = Connection::Open(connection);
                });
                return;
            }
            Err((lost, reason)) => {
                link.log_lost(lost, &reason);
                link.state.send_modify(|state| state.connection = Connection::Lost(lost));
            }
        }
        drop(link);
        sleep(RETRY).await;
    }
}

impl Lost {
    fn of(error: &RedisError) -> Self {
        match error.kind() {
            _ if error.code() == Some("WRONGTYPE") => Self::Unreadable,
            ErrorKind::Server(_) | ErrorKind::Extension | ErrorKind::AuthenticationFailed => {
                Self::Refused
            }
            _ => Self::Unreachable,
        }
    }
}

/// For the log. Of what Redis says the code alone: some of its errors repeat the command, and that
/// may be the one with the password.
fn said(error: &RedisError) -> String {
    match error.code() {
        Some(code) => code.to_owned(),
        None if error.is_io_error() => error.to_string(),
        None => error.category().to_owned(),
    }
}

impl fmt::Debug for Link {
    fn fmt(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        to.debug_tuple("Link").field(&self.url.name).finish()
    }
}

/// Connections that may break under one call before Redis counts as lost.
const ATTEMPTS: u32 = 3;
/// Between two attempts to reach a lost Redis.
const RETRY: Duration = Duration::from_millis(500);
/// In KiB.
const WAITING: usize = 16 * 1024;
/// No key of a request: those are hexadecimal.
const PROBE: &str = "seawall:replay:probe";
