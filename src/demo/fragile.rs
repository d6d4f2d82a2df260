//! A server as fragile as they come: one thread, blocking, and every write to a client that has
//! left is an error.

use std::{
    io::{self, BufRead, BufReader, Read, Write},
    net::{SocketAddr, TcpListener, TcpStream},
    sync::Arc,
    thread::sleep,
    time::Duration,
};

use crate::{lock::Mutex, runtime};

/// What the work behind an answer takes.
const WORK: Duration = Duration::from_millis(400);
/// A download: so many pieces of so many bytes.
const PIECES: usize = 48;
const PIECE: usize = 256 * 1024;
/// The path of those who come afterwards; what they do is not counted.
pub(super) const PATIENT: &str = "/patient";

pub(super) struct Fragile {
    address: SocketAddr,
    seen: Arc<Mutex<Seen>>,
}

/// What happened to it.
#[derive(Debug, Default, Clone, Copy)]
pub(super) struct Seen {
    /// Requests that it worked on.
    pub ran: usize,
    /// Answers that it could not write.
    pub broken: usize,
    /// Uploads that ended before their end.
    pub truncated: usize,
}

impl Fragile {
    pub(super) fn start() -> io::Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0")?;
        let address = listener.local_addr()?;
        let seen = Arc::<Mutex<Seen>>::default();
        let counts = seen.clone();
        runtime::thread("fragile", move || {
            for client in listener.incoming().flatten() {
                serve(&client, &counts);
            }
        });
        Ok(Self { address, seen })
    }

    pub(super) fn address(&self) -> SocketAddr {
        self.address
    }

    /// What was seen since the last time.
    pub(super) fn take_seen(&self) -> Seen {
        std::mem::take(&mut self.seen.lock())
    }
}

fn serve(client: &TcpStream, seen: &Mutex<Seen>) {
    let Ok((path, length)) = read_head(&mut BufReader::with_capacity(1, client)) else { return };
    if path != PATIENT {
        seen.lock().ran += 1;
    }
    if read_body(client, length).is_err() {
        seen.lock().truncated += 1;
        return;
    }
    if answer(client, &path).is_err() {
        seen.lock().broken += 1;
    }
}

fn read_head(client: &mut impl BufRead) -> io::Result<(String, u64)> {
    let mut line = String::new();
    client.read_line(&mut line)?;
    let path = line.split(' ').nth(1).ok_or(io::ErrorKind::InvalidData)?.to_owned();
    let mut length = 0;
    loop {
        line.clear();
        if client.read_line(&mut line)? == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        match line.trim_end().to_ascii_lowercase().split_once(':') {
            Some(("content-length", value)) => length = value.trim().parse().unwrap_or(0),
            Some(_) => {}
            None => return Ok((path, length)),
        }
    }
}

fn read_body(client: &TcpStream, length: u64) -> io::Result<()> {
    match io::copy(&mut client.take(length), &mut io::sink())? {
        read if read == length => Ok(()),
        _ => Err(io::ErrorKind::UnexpectedEof.into()),
    }
}

fn answer(mut client: &TcpStream, path: &str) -> io::Result<()> {
    if path == "/download" {
        let length = PIECES * PIECE;
        write!(client, "HTTP/1.0 200 OK\r\nContent-Length: {length}\r\n\r\n")?;
        let piece = vec![b'.'; PIECE];
        for _ in 0..PIECES {
            client.write_all(&piece)?;
        }
        return Ok(());
    }
    if path != PATIENT {
        sleep(WORK);
    }
    // Head and body apart, as most frameworks do it: the first write draws the reset, the second
    // finds it.
    client
        .write_all(b"HTTP/1.0 200 OK\r\nContent-Type: text/plain\r\nContent-Length: 18\r\n\r\n")?;
    for word in ["hello ", "from ", "behind\n"] {
        sleep(Duration::from_millis(5));
        client.write_all(word.as_bytes())?;
    }
    Ok(())
}
