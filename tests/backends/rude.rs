//! Clients on raw sockets: rude ones that leave in the middle of things, and one that is patient.

use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::time::Duration;

use socket2::SockRef;

use crate::output::PATIENCE;

/// How a rude client leaves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Leaving {
    /// Closes its socket, as a browser's stop button does.
    Fin,
    /// Resets the connection, as a killed or unplugged one does.
    Rst,
}

/// A client that has sent a request, or the beginning of one.
pub(crate) struct Client(TcpStream);

impl Client {
    pub(crate) fn sends(to: SocketAddr, request: impl AsRef<[u8]>) -> Self {
        let mut client = Self(TcpStream::connect(to).expect("somebody listens"));
        client.0.set_read_timeout(Some(PATIENCE)).expect("a bound for reading");
        client.0.set_write_timeout(Some(PATIENCE)).expect("a bound for writing");
        client.and_sends(request);
        client
    }

    /// One request, whole, and its answer; where nobody listens, that is told too.
    pub(crate) fn asks(to: SocketAddr, request: impl AsRef<[u8]>) -> Result<Vec<u8>, String> {
        let stream = TcpStream::connect(to).map_err(|error| format!("no connection: {error}"))?;
        stream.set_read_timeout(Some(PATIENCE)).expect("a bound for reading");
        let mut client = Self(stream);
        client.0.write_all(request.as_ref()).map_err(|error| format!("not sent: {error}"))?;
        client.answered()
    }

    pub(crate) fn and_sends(&mut self, bytes: impl AsRef<[u8]>) {
        self.0.write_all(bytes.as_ref()).expect("the other side reads");
    }

    /// Reads until it holds so much of the answer.
    pub(crate) fn reads(&mut self, length: usize) -> Vec<u8> {
        let mut answer = vec![0; length];
        self.0.read_exact(&mut answer).expect("an answer so long");
        answer
    }

    pub(crate) fn leaves(self, how: Leaving) {
        if how == Leaving::Rst {
            SockRef::from(&self.0).set_linger(Some(Duration::ZERO)).expect("SO_LINGER");
        }
        drop(self);
    }

    /// Waits for the whole answer, which ends with the connection: the request said `Connection:
    /// close`.
    pub(crate) fn answered(mut self) -> Result<Vec<u8>, String> {
        let mut answer = Vec::new();
        self.0.read_to_end(&mut answer).map_err(|error| format!("no whole answer: {error}"))?;
        let _ = self.0.shutdown(Shutdown::Both);
        body(&answer).ok_or_else(|| {
            format!(
                "not a whole 200: {}",
                String::from_utf8_lossy(&answer[..answer.len().min(400)])
            )
        })
    }
}

/// The body of a whole answer with status 200, by its framing; interim answers before it are
/// skipped.
fn body(answer: &[u8]) -> Option<Vec<u8>> {
    let end = answer.windows(4).position(|bytes| bytes == b"\r\n\r\n")?;
    let (head, rest) =
        (String::from_utf8_lossy(&answer[..end]).to_ascii_lowercase(), &answer[end + 4..]);
    let field = |name| head.lines().find_map(|line| line.strip_prefix(name));
    let status = head.split(' ').nth(1)?;
    if status == "100" {
        body(rest)
    } else if status != "200" {
        None
    } else if field("transfer-encoding: chunked").is_some() {
        dechunked(rest)
    } else if let Some(length) = field("content-length: ") {
        (length.parse() == Ok(rest.len())).then(|| rest.to_vec())
    } else {
        Some(rest.to_vec())
    }
}

/// `None` unless the last chunk has come.
fn dechunked(mut rest: &[u8]) -> Option<Vec<u8>> {
    let mut body = Vec::new();
    loop {
        let end = rest.windows(2).position(|bytes| bytes == b"\r\n")?;
        let length = usize::from_str_radix(str::from_utf8(&rest[..end]).ok()?, 16).ok()?;
        if length == 0 {
            return Some(body);
        }
        let chunk = rest.get(end + 2..end + 2 + length)?;
        body.extend_from_slice(chunk);
        rest = rest.get(end + 2 + length + 2..)?;
    }
}
