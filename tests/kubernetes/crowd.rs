//! Clients: 200 requests a second, by patient ones who want whole answers, and rude ones who leave in the
//! middle of theirs.

use std::io::{self, BufRead as _, BufReader, Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering::Relaxed};
use std::sync::{Arc, Mutex};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use socket2::SockRef;

use crate::output::PATIENCE;
use crate::rude::{Client, Leaving};

/// So many, and each asks twice a second.
const CLIENTS: usize = 100;
const PACE: Duration = Duration::from_millis(500);
/// Bytes of what is uploaded, and never half of it.
pub(crate) const UPLOAD: usize = 100_000;

pub(crate) struct Crowd {
    clients: Vec<JoinHandle<()>>,
    seen: Arc<Seen>,
    began: Instant,
}

/// A connection, and when it was last of use.
type Kept = (BufReader<TcpStream>, Instant);

#[derive(Default)]
pub(crate) struct Seen {
    over: AtomicBool,
    /// Whole answers.
    pub(crate) answered: AtomicUsize,
    /// Requests, or beginnings of such, whose clients left.
    pub(crate) left: AtomicUsize,
    /// Requests a second, when all is over. Each client waits for its answer before it asks again: a pod that
    /// stands still makes them fewer.
    pub(crate) rate: AtomicUsize,
    /// Of patient ones for their answers, in milliseconds.
    longest_wait: AtomicU64,
    /// What no client should ever see.
    wrong: Mutex<Vec<String>>,
}

impl Crowd {
    pub(crate) fn at(address: SocketAddr) -> Self {
        let seen = Arc::new(Seen::default());
        let began = Instant::now();
        let clients = (0..CLIENTS).map(|number| {
            let seen = seen.clone();
            thread::spawn(move || {
                // Not all in the same moment.
                let lag = u32::try_from(number).unwrap();
                let mut next = began + PACE * lag / u32::try_from(CLIENTS).unwrap();
                let mut kept: Option<Kept> = None;
                while !seen.over.load(Relaxed) {
                    thread::sleep(next.saturating_duration_since(Instant::now()));
                    next += PACE;
                    one(number, address, &mut kept, &seen);
                }
            })
        });
        Self { clients: clients.collect(), seen, began }
    }

    /// How many have had what they wanted by now.
    pub(crate) fn answered(&self) -> usize {
        self.seen.answered.load(Relaxed)
    }

    /// All have ended, nothing went wrong, and nobody stood still.
    pub(crate) fn end(self) -> Arc<Seen> {
        self.seen.over.store(true, Relaxed);
        for client in self.clients {
            client.join().unwrap();
        }
        let wrong = self.seen.wrong.lock().unwrap();
        let (answered, left) = (self.seen.answered.load(Relaxed), self.seen.left.load(Relaxed));
        let rate =
            (answered + left) * 1000 / usize::try_from(self.began.elapsed().as_millis()).unwrap();
        let longest = Duration::from_millis(self.seen.longest_wait.load(Relaxed));
        eprintln!(
            "{answered} answered, after {longest:?} at most, {left} left; {rate} requests a second"
        );
        assert!(
            wrong.is_empty(),
            "{} of them, such as {:#?}",
            wrong.len(),
            &wrong[..wrong.len().min(5)]
        );
        drop(wrong);
        self.seen.rate.store(rate, Relaxed);
        assert!(longest < BEARABLE, "somebody waited for {longest:?}");
        self.seen
    }
}

