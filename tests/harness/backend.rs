//! The scripted backend: it does to the letter what a scene tells it, and records what was done to
//! it.

use std::io;
use std::net::{Ipv4Addr, Shutdown, SocketAddr, TcpListener};
use std::os::unix::net::UnixListener;
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use socket2::Socket;

use super::board::{Board, Exchange, Harm, State};
use super::message::Head;
use super::talk::{After, Talk};
use super::wire::Wire;

pub(crate) struct Backend {
    /// Of TCP; nobody's, where it listens at a file.
    pub(crate) address: SocketAddr,
    board: Arc<Board>,
    /// With the socket at which it listens.
    accepting: Mutex<Option<(Socket, JoinHandle<()>)>>,
}

const NOBODY: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(Ipv4Addr::UNSPECIFIED), 0);

type Script = dyn Fn(&mut Talk) -> io::Result<()> + Send + Sync;

impl Backend {
    /// Runs the script once for every request; a thread for each connection, kept alive as HTTP/1.1
    /// has it.
    pub(crate) fn start(
        script: impl Fn(&mut Talk) -> io::Result<()> + Send + Sync + 'static,
    ) -> Self {
        Self::run(any_address(), Arc::new(script), None)
    }

    /// One that serves one connection at a time to its end, an idle one too, as the simplest
    /// servers do.
    pub(crate) fn one_thread(
        script: impl Fn(&mut Talk) -> io::Result<()> + Send + Sync + 'static,
    ) -> Self {
        Self::run(any_address(), Arc::new(script), Some(Arc::new(Mutex::new(()))))
    }

    /// One that takes over a listener, with all who have connected to it by now.
    pub(crate) fn over(
        listener: TcpListener,
        script: impl Fn(&mut Talk) -> io::Result<()> + Send + Sync + 'static,
    ) -> Self {
        Self::run(listener, Arc::new(script), None)
    }

    /// One that listens at a socket file.
    pub(crate) fn at_file(
        path: &Path,
        script: impl Fn(&mut Talk) -> io::Result<()> + Send + Sync + 'static,
    ) -> Self {
        Self::run(UnixListener::bind(path).unwrap(), Arc::new(script), None)
    }

    fn run(
        listener: impl Into<Socket>,
        script: Arc<Script>,
        only_thread: Option<Arc<Mutex<()>>>,
    ) -> Self {
        let listener: Socket = listener.into();
        let address = listener.local_addr().unwrap();
        let board = Arc::new(Board::default());
        let watched = board.clone();
        let listens = listener.try_clone().unwrap();
        let accepting = thread::spawn(move || {
            loop {
                let accepted = listener.accept();
                if watched.state().closed {
                    return;
                }
                // Out of descriptors, for a moment.
                let Ok((socket, _)) = accepted else {
                    thread::sleep(Duration::from_millis(1));
                    continue;
                };
                let (wire, connection) = watched.accept(socket);
                let (script, board, only_thread) =
                    (script.clone(), watched.clone(), only_thread.clone());
                thread::spawn(move || {
                    let _turn = only_thread.as_ref().map(|only| only.lock().unwrap());
                    serve(wire, connection, &board, &*script);
                });
            }
        });
        let address = address.as_socket().unwrap_or(NOBODY);
        Self { address, board, accepting: Mutex::new(Some((listens, accepting))) }
    }

    /// One that holds each request at a gate of its target's name, and answers with that.
    pub(crate) fn held() -> Self {
        Self::start(|talk| {
            let target = talk.target();
            talk.hold(&target)?;
            talk.answer(target)
        })
    }

    /// Nobody listens any more when this returns. What was accepted goes on.
    pub(crate) fn close(&self) {
        let Some((listens, accepting)) = self.accepting.lock().unwrap().take() else { return };
        self.board.change(|state| state.closed = true);
        // Not closed alone: a process that is just being started has a copy of it, and would listen on.
        listens.shutdown(Shutdown::Both).unwrap();
        let _ = accepting.join();
    }

