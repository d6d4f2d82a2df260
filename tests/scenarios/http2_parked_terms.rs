//! What both sides of a parked connection of HTTP/2 have agreed on holds when it goes on: windows, settings,
//! tables of fields.

use super::http2_parked::{ACK, TOLD, client_stream, data, served, told, wait_parked, whole};
use crate::harness::http2::{
    DATA, END_HEADERS, END_STREAM, Frames, HEADERS, PING, SETTINGS, WINDOW_UPDATE, block, frame,
    get, literal,
};
use crate::harness::{Backend, Http2, Seawall, pattern};

#[test]
fn a_client_that_has_never_acknowledged_settings_may_do_so_later() {
    let backend = served();
    let seawall = Seawall::with(&backend, TOLD);
    let mut client = Frames::connect(seawall.address);
    client.send(&get(1, "/one")).unwrap();
    let _ = whole(&mut client, 1);
    wait_parked(&seawall, 1);
    client.send(&frame(SETTINGS, ACK, 0, &[])).unwrap();
    wait_parked(&seawall, 2);
    client.send(&get(3, "/two")).unwrap();
    let _ = whole(&mut client, 3);
}

#[test]
fn no_more_is_sent_than_the_client_has_room_for() {
    let backend = Backend::start(|talk| talk.answer(pattern(40_000)));
    let seawall = Seawall::with(&backend, TOLD);
    let mut client = Frames::connect(seawall.address);
    client.send(&get(1, "/one")).unwrap();
    assert_eq!(data(&whole(&mut client, 1)), 40_000);
    wait_parked(&seawall, 1);
    // It has room for 65,535 bytes, and has given none of it back.
    client.send(&get(3, "/two")).unwrap();
    client.send(&frame(PING, 0, 0, &[7; 8])).unwrap();
    let mut got = 0;
    while got < 25_535 {
        got += client.wait(DATA).unwrap().payload.len();
    }
    assert_eq!(got, 25_535);
    client.send(&frame(PING, 0, 0, &[8; 8])).unwrap();
    loop {
        let frame = client.read().unwrap();
        assert_ne!(frame.kind, DATA);
        if frame.payload == [8; 8] {
            break;
        }
    }
    client.send(&frame(WINDOW_UPDATE, 0, 0, &100_000_u32.to_be_bytes())).unwrap();
    assert_eq!(data(&whole(&mut client, 3)), 40_000 - 25_535);
    wait_parked(&seawall, 2);
    // And here more than it had to begin with.
    for stream in [5, 7] {
        client.send(&get(stream, "/more")).unwrap();
        assert_eq!(data(&whole(&mut client, stream)), 40_000);
    }
}

#[test]
fn the_client_has_room_for_as_much_as_it_was_told() {
    let backend = served();
    let settings = format!("{TOLD}\n[client]\nconnection_window = \"65535B\"");
    let seawall = Seawall::with(&backend, &settings);
    let mut client = Frames::connect(seawall.address);
    let mut room = 65_535;
    for round in 1..=5 {
        let stream = client_stream(round - 1);
        let head = frame(HEADERS, END_HEADERS, stream, &block("POST", "/upload"));
        client.send(&head).unwrap();
        // Of a size that never makes h2 give all of the room back.
        for part in [4_000, 4_000, 2_000] {
            let flags = if part == 2_000 { END_STREAM } else { 0 };
            client.send(&frame(DATA, flags, stream, &pattern(part))).unwrap();
            room -= i64::try_from(part).unwrap();
        }
        let frames = whole(&mut client, stream);
        room += told(&frames);
        assert!(room > 0, "no room for the next one: {frames:?}");
        wait_parked(&seawall, round);
    }
    let stream = client_stream(5);
    client.send(&get(stream, "/last")).unwrap();
    room += told(&whole(&mut client, stream));
    // All of it.
    assert_eq!(room, 65_535);
}

