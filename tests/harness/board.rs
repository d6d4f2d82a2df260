//! What a backend has seen: written by its threads, watched by the scene.

use std::collections::HashMap;
use std::io;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use socket2::Socket;

use super::DEADLINE;
use super::message::Head;
use super::wire::{Glance, Wire, glance};

/// One request as it arrived, and what became of its answer.
#[derive(Clone, Debug)]
pub(crate) struct Exchange {
    /// Which connection it came over, counted from 0 in the order of accepting.
    pub(crate) connection: usize,
    pub(crate) head: Head,
    pub(crate) body: Vec<u8>,
    pub(crate) trailers: Vec<(String, String)>,
    /// When the kernel had taken the last byte of the answer.
    pub(crate) answered: Option<Instant>,
    pub(crate) harm: Vec<Harm>,
}

/// What a client did to the backend through whatever stands between them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Harm {
    /// A write failed with EPIPE.
    BrokenPipe,
    /// A read or a write failed with ECONNRESET, also after the answer: somebody closed without
    /// having read it.
    Reset,
    /// The other side ended the connection before its answer was complete.
    EarlyFin,
    /// A request ended before it was whole.
    Truncated,
    /// The bytes that came are not exactly one request.
    Malformed(String),
    /// The scene's own fault: nobody opened a gate.
    Stuck(String),
}

/// What all threads of one backend share.
#[derive(Default)]
pub(super) struct Board {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Default)]
pub(super) struct State {
    pub(super) exchanges: Vec<Exchange>,
    /// `None` once the backend itself is done with the connection.
    pub(super) connections: Vec<Option<Arc<Socket>>>,
    gates: HashMap<String, Gate>,
    pub(super) running: usize,
    pub(super) most_held: usize,
    pub(super) most_open: usize,
    /// Bytes and resets that belong to no exchange.
    pub(super) strays: Vec<String>,
    /// Nobody is accepted any more.
    pub(super) closed: bool,
    pub(super) stopped: bool,
}

#[derive(Default)]
pub(super) struct Gate {
    pub(super) permits: usize,
    pub(super) held: usize,
}

impl Board {
    pub(super) fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn change<T>(&self, change: impl FnOnce(&mut State) -> T) -> T {
        let result = change(&mut self.state());
        self.changed.notify_all();
        result
    }

    /// Asks after every change until there is an answer; `None` at the deadline.
    pub(super) fn wait<T>(&self, ask: impl FnMut(&mut State) -> Option<T>) -> Option<T> {
        self.wait_within(DEADLINE, ask)
    }

    pub(super) fn wait_within<T>(
        &self,
        patience: Duration,
        mut ask: impl FnMut(&mut State) -> Option<T>,
    ) -> Option<T> {
        let start = Instant::now();
        let mut state = self.state();
        loop {
            if let Some(answer) = ask(&mut state) {
                return Some(answer);
            }
            if start.elapsed() > patience {
                return None;
            }
            // Also looks by itself: that a peer has closed changes what is open, and nobody
            // announces it.
            let waited = self.changed.wait_timeout(state, Duration::from_millis(20));
            state = waited.unwrap_or_else(PoisonError::into_inner).0;
        }
    }

    pub(super) fn harm(&self, exchange: usize, harm: Harm) {
        self.change(|state| state.exchanges[exchange].harm.push(harm));
    }

    pub(super) fn harm_connection(&self, connection: usize, harm: Harm) {
        self.change(|state| {
            match state.exchanges.iter_mut().rfind(|exchange| exchange.connection == connection) {
                Some(exchange) => exchange.harm.push(harm),
                None => state
                    .strays
                    .push(format!("{harm:?} on connection {connection} before any request")),
            }
        });
    }

    pub(super) fn accept(&self, socket: Socket) -> (Wire, usize) {
        socket.set_send_buffer_size(SEND_BUFFER).unwrap();
        // A Unix socket has no such thing.
        let _ = socket.set_tcp_nodelay(true);
        socket.set_read_timeout(Some(DEADLINE * 3)).unwrap();
        socket.set_write_timeout(Some(DEADLINE * 3)).unwrap();
        let wire = Wire::new(socket);
        self.change(|state| {
            state.connections.push(Some(wire.socket.clone()));
            state.most_open = state.most_open.max(state.open());
            (wire, state.connections.len() - 1)
        })
    }

    pub(super) fn begin(&self, connection: usize, head: Head) -> usize {
        let harm = Vec::new();
        let exchange = Exchange {
            connection,
            head,
            body: Vec::new(),
            trailers: Vec::new(),
            answered: None,
            harm,
        };
        self.change(|state| {
            state.exchanges.push(exchange);
            state.exchanges.len() - 1
        })
    }
}

impl State {
    pub(super) fn hold(&mut self, gate: &str) {
        self.gate(gate).held += 1;
        self.most_held = self.most_held.max(self.gates.values().map(|gate| gate.held).sum());
    }

    /// Drops the board's hold on the socket, so that the thread's is the last.
    pub(super) fn let_go_of(&mut self, exchange: usize) {
        self.connections[self.exchanges[exchange].connection] = None;
    }

    pub(super) fn mark_answered(&mut self, exchange: usize) {
        self.exchanges[exchange].answered = Some(Instant::now());
    }

    pub(super) fn gate(&mut self, name: &str) -> &mut Gate {
        self.gates.entry(name.to_owned()).or_default()
    }

    /// Connections which neither side has ended, whether or not the thread that serves them knows
    /// already.
    pub(super) fn open(&mut self) -> usize {
        let mut open = 0;
        for (connection, socket) in self.connections.iter().enumerate() {
            match socket.as_deref().map(glance) {
                None | Some(Glance::Fin) => {}
                Some(Glance::Silent | Glance::Bytes) => open += 1,
                // The glance has taken the error from the socket: nobody else will see it.
                Some(Glance::Reset) => {
                    if let Some(exchange) = self
                        .exchanges
                        .iter_mut()
                        .rfind(|exchange| exchange.connection == connection)
                    {
                        exchange.harm.push(Harm::Reset);
                    }
                }
            }
        }
        open
    }
}

impl Harm {
    pub(super) fn of(error: &io::Error) -> Self {
        match error.kind() {
            io::ErrorKind::BrokenPipe => Self::BrokenPipe,
            io::ErrorKind::ConnectionReset => Self::Reset,
            io::ErrorKind::UnexpectedEof => Self::Truncated,
            _ => Self::Stuck(error.to_string()),
        }
    }
}

/// Small, so that "written" means that somebody reads; several times what the loopback device sends
/// at once, below which every byte waits for a delayed acknowledgement.
const SEND_BUFFER: usize = 256 * 1024;