    pub(crate) fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    pub(crate) fn port(&self) -> String {
        self.address.port().to_string()
    }

    /// Lets all pass who are held at this gate, now and later.
    pub(crate) fn release(&self, gate: &str) {
        self.board.change(|state| state.gate(gate).permits = usize::MAX);
    }

    pub(crate) fn release_one(&self, gate: &str) {
        self.board.change(|state| state.gate(gate).permits += 1);
    }

    /// Waits until so many exchanges are held at the gate at once.
    pub(crate) fn wait_held(&self, gate: &str, count: usize) {
        self.wait(&format!("{count} held at {gate:?}"), |state| {
            (state.gate(gate).held == count).then_some(())
        });
    }

    /// Waits for the first request with this target.
    pub(crate) fn wait_begun(&self, target: &str) {
        self.wait(&format!("{target} has come"), |state| {
            let mut exchanges = state.exchanges.iter();
            exchanges.any(|exchange| exchange.head.target() == target).then_some(())
        });
    }

    /// Waits for the first request with this target, and for the end of its answer.
    pub(crate) fn wait_answered(&self, target: &str) -> Exchange {
        self.wait(&format!("{target} is answered"), |state| {
            let mut ended = state.exchanges.iter().filter(|exchange| exchange.answered.is_some());
            ended.find(|exchange| exchange.head.target() == target).cloned()
        })
    }

    /// Waits until somebody has done harm to the exchange with this target, for scenes in which
    /// that is right.
    pub(crate) fn wait_harmed(&self, target: &str) -> Vec<Harm> {
        self.wait(&format!("{target} is cut"), |state| {
            let mut harmed = state.exchanges.iter().filter(|exchange| !exchange.harm.is_empty());
            harmed
                .find(|exchange| exchange.head.target() == target)
                .map(|exchange| exchange.harm.clone())
        })
    }

    /// Waits until the other side has ended all connections.
    pub(crate) fn wait_left_alone(&self) {
        self.wait("every connection has ended", |state| (state.open() == 0).then_some(()));
    }

    pub(crate) fn exchanges(&self) -> Vec<Exchange> {
        self.board.state().exchanges.clone()
    }

    /// The targets asked for, in the order in which their heads came.
    pub(crate) fn targets(&self) -> Vec<String> {
        self.board
            .state()
            .exchanges
            .iter()
            .map(|exchange| exchange.head.target().to_owned())
            .collect()
    }

    /// How many connections were ever accepted.
    pub(crate) fn connections(&self) -> usize {
        self.board.state().connections.len()
    }

    pub(crate) fn most_open_at_once(&self) -> usize {
        self.board.state().most_open
    }

    /// How many were ever held at gates at once, and so surely ran at once.
    pub(crate) fn most_held_at_once(&self) -> usize {
        self.board.state().most_held
    }

    /// Forgets the exchanges so far, for scenes played many times over.
    pub(crate) fn forget(&self) {
        self.wait("nothing runs any more", |state| {
            (state.running == 0).then(|| state.exchanges.clear())
        });
    }

    /// Every exchange that has begun also ends, whole, and nothing was done to it.
    #[track_caller]
    pub(crate) fn assert_unharmed(&self) {
        self.wait("every exchange has ended", |state| {
            let ended =
                |exchange: &Exchange| exchange.answered.is_some() || !exchange.harm.is_empty();
            (state.running == 0 && state.exchanges.iter().all(ended)).then_some(())
        });
        let state = self.board.state();
        for exchange in &state.exchanges {
            assert!(
                exchange.harm.is_empty(),
                "{:?} was done to {:?}",
                exchange.harm,
                exchange.head.start
            );
        }
        assert!(state.strays.is_empty(), "{:?}", state.strays);
    }

