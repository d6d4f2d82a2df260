//! A connection of HTTP/2 that says nothing for a while is parked, without its h2: nobody can tell by
//! anything but its memory.

use http::Request;

use crate::harness::http2::{
    DATA, END_STREAM, Frame, Frames, GOAWAY, HEADERS, PING, RST_STREAM, SETTINGS, WINDOW_UPDATE,
    frame, get, uri,
};
use crate::harness::{Backend, Http2, Leave, Seawall, assert_same_bytes, pattern, until};

#[test]
fn requests_and_answers_are_the_same_as_before() {
    let backend = Backend::start(|talk| {
        let body = talk.request().body;
        let fields = "Set-Cookie: a=1\r\nX-Long: 0123456789012345678901234567890\r\n";
        talk.answer_with("200 OK", fields, body)
    });
    let seawall = Seawall::with(&backend, TOLD);
    let mut client = Http2::connect(seawall.address);
    for round in 1..=4 {
        // The same fields again, which the client says by their number; and some that are new.
        for part in 1..=3 {
            let target = format!("/{round}/{part}");
            let request = Request::post(uri(&target))
                .header("user-agent", "a browser with a rather long name")
                .header("cookie", "session=0123456789")
                .header("x-round", format!("{round}, of which the value is new"))
                .body(())
                .unwrap();
            let mut stream = client.request(request, false);
            stream.send(&pattern(100_000 * part), true);
            let answer = stream.answer();
            assert_same_bytes(&answer.body, &pattern(100_000 * part));
            assert_eq!(answer.field("x-long"), Some("0123456789012345678901234567890"));
            let head = backend.wait_answered(&target).head;
            assert_eq!(head.field("user-agent"), Some("a browser with a rather long name"));
            assert_eq!(head.field("cookie"), Some("session=0123456789"));
            assert_eq!(
                head.field("x-round"),
                Some(&*format!("{round}, of which the value is new"))
            );
        }
        wait_parked(&seawall, round);
    }
    backend.assert_unharmed();
}

#[test]
fn the_client_hears_nothing_that_it_has_heard_before() {
    let backend = served();
    let seawall = Seawall::with(&backend, TOLD);
    let mut client = Frames::connect(seawall.address);
    client.send(&get(1, "/one")).unwrap();
    let _ = whole(&mut client, 1);
    client.send(&frame(SETTINGS, ACK, 0, &[])).unwrap();
    for round in 1..=2 {
        wait_parked(&seawall, round);
        let stream = client_stream(round);
        client.send(&get(stream, "/again")).unwrap();
        let frames = whole(&mut client, stream);
        assert!(frames.iter().all(|frame| frame.stream == stream), "{frames:?}");
    }
}

#[test]
fn frames_about_what_was_before_do_no_harm() {
    let backend = served();
    let seawall = Seawall::with(&backend, TOLD);
    let mut client = Frames::connect(seawall.address);
    client.send(&get(1, "/one")).unwrap();
    let _ = whole(&mut client, 1);
    wait_parked(&seawall, 1);
    client.send(&frame(WINDOW_UPDATE, 0, 1, &[0, 0, 1, 0])).unwrap();
    client.send(&frame(RST_STREAM, 0, 1, &[0, 0, 0, 8])).unwrap();
    client.send(&frame(PING, 0, 0, &[7; 8])).unwrap();
    assert_eq!(client.wait(PING).unwrap().payload, [7; 8]);
    client.send(&get(3, "/two")).unwrap();
    let _ = whole(&mut client, 3);
}

#[test]
fn a_request_that_has_begun_is_waited_for() {
    let backend = served();
    let seawall = Seawall::with(&backend, TOLD);
    let mut client = Frames::connect(seawall.address);
    let request = get(1, "/in-pieces");
    let mut other = Http2::connect(seawall.address);
    for piece in request.chunks(request.len() / 2 + 1) {
        client.send(piece).unwrap();
        other.get("/other").answer();
        // That one alone: it was silent later.
        wait_parked(&seawall, backend.targets().len());
    }
    let _ = whole(&mut client, 1);
    wait_parked(&seawall, 3);
    for byte in get(3, "/byte-for-byte") {
        client.send(&[byte]).unwrap();
    }
    let _ = whole(&mut client, 3);
}

#[test]
fn one_that_has_said_too_much_stays_as_it_is() {
    let backend = served();
    let seawall = Seawall::with(&backend, TOLD);
    let mut client = Http2::connect(seawall.address);
    for number in 0..100 {
        client.get(&format!("/{number}/{}", "long".repeat(30))).answer();
    }
    let mut other = Http2::connect(seawall.address);
    for round in 1..=2 {
        other.get("/other").answer();
        wait_parked(&seawall, round);
    }
    client.get("/last").answer();
    other.get("/other").answer();
    wait_parked(&seawall, 3);
    let name = other.address().to_string();
    assert!(who_is_parked(&seawall).iter().all(|client| *client == name));
}

#[test]
fn one_that_pings_is_not_silent() {
    let backend = served();
    let seawall = Seawall::with(&backend, TOLD);
    let mut client = Frames::connect(seawall.address);
    let mut other = Http2::connect(seawall.address);
    other.get("/other").answer();
    while seawall.diagnostics().iter().all(|line| line["message"] != PARKED) {
        client.send(&frame(PING, 0, 0, &[7; 8])).unwrap();
        assert_eq!(client.wait(PING).unwrap().payload, [7; 8]);
        std::thread::sleep(std::time::Duration::from_millis(50));
    }
    assert_eq!(who_is_parked(&seawall), [other.address().to_string()]);
}