/// One request. Every fifth client is rude; of the others, every second keeps its connection.
fn one(number: usize, address: SocketAddr, kept: &mut Option<Kept>, seen: &Seen) {
    let how = if fastrand::bool() { Leaving::Fin } else { Leaving::Rst };
    if number.is_multiple_of(5) {
        let left = match fastrand::u8(..4) {
            0 => leaves(address, &get("/report?seconds=0.2", "close"), 0, how),
            1 => leaves(address, &get("/lines", "close"), 500, how),
            2 => leaves(address, &(upload("close") + &"x".repeat(UPLOAD / 2)), 0, how),
            _ => leaves(address, &get("/", "close"), 0, how),
        };
        match left {
            Ok(()) => _ = seen.left.fetch_add(1, Relaxed),
            Err(why) => seen.wrong.lock().unwrap().push(format!("rude client {number}: {why}")),
        }
        return;
    }
    let start = Instant::now();
    let answer = match number % 4 {
        1 | 3 => kept_asks(address, kept),
        _ if fastrand::u8(..10) == 0 => {
            let whole = upload("close") + &"x".repeat(UPLOAD);
            Client::asks(address, whole).and_then(|body| is(&body, &format!("{UPLOAD}\n")))
        }
        _ => Client::asks(address, get("/", "close")).and_then(|body| is(&body, HELLO)),
    };
    let waited = start.elapsed().as_millis().try_into().unwrap();
    seen.longest_wait.fetch_max(waited, Relaxed);
    match answer {
        Ok(()) => _ = seen.answered.fetch_add(1, Relaxed),
        Err(why) => seen.wrong.lock().unwrap().push(format!("client {number}: {why}")),
    }
}

/// Reads so much of an answer, or waits a little, and leaves.
fn leaves(address: SocketAddr, bytes: &str, read: usize, how: Leaving) -> Result<(), String> {
    let told = |error: io::Error| error.to_string();
    let mut client = TcpStream::connect(address).map_err(told)?;
    client.set_read_timeout(Some(PATIENCE)).map_err(told)?;
    client.write_all(bytes.as_bytes()).map_err(told)?;
    let mut answer = vec![0; read];
    client.read_exact(&mut answer).map_err(told)?;
    if read == 0 {
        thread::sleep(Duration::from_millis(fastrand::u64(..200)));
    } else if !answer.starts_with(b"HTTP/1.1 200") {
        return Err(String::from_utf8_lossy(&answer).into_owned());
    }
    if how == Leaving::Rst {
        SockRef::from(&client).set_linger(Some(Duration::ZERO)).map_err(told)?;
    }
    Ok(())
}

/// Over the connection of the last time, unless that was said to be the last one, or is so long ago that it
/// may be closed by now.
fn kept_asks(address: SocketAddr, kept: &mut Option<Kept>) -> Result<(), String> {
    let last = kept.take().filter(|(_, used)| used.elapsed() < PACE * 4);
    let mut connection = match last {
        Some((connection, _)) => connection,
        None => {
            let socket = TcpStream::connect(address).map_err(|error| error.to_string())?;
            socket.set_read_timeout(Some(PATIENCE)).unwrap();
            BufReader::new(socket)
        }
    };
    let told = |error| format!("on a kept connection: {error}");
    connection.get_mut().write_all(get("/", "keep-alive").as_bytes()).map_err(told)?;
    let mut head = String::new();
    while !head.ends_with("\r\n\r\n") {
        if connection.read_line(&mut head).map_err(told)? == 0 {
            return Err(format!("a kept connection ended after {head:?}"));
        }
    }
    let head = head.to_ascii_lowercase();
    let length = head.lines().find_map(|line| line.strip_prefix("content-length: ")?.parse().ok());
    let Some(length) = length.filter(|_| head.starts_with("http/1.1 200")) else {
        return Err(head);
    };
    let mut body = vec![0; length];
    connection.read_exact(&mut body).map_err(told)?;
    if !head.contains("connection: close") {
        *kept = Some((connection, Instant::now()));
    }
    is(&body, HELLO)
}

fn is(body: &[u8], expected: &str) -> Result<(), String> {
    match body == expected.as_bytes() {
        true => Ok(()),
        false => Err(format!("not {expected:?}: {:?}", String::from_utf8_lossy(body))),
    }
}

fn get(path: &str, connection: &str) -> String {
    format!("GET {path} HTTP/1.1\r\nHost: x\r\nConnection: {connection}\r\n\r\n")
}

/// The head alone.
fn upload(connection: &str) -> String {
    format!(
        "POST /upload HTTP/1.1\r\nHost: x\r\nConnection: {connection}\r\nContent-Length: {UPLOAD}\r\n\r\n"
    )
}

/// Far more than any answer here takes, on a machine that has much else to do, and less than any drain.
const BEARABLE: Duration = Duration::from_secs(5);
const HELLO: &str = "Hello. Try /report, and leave before it is done.\n";
