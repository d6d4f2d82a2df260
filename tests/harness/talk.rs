//! One exchange from the backend's side: what a script says and waits for.

use std::io;
use std::mem::MaybeUninit;
use std::net::Shutdown;
use std::thread;
use std::time::Duration;

use super::DEADLINE;
use super::board::{Board, Exchange, Harm};
use super::wire::{Glance, Wire, glance};

pub(crate) struct Talk<'a> {
    wire: &'a mut Wire,
    board: &'a Board,
    exchange: usize,
    /// How many exchanges this connection has carried before.
    pub(crate) turn: usize,
    after: After,
}

/// What becomes of the connection after an exchange.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum After {
    Keep,
    Close,
    Reset,
}

impl<'a> Talk<'a> {
    pub(super) fn new(wire: &'a mut Wire, board: &'a Board, exchange: usize, turn: usize) -> Self {
        Self { wire, board, exchange, turn, after: After::Keep }
    }

    /// The request as it came.
    pub(crate) fn request(&self) -> Exchange {
        self.board.state().exchanges[self.exchange].clone()
    }

    pub(crate) fn target(&self) -> String {
        self.board.state().exchanges[self.exchange].head.target().to_owned()
    }

    /// Is this the first request with this target?
    pub(crate) fn is_first(&self, target: &str) -> bool {
        let state = self.board.state();
        let mut before = state.exchanges[..self.exchange].iter();
        !before.any(|exchange| exchange.head.target() == target)
    }

    /// Waits at the gate until the scene releases it. Does not look at the other side meanwhile, as
    /// a view that sleeps does not.
    pub(crate) fn hold(&mut self, gate: &str) -> io::Result<()> {
        self.board.change(|state| state.hold(gate));
        let passed = self.board.wait_within(HELD, |state| {
            let stopped = state.stopped;
            let gate = state.gate(gate);
            if gate.permits > 0 && gate.permits < usize::MAX {
                gate.permits -= 1;
                return Some(());
            }
            (gate.permits > 0 || stopped).then_some(())
        });
        self.board.change(|state| state.gate(gate).held -= 1);
        passed.ok_or_else(|| {
            io::Error::new(io::ErrorKind::TimedOut, format!("nobody released {gate:?}"))
        })
    }

    /// Writes, after a look whether somebody is still there: a FIN now is one before the answer is
    /// complete.
    pub(crate) fn write(&mut self, bytes: impl AsRef<[u8]>) -> io::Result<()> {
        match glance(&self.wire.socket) {
            Glance::Fin => self.board.harm(self.exchange, Harm::EarlyFin),
            Glance::Reset => self.board.harm(self.exchange, Harm::Reset),
            Glance::Bytes => self
                .board
                .harm(self.exchange, Harm::Malformed("more bytes than the request".into())),
            Glance::Silent => {}
        }
        self.wire.write(bytes.as_ref())
    }

    /// A whole answer with its length.
    pub(crate) fn answer(&mut self, body: impl AsRef<[u8]>) -> io::Result<()> {
        self.answer_with("200 OK", "", body)
    }

    /// The fields end in CRLF each.
    pub(crate) fn answer_with(
        &mut self,
        status: &str,
        fields: &str,
        body: impl AsRef<[u8]>,
    ) -> io::Result<()> {
        let body = body.as_ref();
        let mut bytes =
            format!("HTTP/1.1 {status}\r\n{fields}Content-Length: {}\r\n\r\n", body.len())
                .into_bytes();
        bytes.extend_from_slice(body);
        self.write(bytes)
    }

    pub(crate) fn chunked_head(&mut self, fields: &str) -> io::Result<()> {
        self.write(format!("HTTP/1.1 200 OK\r\n{fields}Transfer-Encoding: chunked\r\n\r\n"))
    }

    pub(crate) fn chunk(&mut self, bytes: impl AsRef<[u8]>) -> io::Result<()> {
        let bytes = bytes.as_ref();
        let mut chunk = format!("{:x}\r\n", bytes.len()).into_bytes();
        chunk.extend_from_slice(bytes);
        chunk.extend_from_slice(b"\r\n");
        self.write(chunk)
    }

    pub(crate) fn last_chunk(&mut self) -> io::Result<()> {
        self.write("0\r\n\r\n")
    }

    /// The connection ends in order when the script does.
    pub(crate) fn close(&mut self) {
        self.after = After::Close;
    }

    /// The connection ends in a RST when the script does.
    pub(crate) fn reset(&mut self) {
        // The thread and the board both hold the socket: it is reset when the last of them lets go.
        self.wire.socket.set_linger(Some(Duration::ZERO)).unwrap();
        self.after = After::Reset;
        self.board.change(|state| state.let_go_of(self.exchange));
    }

    /// After this answer the connection looks kept, but whatever comes over it is not read and is
    /// answered with a RST: what a client meets whose request crosses the server's close on the
    /// way.
    pub(crate) fn turn_stale(&mut self) -> io::Result<()> {
        self.wire.socket.set_read_timeout(Some(DEADLINE))?;
        self.board.change(|state| state.mark_answered(self.exchange));
        if matches!(self.wire.socket.peek(&mut [MaybeUninit::uninit()]), Ok(1)) {
            self.reset();
        } else {
            self.close();
        }
        Ok(())
    }

    /// The same where it is the server's FIN that the request crosses: a RST behind that.
    pub(crate) fn turn_away(&mut self) -> io::Result<()> {
        self.turn_stale()?;
        if self.after == After::Reset {
            self.wire.socket.set_linger(None)?;
            self.wire.socket.shutdown(Shutdown::Write)?;
        }
        Ok(())
    }

    /// The pace of an application that works for a while between two writes.
    pub(crate) fn pause() {
        thread::sleep(Duration::from_millis(5));
    }

    /// Waits for the next request no longer than this, then closes.
    pub(crate) fn keep_for(&mut self, idle: Duration) -> io::Result<()> {
        self.wire.socket.set_read_timeout(Some(idle))
    }

    /// Has answered, and waits for the other side to close first, which is in order now.
    pub(crate) fn linger(&mut self) -> io::Result<()> {
        self.close();
        self.wire.socket.set_read_timeout(Some(DEADLINE))?;
        match self.wire.socket.peek(&mut [MaybeUninit::uninit()]) {
            Ok(0) => Ok(()),
            Ok(_) => Err(io::Error::other("bytes over a connection that was to end")),
            Err(error) => Err(error),
        }
    }

    /// Waits until the other side has gone, in whatever way.
    pub(crate) fn wait_gone(&mut self) -> io::Result<()> {
        self.wire.socket.set_read_timeout(Some(DEADLINE))?;
        match self.wire.socket.peek(&mut [MaybeUninit::uninit()]) {
            Ok(0) => {
                self.board.harm(self.exchange, Harm::EarlyFin);
                Ok(())
            }
            Ok(_) => Err(io::Error::other("bytes after the request")),
            Err(error) => Err(error),
        }
    }

    pub(super) fn after(&self) -> After {
        self.after
    }
}

/// How long a view sleeps where nobody wakes it. Longer than any scene takes, those with a browser too: what
/// has to wait in there has deadlines of its own, and at its end all are woken.
const HELD: Duration = Duration::from_secs(150);