#[test]
fn one_that_is_being_closed_is_closed() {
    let backend = served();
    let seawall = Seawall::with(&backend, &format!("{TOLD}\n[client]\nlinger = \"1500ms\""));
    let mut client = Frames::connect(seawall.address);
    client.send(&get(1, "/one")).unwrap();
    let _ = whole(&mut client, 1);
    // A SETTINGS frame on a stream is an error of the connection.
    client.send(&frame(SETTINGS, 0, 1, &[])).unwrap();
    client.wait_goaway();
    until("it is closed", || (seawall.clients() == 0).then_some(()));
    assert!(who_is_parked(&seawall).is_empty());
}

#[test]
fn a_drain_says_farewell_to_it() {
    let backend = served();
    let mut seawall = Seawall::with(&backend, TOLD);
    let mut client = Frames::connect(seawall.address);
    for stream in [1, 3] {
        client.send(&get(stream, "/before")).unwrap();
        let _ = whole(&mut client, stream);
    }
    wait_parked(&seawall, 1);
    seawall.signal("TERM");
    assert!(client.wait(GOAWAY).is_some());
    let ping = client.wait(PING).expect("a PING");
    client.send(&frame(PING, ACK, 0, &ping.payload)).unwrap();
    let last = client.wait(GOAWAY).expect("the last stream's number");
    assert_eq!(last.payload[..8], [0, 0, 0, 3, 0, 0, 0, 0]);
    assert_eq!(seawall.wait_exit(), Some(0));
}

#[test]
fn it_is_told_before_it_is_closed_when_it_has_been_idle_for_too_long() {
    let backend = served();
    let seawall = Seawall::with(&backend, &format!("{TOLD}\n[client]\nidle = \"3s\""));
    let mut client = Frames::connect(seawall.address);
    client.send(&get(1, "/one")).unwrap();
    let _ = whole(&mut client, 1);
    wait_parked(&seawall, 1);
    assert_eq!(client.wait(GOAWAY).expect("a GOAWAY").payload[4..8], [0; 4]);
    assert!(client.wait(GOAWAY).is_some());
}

#[test]
fn one_that_leaves_meanwhile_gives_its_place_back() {
    let backend = served();
    let seawall = Seawall::with(&backend, &format!("{TOLD}\n[client]\nconnections = 1"));
    for (number, leave) in Leave::BOTH.into_iter().enumerate() {
        let mut client = Http2::connect(seawall.address);
        client.get("/").answer();
        wait_parked(&seawall, number + 1);
        assert_eq!(seawall.clients(), 1);
        client.leave(leave);
        until("its place is free", || (seawall.clients() == 0).then_some(()));
    }
}

#[test]
fn it_takes_a_fraction_of_the_memory() {
    let backend = served();
    let seawall = Seawall::with(&backend, TOLD);
    let connected = || {
        let mut client = Frames::connect(seawall.address);
        client.send(&get(1, "/")).unwrap();
        let _ = whole(&mut client, 1);
        client
    };
    let _first = connected();
    wait_parked(&seawall, 1);
    let before = seawall.memory("VmRSS");
    let clients: Vec<Frames> = (0..400).map(|_| connected()).collect();
    wait_parked(&seawall, 1 + clients.len());
    // KiB. Unparked they take 22 each. What is freed goes back to the system after a second.
    until("memory is given back", || {
        let grown = seawall.memory("VmRSS").saturating_sub(before);
        (grown < 400 * 8).then_some(())
    });
}

/// The frames up to the end of this stream.
#[track_caller]
pub(super) fn whole(client: &mut Frames, stream: u32) -> Vec<Frame> {
    let mut frames = Vec::new();
    loop {
        let frame = client.read().expect("the stream ends");
        let ends = matches!(frame.kind, DATA | HEADERS) && frame.flags & END_STREAM != 0;
        let is_last = ends && frame.stream == stream;
        assert!(frame.kind != RST_STREAM && frame.kind != GOAWAY, "{frame:?}");
        frames.push(frame);
        if is_last {
            return frames;
        }
    }
}

/// Bytes of the body.
pub(super) fn data(frames: &[Frame]) -> usize {
    frames.iter().filter(|frame| frame.kind == DATA).map(|frame| frame.payload.len()).sum()
}

/// So much more room the client has on the connection.
pub(super) fn told(frames: &[Frame]) -> i64 {
    let updates = frames.iter().filter(|frame| frame.kind == WINDOW_UPDATE && frame.stream == 0);
    let room = |frame: &Frame| u32::from_be_bytes(frame.payload[..].try_into().unwrap());
    updates.map(|frame| i64::from(room(frame))).sum()
}

/// The client's streams are 1, 3, 5 and so on.
pub(super) fn client_stream(before: usize) -> u32 {
    u32::try_from(2 * before + 1).unwrap()
}

/// Waits until connections have been parked so many times.
#[track_caller]
pub(super) fn wait_parked(seawall: &Seawall, times: usize) {
    until("connections are parked", || {
        let told = seawall.diagnostics();
        (told.iter().filter(|line| line["message"] == PARKED).count() >= times).then_some(())
    });
}

pub(super) fn who_is_parked(seawall: &Seawall) -> Vec<serde_json::Value> {
    let told = seawall.diagnostics();
    let parked = told.iter().filter(|line| line["message"] == PARKED);
    parked.map(|line| line["client"].clone()).collect()
}

pub(super) fn served() -> Backend {
    Backend::start(|talk| talk.answer("served"))
}

pub(super) const ACK: u8 = 1;
pub(super) const PARKED: &str = "client connection parked";
/// Has it told that a connection is parked.
pub(super) const TOLD: &str = "[log]\nlevel = \"info,seawall::front=debug\"";
