//! Random backends × random clients: every exchange that the backend began it also finished
//! unharmed, no slot is lost, nothing leaks, and whoever stayed has every byte.

use std::io;
use std::thread;
use std::time::Duration;

use proptest::prelude::*;
use proptest::test_runner::TestRunner;

use crate::harness::{Backend, Client, Leave, Seawall, Talk, assert_same_bytes, pattern, until};

#[test]
fn whatever_clients_do_a_backend_with_threads_is_unharmed() {
    for_all_scenes(|scene| play(scene, &Backend::start(answer_as_asked), 3));
}

#[test]
fn whatever_clients_do_a_backend_with_one_thread_is_unharmed() {
    for_all_scenes(|scene| play(scene, &Backend::one_thread(answer_as_asked), 1));
}

/// Some visits at the same time.
type Scene = Vec<Visit>;

#[derive(Clone, Debug)]
struct Visit {
    answer: AnswerPlan,
    upload: usize,
    chunked_upload: bool,
    http_1_0: bool,
    conduct: Conduct,
    leave: Leave,
}

#[derive(Clone, Debug)]
struct AnswerPlan {
    size: usize,
    parts: usize,
    pause_ms: u64,
    framing: &'static str,
}

#[derive(Clone, Debug)]
enum Conduct {
    Stays,
    HalfCloses,
    ReadsSlowly,
    LeavesWhileWaiting { after_ms: u64 },
    LeavesInMidResponse { after_bytes: usize },
    LeavesInMidUpload { after_bytes: usize },
    LeavesInMidHead,
}

fn play(scene: &Scene, backend: &Backend, slots: usize) {
    let seawall = Seawall::with(
        backend,
        &format!("max_concurrency = {slots}\nidle = \"50ms\"\n[runtime]\nworkers = 2"),
    );
    let before = seawall.sockets();
    thread::scope(|scope| {
        for (number, visit) in scene.iter().enumerate() {
            let seawall = &seawall;
            scope.spawn(move || pay(visit, number, seawall));
        }
    });
    // All slots are free again: so many exchanges run at once.
    let mut clients: Vec<Client> = (0..slots).map(|_| seawall.client()).collect();
    for client in &mut clients {
        client.get("/slot");
    }
    backend.wait_held("slot", slots);
    backend.release("slot");
    for mut client in clients {
        assert_eq!(client.answer().text(), "free");
        client.leave(Leave::Fin);
    }

    until("every socket is closed", || (seawall.sockets() <= before).then_some(()));

    backend.assert_unharmed();
    for exchange in backend.exchanges() {
        if let Some(number) = exchange.head.field("x-visit") {
            let visit = &scene[number.parse::<usize>().unwrap()];
            assert_same_bytes(&exchange.body, &pattern(visit.upload));
        }
    }
    assert!(
        backend.most_open_at_once() <= slots,
        "{} connections for {slots} slots",
        backend.most_open_at_once()
    );
}

/// One client's visit, from its first byte to its last.
fn pay(visit: &Visit, number: usize, seawall: &Seawall) {
    let mut client = match visit.conduct {
        Conduct::ReadsSlowly => Client::with_small_window(seawall.address),
        _ => seawall.client(),
    };
    let request = request(visit, number);
    let head_length = request.windows(4).position(|four| four == b"\r\n\r\n").unwrap() + 4;
    match visit.conduct {
        Conduct::Stays => client.send(request),
        Conduct::HalfCloses => client.send(request).half_close(),
        Conduct::ReadsSlowly => {
            client.send(request);
            // A client's own pace.
            thread::sleep(Duration::from_millis(30));
            &mut client
        }
        Conduct::LeavesWhileWaiting { after_ms } => {
            client.send(request);
            thread::sleep(Duration::from_millis(after_ms));
            return client.leave(visit.leave);
        }
        Conduct::LeavesInMidResponse { after_bytes } => {
            client.send(request);
            client.read(1 + after_bytes.min(visit.answer.size));
            return client.leave(visit.leave);
        }
        Conduct::LeavesInMidUpload { after_bytes } => {
            client.send(&request[..(head_length + after_bytes).min(request.len() - 1)]);
            return client.leave(visit.leave);
        }
        Conduct::LeavesInMidHead => {
            client.send(&request[..head_length - 3]);
            return client.leave(visit.leave);
        }
    };
    let answer = client.answer();
    assert_eq!(answer.status(), 200, "{visit:?}");
    assert_same_bytes(&answer.body, &pattern(visit.answer.size));
}

