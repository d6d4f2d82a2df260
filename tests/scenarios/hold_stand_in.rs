//! Hold: something accepts in place of the server, which is not there yet.

use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::Relaxed};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use crate::harness::{Seawall, Site, until};
use crate::hold::{AWAY, ask, echo};

#[test]
fn what_accepts_in_place_of_the_server_and_closes_is_not_taken_for_it() {
    nobody_takes_it_for_the_server(Duration::ZERO);
}

#[test]
fn nor_is_it_where_it_takes_its_time_to_close_as_on_a_busy_machine() {
    nobody_takes_it_for_the_server(Duration::from_millis(30));
}

fn nobody_takes_it_for_the_server(closes_after: Duration) {
    let site = Site::new();
    let stand_in = StandIn::at(&site, closes_after);
    let seawall = Seawall::at(&site, "[runtime]\nworkers = 2");
    let mut first = ask(&seawall, "/first");
    seawall.wait_for_diagnostic(AWAY);
    let mut orders: Vec<_> = (0..20)
        .map(|number| {
            let mut order = seawall.client();
            order.post(&format!("/order/{number}"), b"one of each");
            order
        })
        .collect();
    let tried = stand_in.accepted();
    until("it is tried some more", || (stand_in.accepted() > tried + 5).then_some(()));
    assert!(first.hears_nothing());
    // One tries, the others wait for what comes of it.
    assert_eq!(stand_in.most_at_once(), 1);
    stand_in.end();
    let backend = site.open(echo);
    assert_eq!(first.answer().text(), "/first");
    for (number, order) in orders.iter_mut().enumerate() {
        assert_eq!(order.answer().text(), format!("/order/{number}"));
    }
    assert_eq!(backend.exchanges().len(), 21);
    backend.assert_unharmed();
}

/// Accepts and closes, as the published port of a container does whose server is not there yet.
struct StandIn {
    address: SocketAddr,
    counts: Arc<Counts>,
    thread: JoinHandle<()>,
}

#[derive(Default)]
struct Counts {
    ended: AtomicBool,
    accepted: AtomicUsize,
    most: AtomicUsize,
}

impl StandIn {
    fn at(site: &Site, closes_after: Duration) -> Self {
        let listener = site.listen();
        let address = listener.local_addr().unwrap();
        let counts = Arc::<Counts>::default();
        let own = counts.clone();
        let thread = thread::spawn(move || {
            // It closes within moments on a busy machine, too, as far as one may say so here: this thread first.
            let _ = rustix::process::setpriority_process(None, -20);
            own.stand_in(&listener, closes_after);
        });
        Self { address, counts, thread }
    }

    fn accepted(&self) -> usize {
        self.counts.accepted.load(Relaxed)
    }

    fn most_at_once(&self) -> usize {
        self.counts.most.load(Relaxed)
    }

    fn end(self) {
        self.counts.ended.store(true, Relaxed);
        drop(TcpStream::connect(self.address));
        self.thread.join().unwrap();
    }
}

impl Counts {
    fn stand_in(&self, listener: &TcpListener, closes_after: Duration) {
        loop {
            let mut at_once = vec![listener.accept().unwrap()];
            listener.set_nonblocking(true).unwrap();
            while let Ok(another) = listener.accept() {
                at_once.push(another);
            }
            listener.set_nonblocking(false).unwrap();
            if self.ended.load(Relaxed) {
                return;
            }
            self.accepted.fetch_add(at_once.len(), Relaxed);
            self.most.fetch_max(at_once.len(), Relaxed);
            thread::sleep(closes_after);
        }
    }
}
