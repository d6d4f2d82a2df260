//! Random clients of one HTTP/2 connection: whatever they do, every exchange that the backend began it
//! also finished unharmed, no slot is lost, nothing leaks, and whoever stayed has every byte.

use std::io;
use std::thread;
use std::time::Duration;

use h2::Reason;
use http::Request;
use proptest::prelude::*;
use proptest::test_runner::TestRunner;

use crate::harness::http2::{Http2Stream, uri};
use crate::harness::{Backend, Http2, Leave, Seawall, Talk, assert_same_bytes, pattern, until};

#[test]
fn whatever_streams_do_a_backend_is_unharmed() {
    let config = ProptestConfig {
        cases: 32,
        max_shrink_iters: 40,
        failure_persistence: None,
        ..Default::default()
    };
    let scenes = (prop::collection::vec(visits(), 1..10), leaves(), windows());
    let judged = TestRunner::new(config).run(&scenes, |(visits, leave, window)| {
        play(&visits, leave, window);
        Ok(())
    });
    if let Err(failed) = judged {
        panic!("{failed}");
    }
}

#[derive(Clone, Debug)]
struct Visit {
    size: usize,
    parts: usize,
    pause_ms: u64,
    chunked: bool,
    upload: usize,
    conduct: Conduct,
}

#[derive(Clone, Copy, Debug)]
enum Conduct {
    Stays,
    ResetsAtOnce,
    ResetsWhileWaiting { after_ms: u64 },
    ResetsInMidResponse,
    ResetsInMidUpload,
    LeavesWithTheConnection,
}

fn play(visits: &[Visit], leave: Option<Leave>, window: u32) {
    const SLOTS: usize = 2;
    let backend = Backend::start(answer_as_asked);
    let seawall = Seawall::with(
        &backend,
        &format!("max_concurrency = {SLOTS}\nidle = \"50ms\"\n[runtime]\nworkers = 2"),
    );
    let before = seawall.sockets();
    let mut client = Http2::with_window(seawall.address, window);
    let streams: Vec<_> = visits
        .iter()
        .enumerate()
        .map(|(number, visit)| (visit, begin(visit, number, &mut client)))
        .collect();
    let left: Vec<_> =
        streams.into_iter().filter_map(|(visit, stream)| go_on(visit, stream)).collect();
    match leave {
        Some(leave) => client.leave(leave),
        None => {
            // Its siblings' resets have left the connection as it was.
            let mut stream = client.get("/length/3/1/0");
            assert_eq!(stream.head().0.status, 200);
            drop(stream);
            client.leave(Leave::Fin);
        }
    }
    drop(left);

    let mut clients: Vec<_> = (0..SLOTS).map(|_| seawall.client()).collect();
    for client in &mut clients {
        client.get("/slot");
    }
    backend.wait_held("slot", SLOTS);
    backend.release("slot");
    for mut client in clients {
        assert_eq!(client.answer().text(), "free");
        client.leave(Leave::Fin);
    }
    until("every socket is closed", || (seawall.sockets() <= before).then_some(()));
    backend.assert_unharmed();
    for exchange in backend.exchanges() {
        if let Some(number) = exchange.head.field("x-visit") {
            let visit = &visits[number.parse::<usize>().unwrap()];
            assert_same_bytes(&exchange.body, &pattern(visit.upload));
        }
    }
    assert!(backend.most_open_at_once() <= SLOTS);
}

/// The request, as far as it is sent.
fn begin(visit: &Visit, number: usize, client: &mut Http2) -> Http2Stream {
    let Visit { size, parts, pause_ms, chunked, upload, conduct } = *visit;
    let framing = if chunked { "chunks" } else { "length" };
    let request = Request::put(uri(&format!("/{framing}/{size}/{parts}/{pause_ms}")))
        .header("x-visit", number)
        .body(())
        .unwrap();
    let mut stream = client.request(request, false);
    match conduct {
        Conduct::ResetsInMidUpload => stream.send(&pattern(upload / 2), false),
        _ => stream.send(&pattern(upload), true),
    };
    stream
}

/// What the client does next; a stream that is left to the end of the connection is given back.
fn go_on(visit: &Visit, mut stream: Http2Stream) -> Option<Http2Stream> {
    match visit.conduct {
        Conduct::Stays => {
            let answer = stream.answer();
            assert_eq!(answer.status(), 200, "{visit:?}");
            assert_same_bytes(&answer.body, &pattern(visit.size));
        }
        Conduct::ResetsAtOnce | Conduct::ResetsInMidUpload => stream.reset(Reason::CANCEL),
        Conduct::ResetsWhileWaiting { after_ms } => {
            // A client's own pace.
            thread::sleep(Duration::from_millis(after_ms));
            stream.reset(Reason::CANCEL);
        }
        Conduct::ResetsInMidResponse => {
            let (_, mut body) = stream.head();
            stream.piece(&mut body);
            stream.reset(Reason::CANCEL);
        }
        Conduct::LeavesWithTheConnection => return Some(stream),
    }
    None
}

/// The backend: does what the target says.
fn answer_as_asked(talk: &mut Talk) -> io::Result<()> {
    let target = talk.target();
    if target == "/slot" {
        talk.hold("slot")?;
        return talk.answer("free");
    }
    let plan: Vec<&str> = target.split('/').collect();
    let [size, parts, pause_ms] = [2, 3, 4].map(|at| plan[at].parse::<usize>().unwrap());
    let is_chunked = plan[1] == "chunks";
    if is_chunked {
        talk.chunked_head("")?;
    } else {
        talk.write(format!("HTTP/1.1 200 OK\r\nContent-Length: {size}\r\n\r\n"))?;
    }
    for part in pattern(size).chunks(size.div_ceil(parts).max(1)) {
        // A backend's own pace.
        thread::sleep(Duration::from_millis(pause_ms as u64));
        if is_chunked { talk.chunk(part)? } else { talk.write(part)? }
    }
    if is_chunked { talk.last_chunk() } else { Ok(()) }
}

fn visits() -> impl Strategy<Value = Visit> {
    let sizes =
        prop_oneof![Just(0), 1..2_000_usize, 2_000..200_000_usize, 200_000..2_000_000_usize];
    let conducts = prop_oneof![
        2 => Just(Conduct::Stays),
        1 => Just(Conduct::ResetsAtOnce),
        1 => (0..10_u64).prop_map(|after_ms| Conduct::ResetsWhileWaiting { after_ms }),
        1 => Just(Conduct::ResetsInMidResponse),
        1 => Just(Conduct::ResetsInMidUpload),
        1 => Just(Conduct::LeavesWithTheConnection),
    ];
    let uploads = prop_oneof![Just(0), 1..1_000_usize, 1_000..400_000_usize];
    (sizes, 1..6_usize, 0..4_u64, any::<bool>(), uploads, conducts).prop_map(
        |(size, parts, pause_ms, chunked, upload, conduct)| Visit {
            size,
            parts,
            pause_ms,
            chunked,
            upload,
            conduct,
        },
    )
}

fn leaves() -> impl Strategy<Value = Option<Leave>> {
    prop::sample::select(vec![None, Some(Leave::Fin), Some(Leave::Reset)])
}

/// How much each answer may be ahead of its reader.
fn windows() -> impl Strategy<Value = u32> {
    prop::sample::select(vec![1_000, 65_535, 1_000_000])
}
