//! Reload under load: steady requests and rude clients, while the configuration changes again and
//! again. No request is lost, and the backends never notice.

use std::fmt::Write as _;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst};
use std::thread;

use crate::harness::{Backend, Client, Leave, Seawall, Talk};

const RELOADS: usize = 50;

#[test]
fn fifty_reloads_lose_no_request_and_break_no_pipe() {
    for kind in ["per-core", "work-stealing"] {
        let [one, other] = [(); 2].map(|()| {
            Backend::start(|talk| {
                if talk.turn % 3 == 1 {
                    Talk::pause();
                }
                let body = talk.target();
                talk.answer(body)
            })
        });
        let seawall = Seawall::start(&toml(&one, &other, 0, kind));
        let (over, served) = (AtomicBool::new(false), AtomicUsize::new(0));
        thread::scope(|scope| {
            let steady = |number: usize| {
                let mut client = seawall.client();
                for round in 0.. {
                    if over.load(SeqCst) {
                        return;
                    }
                    let target =
                        format!("/{}/{number}/{round}", if round % 2 == 0 { "a" } else { "b" });
                    let answer = client.get(&target).answer();
                    assert_eq!((answer.status(), answer.text()), (200, target));
                    served.fetch_add(1, SeqCst);
                    if round % 10 == 9 {
                        client = seawall.client();
                    }
                }
            };
            let rude = |leave: Leave| {
                for round in 0.. {
                    if over.load(SeqCst) {
                        return;
                    }
                    let mut client = seawall.client();
                    client.get(&format!("/rude/{round}"));
                    if round % 2 == 0 {
                        Talk::pause();
                    }
                    client.leave(leave);
                }
            };
            let steady: Vec<_> = (0..4).map(|number| scope.spawn(move || steady(number))).collect();
            for leave in Leave::BOTH {
                scope.spawn(move || rude(leave));
            }
            for number in 1..=RELOADS {
                let before = served.load(SeqCst);
                seawall.reload(&toml(&one, &other, number, kind));
                // Some come in between, whatever the pace of the machine.
                while served.load(SeqCst) < before + 8
                    && steady.iter().all(|one| !one.is_finished())
                {
                    Talk::pause();
                }
            }
            over.store(true, SeqCst);
        });
        let mut last = Client::connect(seawall.address);
        assert_eq!(last.get("/last").answer().text(), "/last");
        for backend in [&one, &other] {
            backend.assert_unharmed();
            assert!(backend.most_open_at_once() <= 8, "{}", backend.most_open_at_once());
        }
    }
}

/// Every time something else: slots, queue and url of the first backend, routes, the second backend,
/// another listener, bounds.
fn toml(one: &Backend, other: &Backend, number: usize, kind: &str) -> String {
    let (slots, idle) = (1 + number % 4, 1 + number % 3);
    let (url, second) = match number % 5 {
        0 => (other.url(), one.url()),
        _ => (one.url(), other.url()),
    };
    let mut toml = format!(
        "[[listen]]\naddress = \"127.0.0.1:0\"\n\
         [runtime]\nworkers = 2\nkind = \"{kind}\"\n\
         [client]\nmax_fields = {}\nidle = \"{}s\"\n\
         [[backend]]\nname = \"first\"\nurl = \"{url}\"\nmax_concurrency = {slots}\nidle = \"{idle}s\"\n",
        50 + number,
        30 + number,
    );
    if number.is_multiple_of(2) {
        let _ = write!(
            toml,
            "[[backend]]\nname = \"second\"\nurl = \"{second}\"\nmax_concurrency = {}\n\
             [[route]]\npath = \"/b\"\nbackend = \"second\"\njoin = {}\n",
            5 - slots,
            number.is_multiple_of(4)
        );
    }
    if number.is_multiple_of(3) {
        toml += "[[listen]]\naddress = \"127.0.0.2:0\"\n";
    }
    toml
}
