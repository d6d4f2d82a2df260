//! Many at once. The refresh storm: a slow page of a server with one thread is asked for, and dropped, ten times;
//! the eleventh client waits for it.

#![allow(
    clippy::disallowed_types,
    reason = "real time is measured: nothing here has a paused clock"
)]

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use crate::output::Output;
use crate::rude::{Client, Leaving};
use crate::seawall::Seawall;
use crate::server::Server;

/// As long as the view naps (`apps/views.py`).
const NAP: Duration = Duration::from_millis(300);
/// What a loaded machine may add; far less than another nap.
const SLACK: Duration = Duration::from_millis(200);

pub(crate) fn weathered(server: &Server) {
    for (id, join, most) in [("joined", true, 1), ("alone", false, 2)] {
        let running = server.start();
        let settings = format!("max_concurrency = 1\n[[route]]\njoin = {join}");
        let seawall = Seawall::start(running.address, &settings);
        let took = storm(id, seawall.address, &running.output);
        seawall.end();
        let written = running.end();
        let times = written.matches(&format!("[began nap {id}]")).count();
        assert!((1..=most).contains(&times), "ran {times} times:\n{written}");
        let most = NAP * u32::try_from(most).expect("small") + SLACK;
        assert!(took <= most, "{}: {took:?} of {most:?}", server.name);
    }
}

/// More clients come at once than have room in the queue of the server's socket. None of them waits for the
/// kernel, which asks for a connection again after a second.
pub(crate) fn burst(server: &Server) {
    let running = server.start();
    let seawall = Seawall::start(running.address, server.configuration);
    let begun = Instant::now();
    let get =
        |number| format!("GET /nap/{number} HTTP/1.1\r\nHost: test\r\nConnection: close\r\n\r\n");
    let clients: Vec<_> =
        (0..30).map(|number| Client::sends(seawall.address, get(number))).collect();
    for (number, client) in clients.into_iter().enumerate() {
        let answer = client.answered().unwrap_or_else(|why| panic!("/nap/{number}: {why}"));
        assert_eq!(answer, format!("napped {number}\n").as_bytes());
    }
    let took = begun.elapsed();
    seawall.end();
    assert!(took < Duration::from_secs(1), "{}: {took:?}\n{}", server.name, running.end());
}

/// How long it takes, from the first request to the last client's answer.
fn storm(id: &str, to: SocketAddr, output: &Output) -> Duration {
    let begun = Instant::now();
    let get = |more| format!("GET /nap/{id} HTTP/1.1\r\nHost: test\r\n{more}\r\n");
    for number in 0..10 {
        let client = Client::sends(to, get(""));
        if number == 0 {
            output.wait_for(&format!("[began nap {id}]"));
        }
        client.leaves(if number % 2 == 0 { Leaving::Fin } else { Leaving::Rst });
    }
    let last = Client::sends(to, get("Cache-Control: max-age=0\r\nConnection: close\r\n"));
    let answer = last.answered().unwrap_or_else(|why| panic!("/nap/{id}: {why}"));
    assert_eq!(answer, format!("napped {id}\n").as_bytes());
    begun.elapsed()
}
