//! A blocking socket, of TCP or of the Unix kind, with what has been read from it ahead.

use std::io::{self, Read, Write};
use std::sync::Arc;

use rustls::{ClientConnection, Stream};
use socket2::Socket;

use super::message::{Framing, field};

pub(crate) struct Wire {
    pub(crate) socket: Arc<Socket>,
    ahead: Vec<u8>,
    /// Where what is said is encrypted.
    pub(crate) tls: Option<Box<ClientConnection>>,
}

/// What the other side has said without being asked, as far as a look can tell.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Glance {
    Silent,
    Bytes,
    Fin,
    Reset,
}

impl Wire {
    pub(crate) fn new(socket: impl Into<Socket>) -> Self {
        Self { socket: Arc::new(socket.into()), ahead: Vec::new(), tls: None }
    }

    /// A head up to its empty line; `None` when the other side ended in order before the first byte
    /// of one.
    pub(crate) fn head(&mut self) -> io::Result<Option<Vec<u8>>> {
        loop {
            if let Some(at) = self.ahead.windows(4).position(|four| four == b"\r\n\r\n") {
                return Ok(Some(self.ahead.drain(..at + 4).collect()));
            }
            if self.more()? == 0 {
                return if self.ahead.is_empty() {
                    Ok(None)
                } else {
                    Err(io::ErrorKind::UnexpectedEof.into())
                };
            }
        }
    }

    /// Reads a body as it is framed; what came before an error stays in `into`. Returns the
    /// trailers.
    pub(crate) fn body(
        &mut self,
        framing: Framing,
        into: &mut Vec<u8>,
    ) -> io::Result<Vec<(String, String)>> {
        match framing {
            Framing::Nothing => Ok(Vec::new()),
            Framing::Length(length) => self.exactly(length, into).map(|()| Vec::new()),
            Framing::Chunked => self.chunks(into),
            Framing::ToTheEnd => self.until_end(into).map(|()| Vec::new()),
        }
    }

    pub(crate) fn exactly(&mut self, length: usize, into: &mut Vec<u8>) -> io::Result<()> {
        let from_ahead = length.min(self.ahead.len());
        into.extend(self.ahead.drain(..from_ahead));
        let mut missing = length - from_ahead;
        let mut piece = vec![0; missing.min(256 * 1024)];
        while missing > 0 {
            let most = missing.min(piece.len());
            let count = self.read(&mut piece[..most])?;
            if count == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            into.extend_from_slice(&piece[..count]);
            missing -= count;
        }
        Ok(())
    }

    pub(crate) fn until_end(&mut self, into: &mut Vec<u8>) -> io::Result<()> {
        into.append(&mut self.ahead);
        let mut piece = [0; 16 * 1024];
        loop {
            match self.read(&mut piece)? {
                0 => return Ok(()),
                count => into.extend_from_slice(&piece[..count]),
            }
        }
    }

    fn chunks(&mut self, into: &mut Vec<u8>) -> io::Result<Vec<(String, String)>> {
        while self.chunk(into)? {}
        let mut trailers = Vec::new();
        loop {
            match self.line()? {
                line if line.is_empty() => return Ok(trailers),
                line => trailers.push(field(&line).map_err(|mistake| malformed(&mistake))?),
            }
        }
    }

    /// One chunk; false for the last, whose trailers are still to be read.
    pub(crate) fn chunk(&mut self, into: &mut Vec<u8>) -> io::Result<bool> {
        let line = self.line()?;
        let size =
            str::from_utf8(&line).ok().and_then(|digits| usize::from_str_radix(digits, 16).ok());
        let size = size.ok_or_else(|| {
            malformed(&format!("chunk size {:?}", String::from_utf8_lossy(&line)))
        })?;
        if size == 0 {
            return Ok(false);
        }
        self.exactly(size, into)?;
        if !self.line()?.is_empty() {
            return Err(malformed("a chunk is longer than it says"));
        }
        Ok(true)
    }

    fn line(&mut self) -> io::Result<Vec<u8>> {
        loop {
            if let Some(at) = self.ahead.windows(2).position(|two| two == b"\r\n") {
                let line = self.ahead.drain(..at + 2).take(at).collect();
                return Ok(line);
            }
            if self.more()? == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
        }
    }

    fn more(&mut self) -> io::Result<usize> {
        let mut piece = [0; 16 * 1024];
        let count = self.read(&mut piece)?;
        self.ahead.extend_from_slice(&piece[..count]);
        Ok(count)
    }

    fn read(&mut self, room: &mut [u8]) -> io::Result<usize> {
        match &mut self.tls {
            None => (&*self.socket).read(room),
            Some(tls) => Stream::new(&mut **tls, &mut &*self.socket).read(room),
        }
    }

    pub(crate) fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        match &mut self.tls {
            None => (&*self.socket).write_all(bytes),
            Some(tls) => Stream::new(&mut **tls, &mut &*self.socket).write_all(bytes),
        }
    }

    /// Says by TLS that nothing more will be said.
    pub(crate) fn close_notify(&mut self) -> io::Result<()> {
        let Some(tls) = &mut self.tls else { return Ok(()) };
        tls.send_close_notify();
        while tls.wants_write() {
            tls.write_tls(&mut &*self.socket)?;
        }
        Ok(())
    }
}

/// Looks at a socket without waiting and without taking anything.
pub(crate) fn glance(socket: &Socket) -> Glance {
    const MSG_PEEK: i32 = 2;
    const MSG_DONTWAIT: i32 = if cfg!(target_os = "linux") { 0x40 } else { 0x80 };
    let mut room = [std::mem::MaybeUninit::uninit()];
    match socket.recv_with_flags(&mut room, MSG_PEEK | MSG_DONTWAIT) {
        Ok(0) => Glance::Fin,
        Ok(_) => Glance::Bytes,
        Err(error)
            if matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted) =>
        {
            Glance::Silent
        }
        Err(_) => Glance::Reset,
    }
}

fn malformed(what: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, what)
}