#[test]
fn the_client_s_settings_hold() {
    let backend = Backend::start(|talk| talk.answer(pattern(40)));
    let seawall = Seawall::with(&backend, TOLD);
    let mut client = Frames::connect(seawall.address);
    // Streams begin with room for ten bytes.
    client.send(&frame(SETTINGS, 0, 0, &[0, 4, 0, 0, 0, 10])).unwrap();
    for round in 1..=3 {
        let stream = client_stream(round - 1);
        client.send(&get(stream, "/little")).unwrap();
        assert_eq!(client.wait(DATA).unwrap().payload.len(), 10);
        client.send(&frame(WINDOW_UPDATE, 0, stream, &[0, 0, 0, 30])).unwrap();
        assert_eq!(data(&whole(&mut client, stream)), 30);
        wait_parked(&seawall, round);
    }
}

#[test]
fn a_table_of_fields_is_begun_anew_on_both_sides() {
    let backend = served();
    // A head that is too long is answered by h2 itself.
    let seawall = Seawall::with(&backend, &format!("{TOLD}\n[client]\nmax_head = \"1KiB\""));
    let mut client = Frames::connect(seawall.address);
    let table =
        |size: u16| frame(SETTINGS, 0, 0, &[&[0, 1, 0, 0][..], &size.to_be_bytes()].concat());
    client.send(&table(0)).unwrap();
    client.send(&get(1, "/one")).unwrap();
    let _ = whole(&mut client, 1);
    let long: Vec<u8> = (0..20).flat_map(|_| literal("x-long", &"long".repeat(30))).collect();
    let long = [block("GET", "/long"), long].concat();
    for (number, size) in [(1, 4096), (2, 100), (3, 4096)] {
        client.send(&table(size)).unwrap();
        wait_parked(&seawall, number);
        let stream = client_stream(number);
        let head = if number == 1 { &long } else { &block("GET", "/two") };
        client.send(&frame(HEADERS, END_STREAM | END_HEADERS, stream, head)).unwrap();
        let frames = whole(&mut client, stream);
        let answer = &frames.iter().find(|frame| frame.kind == HEADERS).unwrap().payload;
        // Size updates to 0, and to what the client has (RFC 7541, section 6.3).
        let expected: &[u8] = match size {
            100 => &[0x20, 0x3f, 0x45],
            _ => &[0x20, 0x3f, 0xe1, 0x1f],
        };
        assert_eq!(answer[..expected.len()], *expected, "{answer:x?}");
    }
}

#[test]
fn the_client_uses_all_the_room_that_it_was_told() {
    for window in [65_536, 81_920, 98_301, 98_302] {
        let backend = Backend::start(|talk| {
            talk.hold("view")?;
            talk.answer("served")
        });
        backend.release("view");
        let settings = format!("{TOLD}\n[client]\nconnection_window = {window}");
        let seawall = Seawall::with(&backend, &settings);
        let mut client = Frames::connect(seawall.address);
        client.send(&frame(SETTINGS, ACK, 0, &[])).unwrap();
        let mut room = 65_535;
        for stream in [1, 3] {
            let head = frame(HEADERS, END_HEADERS, stream, &block("POST", "/upload"));
            client.send(&head).unwrap();
            while room > 0 {
                let part = room.min(16_384);
                let bytes = pattern(usize::try_from(part).unwrap());
                client.send(&frame(DATA, 0, stream, &bytes)).unwrap();
                room -= part;
            }
            client.send(&frame(DATA, END_STREAM, stream, &[])).unwrap();
            room += told(&whole(&mut client, stream));
            let mut other = Http2::connect(seawall.address);
            other.get("/other").answer();
            wait_parked(&seawall, usize::try_from(stream.div_ceil(2)).unwrap());
            // What it is told late counts, too.
            client.send(&frame(PING, 0, 0, &[7; 8])).unwrap();
            loop {
                let frame = client.read().unwrap();
                if frame.kind == PING {
                    break;
                }
                room += told(&[frame]);
            }
        }
    }
}

#[test]
fn as_many_heads_as_were_answered_one_by_one_are_heard_again() {
    let backend = served();
    let settings = format!("{TOLD}\n[client]\nstreams = 1\nearly_resets = 20");
    let seawall = Seawall::with(&backend, &settings);
    let mut client = Http2::connect(seawall.address);
    for round in 1..=2 {
        for _ in 0..25 {
            assert_eq!(client.get("/").answer().status(), 200);
        }
        wait_parked(&seawall, round);
    }
    assert_eq!(client.get("/").answer().status(), 200);
}
