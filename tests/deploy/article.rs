//! The scene that all this is about: requests are dropped in the middle, and sent again.

use std::net::SocketAddr;

use crate::{
    container::Log,
    engine::docker,
    harm,
    output::Output,
    rude::{Client, Leaving},
};

/// Clients of the example's views leave each in each way, then send the same again and stay.
pub(crate) fn play(seawall: SocketAddr, backend: &Output) {
    for how in [Leaving::Fin, Leaving::Rst] {
        let begun = backend.text().matches("report begun").count();
        let client = Client::sends(seawall, REPORT);
        let is_at_it = |log: &str| (log.matches("report begun").count() > begun).then_some(());
        assert!(backend.look_for(is_at_it).is_some(), "no report begins in:\n{}", backend.text());
        client.leaves(how);
        assert_eq!(asks(seawall, REPORT).len(), 2_200_000);

        let mut client = Client::sends(seawall, LINES);
        client.reads(500);
        client.leaves(how);
        assert_eq!(asks(seawall, LINES).len(), 150_000);

        let (half, rest) = ("x".repeat(UPLOAD / 2), "y".repeat(UPLOAD / 2));
        let head = format!(
            "POST /upload HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Length: {UPLOAD}\r\n\r\n"
        );
        Client::sends(seawall, format!("{head}{half}")).leaves(how);
        assert_eq!(
            asks(seawall, &format!("{head}{half}{rest}")),
            format!("{UPLOAD}\n").into_bytes()
        );
    }
    // Those that were left, too.
    for (line, times) in [("report done", 4), ("lines done", 4)] {
        let is_done = |log: &str| (log.matches(line).count() == times).then_some(());
        assert!(backend.look_for(is_done).is_some(), "not {times} x {line}:\n{}", backend.text());
    }
}

/// Nothing of it shows in the server's log, in its container, after everything that it has to say.
pub(crate) fn is_unharmed(container: &str, log: &Log) {
    let last =
        "import urllib.request; urllib.request.urlopen('http://127.0.0.1:5000/?at-last').read()";
    docker(["exec", container, "python", "-c", last]);
    log.output.wait_for("/?at-last");
    is_clean(&log.output.text());
}

pub(crate) fn is_clean(log: &str) {
    assert_eq!(harm::complaint(log), None, "in:\n{log}");
    assert!(!log.contains("lines stopped"), "a view was stopped:\n{log}");
    let received = log.matches("received ").count();
    let whole = log.matches(&format!("received {UPLOAD} bytes")).count();
    assert_eq!((received, whole), (2, 2), "uploads:\n{log}");
}

/// A request, and its whole answer.
pub(crate) fn asks(seawall: SocketAddr, request: &str) -> Vec<u8> {
    Client::asks(seawall, request).unwrap_or_else(|why| panic!("{request:.60}: {why}"))
}

pub(crate) const REPORT: &str =
    "GET /report?seconds=0.3 HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n";
pub(crate) const HELLO: &str = "GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n";
const LINES: &str = "GET /lines HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n";
const UPLOAD: usize = 1_000_000;
