//! Clients that ask again and again while a server restarts, and what became of each request.

use std::net::SocketAddr;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::Relaxed};
use std::thread;

use crate::output::{Output, PATIENCE, now};
use crate::rude::Client;

/// What all the clients of one play have seen.
#[derive(Default)]
pub(crate) struct Load {
    over: AtomicBool,
    /// Requests that have come to an end, by client.
    ended: [AtomicUsize; CLIENTS],
    seen: Mutex<Vec<Seen>>,
    /// What was done to the server, and when.
    done: Mutex<Vec<String>>,
}

struct Seen {
    method: &'static str,
    id: String,
    began: String,
    over: String,
    /// Why there was no whole 200.
    failed: Option<String>,
}

struct Over<'a>(&'a AtomicBool);

impl Drop for Over<'_> {
    fn drop(&mut self) {
        self.0.store(true, Relaxed);
    }
}

/// How often a view began, of requests by one method.
pub(crate) struct Tally {
    pub(crate) requests: usize,
    pub(crate) failed: Vec<String>,
    /// Ids of views that have begun more than once.
    pub(crate) twice: Vec<String>,
    /// Ids of requests that were answered, and of which no view or more than one has begun.
    pub(crate) miscounted: Vec<String>,
}

impl Load {
    /// Four clients with GETs and one with POSTs, while `restarts` happen.
    pub(crate) fn on(to: SocketAddr, restarts: impl FnOnce(&Self)) -> Self {
        let load = Self::default();
        thread::scope(|scope| {
            for client in 0..CLIENTS {
                let load = &load;
                scope.spawn(move || load.ask(to, client));
            }
            // Also where that fails: else the clients would go on for ever.
            let _over = Over(&load.over);
            restarts(&load);
        });
        load
    }

    fn ask(&self, to: SocketAddr, client: usize) {
        for round in 0.. {
            let id = format!("c{client}r{round}");
            let (method, request) = match client {
                0 => (
                    "POST",
                    format!("POST /upload/{id} HTTP/1.1\r\nContent-Length: 4\r\n{REST}body"),
                ),
                1 => ("GET", format!("GET /plain/{id} HTTP/1.1\r\n{REST}")),
                _ => ("GET", format!("GET /nap/{id} HTTP/1.1\r\n{REST}")),
            };
            let began = now();
            let failed = Client::asks(to, request).err();
            let over = now();
            if failed.is_some() {
                // Nobody else asks at once again.
                thread::sleep(POLL);
            }
            self.seen.lock().expect("no panic").push(Seen { method, id, began, over, failed });
            self.ended[client].fetch_add(1, Relaxed);
            // A pace that a development server bears.
            thread::sleep(POLL);
            if self.over.load(Relaxed) {
                return;
            }
        }
    }

    /// Waits until no request is under way that was before: none is to meet two restarts.
    pub(crate) fn wait(&self) {
        let before = self.ended.each_ref().map(|ended| ended.load(Relaxed));
        for (ended, before) in self.ended.iter().zip(before) {
            let mut polls = PATIENCE.as_millis() / POLL.as_millis();
            while ended.load(Relaxed) == before {
                assert!(polls > 0, "a client waits for ever");
                polls -= 1;
                thread::sleep(POLL);
            }
        }
    }

    /// Something is done to the server.
    pub(crate) fn note(&self, what: &str) {
        self.done.lock().expect("no panic").push(format!("{} {what}", now()));
    }

    /// What was done to the server, for a scene that failed.
    pub(crate) fn done(&self) -> Vec<String> {
        self.done.lock().expect("no panic").clone()
    }

    /// Compared with the marks that the views have left.
    pub(crate) fn tally(&self, method: &str, output: &Output) -> Tally {
        let written = output.text();
        let view = |id: &str| written.lines().filter(|line| is_begin(line, id)).count();
        let seen = self.seen.lock().expect("no panic");
        let mut tally =
            Tally { requests: 0, failed: Vec::new(), twice: Vec::new(), miscounted: Vec::new() };
        for Seen { id, began, over, failed, .. } in seen.iter().filter(|seen| seen.method == method)
        {
            let begun = view(id);
            tally.requests += 1;
            if begun > 1 {
                tally.twice.push(id.clone());
            }
            match failed {
                Some(why) => tally.failed.push(format!("{began} to {over} {id}: {why}")),
                None if begun != 1 => tally.miscounted.push(format!("{id}: {begun}")),
                None => {}
            }
        }
        tally
    }
}

/// `[began nap c1r2]`, whatever stands before it in its line.
fn is_begin(line: &str, id: &str) -> bool {
    line.contains("[began ") && line.contains(&format!(" {id}]"))
}

const CLIENTS: usize = 5;
const REST: &str = "Host: test\r\nConnection: close\r\n\r\n";
const POLL: std::time::Duration = std::time::Duration::from_millis(10);
