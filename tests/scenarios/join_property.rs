//! Random readers and writers of one counter: whoever joins, no reader ever sees a state older than
//! his own last write.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::SeqCst};
use std::thread;
use std::time::Duration;

use proptest::prelude::*;
use proptest::test_runner::TestRunner;

use crate::harness::{Backend, Client, Framing, Leave, Seawall, Talk};

/// What one client does, one after the other.
#[derive(Clone, Debug)]
enum Act {
    Read {
        slow_ms: u64,
    },
    /// Asks, and does not wait for it.
    Drops {
        slow_ms: u64,
    },
    Write {
        how: &'static str,
        slow_ms: u64,
    },
}

#[test]
fn no_reader_sees_a_state_older_than_his_own_last_write() {
    for slots in [1, 4] {
        let joined = AtomicU64::new(0);
        let config =
            ProptestConfig { cases: 24, failure_persistence: None, ..ProptestConfig::default() };
        let clients = prop::collection::vec(prop::collection::vec(acts(), 1..12), 2..7);
        let judged = TestRunner::new(config).run(&clients, |clients| {
            joined.fetch_add(play(&clients, slots), SeqCst);
            Ok(())
        });
        if let Err(failed) = judged {
            panic!("{failed}");
        }
        // Else nothing was tested.
        assert!(joined.load(SeqCst) > 20, "{} have joined", joined.load(SeqCst));
    }
}

fn play(clients: &[Vec<Act>], slots: usize) -> u64 {
    let counter = Arc::new(AtomicU64::new(0));
    let state = counter.clone();
    let backend = Backend::start(move |talk| serve(talk, &state));
    let seawall = Seawall::with(
        &backend,
        &format!("max_concurrency = {slots}\n[[route]]\njoin = true\n[runtime]\nworkers = 2"),
    );
    let joined = AtomicU64::new(0);
    thread::scope(|scope| {
        for acts in clients {
            let (seawall, joined) = (&seawall, &joined);
            scope.spawn(move || live(acts, seawall, joined));
        }
    });
    backend.assert_unharmed();
    joined.into_inner()
}

fn live(acts: &[Act], seawall: &Seawall, joined: &AtomicU64) {
    let mut client = seawall.client();
    let mut written = 0;
    for act in acts {
        match act {
            Act::Read { slow_ms } => {
                let answer = client.get(&format!("/{slow_ms}")).answer();
                joined.fetch_add(answer.head.all("cache-status").len() as u64, SeqCst);
                let seen: u64 = answer.text().parse().unwrap();
                assert!(seen >= written, "wrote {written}, and saw {seen} afterwards");
            }
            Act::Drops { slow_ms } => {
                let mut drops: Client = seawall.client();
                drops.get(&format!("/{slow_ms}"));
                drops.leave(Leave::Fin);
            }
            Act::Write { how, slow_ms } => {
                client.post(&format!("/{how}/{slow_ms}"), b"");
                client.head();
                // As soon as the client hears of its write, and not only at the end.
                written = String::from_utf8(client.chunk()).unwrap().parse().unwrap();
                let answer = seawall.client().get(&format!("/{slow_ms}")).answer();
                let seen: u64 = answer.text().parse().unwrap();
                assert!(seen >= written, "was told of {written}, and saw {seen} afterwards");
                client.rest(Framing::Chunked).unwrap();
            }
        }
    }
}

/// A reader's answer shows the state at its begin, however long it takes. A write is done at some
/// moment: at once, when it is about to be answered, or when its answer has begun.
fn serve(talk: &mut Talk, counter: &AtomicU64) -> io::Result<()> {
    let target = talk.target();
    let parts: Vec<&str> = target.split('/').collect();
    let slow = Duration::from_millis(parts.last().unwrap().parse().unwrap());
    // An application's own pace, which is what is random here.
    let work = || thread::sleep(slow);
    if talk.request().head.method() == "GET" {
        let seen = counter.load(SeqCst);
        work();
        return talk.answer(seen.to_string());
    }
    let write = || counter.fetch_add(1, SeqCst) + 1;
    let written = match parts[1] {
        "at-once" => {
            let written = write();
            work();
            talk.chunked_head("")?;
            written
        }
        "late" => {
            work();
            let written = write();
            talk.chunked_head("")?;
            written
        }
        _ => {
            talk.chunked_head("")?;
            work();
            write()
        }
    };
    talk.chunk(written.to_string())?;
    work();
    talk.last_chunk()
}

fn acts() -> impl Strategy<Value = Act> {
    let slow = || prop::sample::select(vec![0_u64, 3, 10, 30]);
    prop_oneof![
        4 => slow().prop_map(|slow_ms| Act::Read { slow_ms }),
        1 => slow().prop_map(|slow_ms| Act::Drops { slow_ms }),
        2 => (prop::sample::select(vec!["at-once", "late", "streaming"]), slow())
            .prop_map(|(how, slow_ms)| Act::Write { how, slow_ms }),
    ]
}
