//! Promise 11: floods of requests and resets reach the backend no more than its slots allow. The
//! HTTP/1.1 half: a flood of connections, each reset as soon as it has asked.

use crate::harness::{Backend, Leave, Seawall};

#[test]
fn a_flood_of_requests_each_reset_at_once_runs_no_more_than_the_slots() {
    const FLOOD: usize = 300;
    let backend = Backend::start(|talk| {
        talk.hold("view")?;
        talk.answer("served")
    });
    let seawall = Seawall::with(&backend, "max_concurrency = 2");
    for number in 0..FLOOD {
        let mut client = seawall.client();
        client.get("/flood");
        if number < 2 {
            backend.wait_held("view", number + 1);
        }
        client.leave(Leave::Reset);
    }
    // All but the two which hold the slots are over before the backend has answered anything. Some
    // were reset before seawall had read a word of theirs: they are no requests.
    let mut patient = seawall.client();
    patient.get("/patient");
    seawall.settle();
    let begun = seawall.log().iter().filter(|line| line["path"] == "/flood").count();
    assert_eq!(backend.exchanges().len(), 2, "besides {begun} that were dropped");
    assert!(
        seawall.log().iter().all(|line| line["path"] != "/flood" || line["ended"] == "abandoned")
    );

    backend.release("view");
    assert_eq!(patient.answer().text(), "served");
    assert_eq!(backend.targets(), ["/flood", "/flood", "/patient"]);
    assert_eq!((backend.most_held_at_once(), backend.most_open_at_once()), (2, 2));
    backend.assert_unharmed();
}

#[test]
fn aborted_refreshes_of_a_slow_page_do_not_pile_up_before_the_one_who_waits() {
    let backend = Backend::one_thread(|talk| {
        talk.hold("view")?;
        talk.answer("the page")
    });
    let seawall = Seawall::with(&backend, "max_concurrency = 1");
    for number in 0..10 {
        let mut client = seawall.client();
        client.get("/page");
        if number == 0 {
            backend.wait_held("view", 1);
        }
        seawall.settle();
        client.leave(Leave::Fin);
    }
    seawall.wait_for_lines(9, |line| line["ended"] == "abandoned" && line["left"] == "queued");
    let mut eleventh = seawall.client();
    eleventh.get("/page");
    backend.release("view");
    assert_eq!(eleventh.answer().text(), "the page");
    assert_eq!(backend.exchanges().len(), 2);
    backend.assert_unharmed();
}

#[test]
fn clients_come_and_gone_leave_nothing_behind() {
    let backend = Backend::start(|talk| talk.answer("served"));
    let seawall = Seawall::with(&backend, "max_concurrency = 4\nidle = \"100ms\"");
    seawall.client().get("/warm").answer();
    backend.wait_left_alone();
    seawall.settle();
    let before = seawall.sockets();
    for number in 0..200 {
        let mut client = seawall.client();
        match number % 4 {
            0 => assert_eq!(client.get("/").answer().status(), 200),
            1 => _ = client.send("GET / HT"),
            2 => _ = client.send("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 9\r\n\r\nhalf"),
            _ => _ = client.get("/"),
        }
        client.leave(Leave::BOTH[number / 4 % 2]);
    }
    backend.assert_unharmed();
    backend.wait_left_alone();
    crate::harness::until("every socket is closed", || (seawall.sockets() <= before).then_some(()));
    assert!(backend.most_open_at_once() <= 4);
}