fn request(visit: &Visit, number: usize) -> Vec<u8> {
    let AnswerPlan { size, parts, pause_ms, framing } = visit.answer;
    let version = if visit.http_1_0 { "1.0" } else { "1.1" };
    let body = pattern(visit.upload);
    let mut head = format!(
        "PUT /{framing}/{size}/{parts}/{pause_ms} HTTP/{version}\r\nHost: a\r\nX-Visit: {number}\r\n"
    );
    let mut sent = Vec::new();
    if visit.chunked_upload && !visit.http_1_0 {
        head += "Transfer-Encoding: chunked\r\n";
        for chunk in body.chunks(9_999) {
            sent.extend(format!("{:x}\r\n", chunk.len()).bytes());
            sent.extend([chunk, b"\r\n"].concat());
        }
        sent.extend(b"0\r\n\r\n");
    } else {
        head = format!("{head}Content-Length: {}\r\n", body.len());
        sent = body;
    }
    [format!("{head}\r\n").into_bytes(), sent].concat()
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
    let framing = plan[1];
    match framing {
        "length" => talk.write(format!("HTTP/1.1 200 OK\r\nContent-Length: {size}\r\n\r\n"))?,
        "chunks" => talk.chunked_head("")?,
        "close" => talk.write("HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n")?,
        "old" => talk.write("HTTP/1.0 200 OK\r\n\r\n")?,
        "old-length" => talk.write(format!("HTTP/1.0 200 OK\r\nContent-Length: {size}\r\n\r\n"))?,
        _ => unreachable!("{framing}"),
    }
    for part in pattern(size).chunks(size.div_ceil(parts).max(1)) {
        // A backend's own pace.
        thread::sleep(Duration::from_millis(pause_ms as u64));
        if framing == "chunks" { talk.chunk(part)? } else { talk.write(part)? }
    }
    match framing {
        "chunks" => talk.last_chunk()?,
        "length" => {}
        _ => talk.close(),
    }
    Ok(())
}

fn for_all_scenes(check: impl Fn(&Scene)) {
    let config = ProptestConfig {
        cases: 32,
        max_shrink_iters: 40,
        failure_persistence: None,
        ..Default::default()
    };
    let scenes = prop::collection::vec(visits(), 1..8);
    let judged = TestRunner::new(config).run(&scenes, |scene| {
        check(&scene);
        Ok(())
    });
    if let Err(failed) = judged {
        panic!("{failed}");
    }
}

fn visits() -> impl Strategy<Value = Visit> {
    let sizes =
        || prop_oneof![Just(0), 1..2_000_usize, 2_000..200_000_usize, 200_000..2_000_000_usize];
    let framings = prop::sample::select(vec!["length", "chunks", "close", "old", "old-length"]);
    let answers = (sizes(), 1..6_usize, 0..4_u64, framings);
    let answers = answers.prop_map(|(size, parts, pause_ms, framing)| AnswerPlan {
        size,
        parts,
        pause_ms,
        framing,
    });
    let conducts = prop_oneof![
        Just(Conduct::Stays),
        Just(Conduct::HalfCloses),
        Just(Conduct::ReadsSlowly),
        (0..10_u64).prop_map(|after_ms| Conduct::LeavesWhileWaiting { after_ms }),
        sizes().prop_map(|after_bytes| Conduct::LeavesInMidResponse { after_bytes }),
        (0..300_000_usize).prop_map(|after_bytes| Conduct::LeavesInMidUpload { after_bytes }),
        Just(Conduct::LeavesInMidHead),
    ];
    let uploads = prop_oneof![Just(0), 1..1_000_usize, 1_000..400_000_usize];
    let leaves = prop::sample::select(Leave::BOTH.to_vec());
    (answers, uploads, any::<bool>(), any::<bool>(), conducts, leaves).prop_map(
        |(answer, upload, chunked_upload, http_1_0, conduct, leave)| Visit {
            answer,
            upload,
            chunked_upload,
            http_1_0,
            conduct,
            leave,
        },
    )
}
