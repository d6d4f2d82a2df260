//! A connection for one request takes as few segments as TCP allows, and nobody loses anything by that.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::time::{Duration, Instant};

use crate::harness::{Backend, Seawall};

#[test]
fn the_end_of_a_connection_comes_together_with_its_last_answer() {
    let backend = Backend::start(|talk| talk.answer("served"));
    let seawall = Seawall::with(&backend, "");
    for request in
        ["GET / HTTP/1.1\r\nHost: app.test\r\nConnection: close\r\n\r\n", "GET / HTTP/1.0\r\n\r\n"]
    {
        for _ in 0..20 {
            let mut client = seawall.client();
            let answer = client.send(request).answer();
            assert_eq!(answer.text(), "served");
            assert!(client.has_heard_the_end());
        }
    }
}

#[test]
fn who_goes_on_sending_behind_the_last_request_has_the_answer_all_the_same() {
    let backend = Backend::start(|talk| {
        talk.hold("view")?;
        talk.answer("served")
    });
    let seawall = Seawall::with(&backend, "");
    let mut client = seawall.client();
    client.get_with("/", "Connection: close\r\n");
    backend.wait_held("view", 1);
    // More than is read of it: the rest is unread when the connection is closed.
    client.send(vec![b'x'; 64 * 1024]);
    backend.release("view");
    assert_eq!(client.answer().text(), "served");
}

#[test]
fn who_sends_the_rest_once_the_beginning_has_arrived_is_told_so_at_once() {
    let backend = Backend::start(|talk| talk.answer("served"));
    let seawall = Seawall::with(&backend, "");
    let head =
        "POST / HTTP/1.1\r\nHost: app.test\r\nConnection: close\r\nContent-Length: 4\r\n\r\n";
    for parts in
        [[head, "body"], ["GET / HTTP/1.1\r\nConnection: close\r\n", "Host: app.test\r\n\r\n"]]
    {
        // An acknowledgement that waits for the answer takes 40 ms at least, each time.
        let is_told = || {
            // Of those that keep the second part until the first one is acknowledged (Nagle).
            let mut client = TcpStream::connect(seawall.address).unwrap();
            let began = Instant::now();
            for part in parts {
                client.write_all(part.as_bytes()).unwrap();
            }
            let mut answer = String::new();
            client.read_to_string(&mut answer).unwrap();
            assert!(answer.ends_with("served"), "{answer}");
            began.elapsed() < Duration::from_millis(35)
        };
        assert!((0..20).any(|_| is_told()), "waits for an acknowledgement");
    }
}
