//! Random servers die and come back under rude clients: no slot is lost, what a server began it also
//! finished unharmed, and none ever has more connections than slots.

use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use proptest::prelude::*;
use proptest::test_runner::TestRunner;

use crate::harness::{
    Backend, Client, Leave, Seawall, Site, Talk, assert_same_bytes, pattern, until,
};

const SLOTS: usize = 2;

#[test]
fn whatever_servers_and_clients_do_nothing_is_lost() {
    let config = ProptestConfig {
        cases: 12,
        max_shrink_iters: 3,
        failure_persistence: None,
        ..Default::default()
    };
    let deaths = prop::collection::vec((0..3_usize, 0..30_u64, 0..60_u64), 1..8);
    let visits = prop::collection::vec((0..60_000_usize, 0..4_usize, 0..8_u64), 1..20);
    let judged = TestRunner::new(config).run(&(deaths, visits), |(deaths, visits)| {
        play(&deaths, &visits);
        Ok(())
    });
    if let Err(failed) = judged {
        panic!("{failed}");
    }
}

/// A server, in one life or the next.
struct Mortal {
    site: Site,
    alive: Mutex<Option<Backend>>,
    dead: Mutex<Vec<Backend>>,
}

impl Mortal {
    fn new() -> Self {
        let site = Site::new();
        let alive = Mutex::new(Some(site.open(script)));
        Self { site, alive, dead: Mutex::default() }
    }

    /// Nobody listens for a while.
    fn die_for(&self, time: Duration) {
        let mut alive = self.alive.lock().unwrap();
        let backend = alive.take().unwrap();
        backend.close();
        self.dead.lock().unwrap().push(backend);
        thread::sleep(time);
        *alive = Some(self.site.open(script));
    }
}

struct Over<'a>(&'a AtomicBool);

impl Drop for Over<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// Deaths: which, after how long, for how long. Visits: size of the answer, conduct, and after how long
/// that.
fn play(deaths: &[(usize, u64, u64)], visits: &[(usize, usize, u64)]) {
    let servers = [Mortal::new(), Mortal::new(), Mortal::new()];
    let urls = servers.each_ref().map(|server| server.site.url());
    let seawall = Seawall::start(&format!(
        "listen = \"127.0.0.1:0\"\n[[backend]]\nservers = {urls:?}\nmax_concurrency = {SLOTS}\n\
         idle = \"50ms\"\neject = {{ for = \"10ms\", max = \"20ms\" }}\n[runtime]\nworkers = 2"
    ));
    let before = seawall.sockets();
    let over = AtomicBool::new(false);
    thread::scope(|scope| {
        for number in 0..6 {
            let (seawall, over) = (&seawall, &over);
            let plan = visits.iter().cycle().skip(number * 3);
            scope.spawn(move || {
                for (size, conduct, after_ms) in plan {
                    pay(seawall, *size, *conduct, Duration::from_millis(*after_ms));
                    if over.load(Ordering::Relaxed) {
                        return;
                    }
                }
            });
        }
        // Also where that fails: else the clients would go on for ever.
        let _over = Over(&over);
        for (which, after, time) in deaths {
            thread::sleep(Duration::from_millis(*after));
            servers[*which].die_for(Duration::from_millis(*time));
        }
    });
    until("every socket is closed", || (seawall.sockets() <= before).then_some(()));
    // All slots are free again: so many exchanges run at once, at each of them.
    let mut clients: Vec<Client> = (0..SLOTS * servers.len()).map(|_| seawall.client()).collect();
    for client in &mut clients {
        client.get("/slot");
    }
    for server in &servers {
        let alive = server.alive.lock().unwrap();
        alive.as_ref().unwrap().wait_held("/slot", SLOTS);
    }
    for server in &servers {
        server.alive.lock().unwrap().as_ref().unwrap().release("/slot");
    }
    for mut client in clients {
        assert_eq!(client.answer().text(), "free");
    }
    for server in servers {
        let alive = server.alive.into_inner().unwrap();
        for life in server.dead.into_inner().unwrap().iter().chain(&alive) {
            life.assert_unharmed();
            assert!(life.most_open_at_once() <= SLOTS, "{} connections", life.most_open_at_once());
        }
    }
}

fn pay(seawall: &Seawall, size: usize, conduct: usize, after: Duration) {
    let mut client = seawall.client();
    client.get(&format!("/{size}"));
    match conduct {
        0 => {
            thread::sleep(after);
            client.leave(Leave::Fin);
        }
        1 => {
            thread::sleep(after);
            client.leave(Leave::Reset);
        }
        _ => {
            let answer = client.answer();
            // Cut by the end of one server, and then by that of the other, a request is not sent again.
            if answer.status() != 502 {
                assert_eq!(answer.status(), 200);
                assert_same_bytes(&answer.body, &pattern(size));
            }
        }
    }
}

fn script(talk: &mut Talk) -> std::io::Result<()> {
    let target = talk.target();
    if target == "/slot" {
        talk.hold("/slot")?;
        return talk.answer("free");
    }
    let size: usize = target[1..].parse().unwrap();
    talk.write(format!("HTTP/1.1 200 OK\r\nContent-Length: {size}\r\n\r\n"))?;
    for part in pattern(size).chunks(10_000) {
        // A server's own pace.
        thread::sleep(Duration::from_millis(1));
        talk.write(part)?;
    }
    Ok(())
}