    #[track_caller]
    fn wait<T>(&self, what: &str, ask: impl FnMut(&mut State) -> Option<T>) -> T {
        self.board.wait(ask).unwrap_or_else(|| {
            let state = self.board.state();
            let short = |exchange: &Exchange| {
                (exchange.head.start.clone(), exchange.answered, exchange.harm.clone())
            };
            let seen: Vec<_> = state.exchanges.iter().map(short).collect();
            panic!(
                "the backend waited in vain until {what}; it saw {seen:#?}, strays {:?}",
                state.strays
            )
        })
    }
}

impl Drop for Backend {
    fn drop(&mut self) {
        self.board.change(|state| state.stopped = true);
        self.close();
    }
}

fn any_address() -> TcpListener {
    TcpListener::bind("127.0.0.1:0").unwrap()
}

/// The life of one connection.
fn serve(mut wire: Wire, connection: usize, board: &Board, script: &Script) {
    let mut turn = 0;
    loop {
        let head = match wire.head() {
            Ok(Some(head)) => head,
            Ok(None) => break,
            Err(error)
                if matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut) =>
            {
                break;
            }
            Err(error) => {
                board.harm_connection(connection, Harm::of(&error));
                break;
            }
        };
        let Some(exchange) = receive(&mut wire, connection, head, board) else { break };
        let mut talk = Talk::new(&mut wire, board, exchange, turn);
        turn += 1;
        let played = script(&mut talk);
        let after = talk.after();
        let asked_to_close = board.change(|state| {
            state.running -= 1;
            match &played {
                Ok(()) => state.mark_answered(exchange),
                Err(error) => state.exchanges[exchange].harm.push(Harm::of(error)),
            }
            state.exchanges[exchange].head.says_close()
        });
        if played.is_err() {
            break;
        }
        match after {
            After::Keep if !asked_to_close => {}
            After::Reset => break,
            After::Keep | After::Close => {
                end_in_order(&mut wire, connection, board);
                break;
            }
        }
    }
    board.change(|state| state.connections[connection] = None);
}

/// Reads the request's body; `None` when it was harmed, which is then recorded.
fn receive(wire: &mut Wire, connection: usize, raw: Vec<u8>, board: &Board) -> Option<usize> {
    let (head, mistake) = match Head::strictly(&raw) {
        Ok(head) => (head, None),
        Err(mistake) => {
            let start = String::from_utf8_lossy(&raw).lines().next().unwrap_or_default().to_owned();
            (Head { raw, start, fields: Vec::new() }, Some(mistake))
        }
    };
    let framing = mistake.map_or_else(|| head.request_framing(), Err);
    let exchange = board.begin(connection, head);
    let mut body = Vec::new();
    let received = match framing {
        Ok(framing) => wire.body(framing, &mut body).map_err(|error| match error.kind() {
            io::ErrorKind::InvalidData => Harm::Malformed(error.to_string()),
            _ => Harm::Truncated,
        }),
        Err(mistake) => Err(Harm::Malformed(mistake)),
    };
    board.change(|state| {
        state.exchanges[exchange].body = body;
        match received {
            Ok(trailers) => {
                state.exchanges[exchange].trailers = trailers;
                state.running += 1;
                Some(exchange)
            }
            Err(harm) => {
                state.exchanges[exchange].harm.push(harm);
                None
            }
        }
    })
}

/// Says that this was all and reads on: only so does a RST by somebody who has not read everything
/// come to light.
fn end_in_order(wire: &mut Wire, connection: usize, board: &Board) {
    let _ = wire.socket.shutdown(Shutdown::Write);
    let mut more = Vec::new();
    match wire.until_end(&mut more) {
        Err(error) if Harm::of(&error) == Harm::Reset => {
            board.harm_connection(connection, Harm::Reset);
        }
        _ if !more.is_empty() => {
            let stray = format!("after the last answer: {:?}", String::from_utf8_lossy(&more));
            board.change(|state| state.strays.push(stray));
        }
        _ => {}
    }
}
