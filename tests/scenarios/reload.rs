//! Reload: another configuration is put in force while seawall runs, and whatever is here goes on as
//! it began.

use crate::harness::{Backend, Client, Leave, Seawall, Site, Talk};

const LATE: &str = "these cannot change while seawall runs; restart it to put them in force";

#[test]
fn a_route_changes_under_an_exchange_and_under_one_that_is_queued() {
    let (old, new) = (waiting("old"), Backend::start(|talk| talk.answer("new")));
    let toml = |route: &str| {
        format!(
            "listen = \"127.0.0.1:0\"\n\
             [[backend]]\nname = \"old\"\nurl = \"{}\"\nmax_concurrency = 1\n\
             [[backend]]\nname = \"new\"\nurl = \"{}\"\n\
             [[route]]\nbackend = \"{route}\"",
            old.url(),
            new.url()
        )
    };
    let seawall = Seawall::start(&toml("old"));
    let mut kept = seawall.client();
    old.release_one("view");
    assert_eq!(kept.get("/kept").answer().text(), "old");
    let mut running = ask(&seawall, "/running");
    old.wait_held("view", 1);
    let mut queued = ask(&seawall, "/queued");
    seawall.settle();

    seawall.reload(&toml("new"));
    assert_eq!(kept.get("/kept").answer().text(), "new");
    assert_eq!(ask(&seawall, "/next").answer().text(), "new");
    assert!(running.hears_nothing() && queued.hears_nothing());
    old.release("view");
    assert_eq!((running.answer().text(), queued.answer().text()), ("old".into(), "old".into()));
    assert_eq!(old.targets(), ["/kept", "/running", "/queued"]);
    assert_eq!(old.most_open_at_once(), 1);
    old.assert_unharmed();
    new.assert_unharmed();
}

#[test]
fn slots_become_more_at_once_and_fewer_as_they_come_free_though_orphans_have_them() {
    let backend = waiting("served");
    let toml = |slots| with(&backend, &format!("max_concurrency = {slots}"));
    let seawall = Seawall::start(&toml(1));
    for (number, slots) in [(1, 1), (2, 3), (3, 3)] {
        if number == 2 {
            seawall.reload(&toml(slots));
        }
        let orphan = ask(&seawall, "/orphan");
        backend.wait_held("view", number);
        seawall.leave(orphan, Leave::BOTH[number % 2]);
    }
    let mut next = ask(&seawall, "/next");
    seawall.settle();
    seawall.reload(&toml(1));
    for left in [2, 1] {
        backend.release_one("view");
        backend.wait_held("view", left);
        seawall.wait_for_lines(3 - left, |line| line["path"] == "/orphan");
        seawall.settle();
        assert_eq!(backend.exchanges().len(), 3, "one too many was replaced");
        assert!(next.hears_nothing());
    }
    backend.release_one("view");
    backend.wait_begun("/next");
    assert_eq!(backend.most_held_at_once(), 3);
    let mut last = ask(&seawall, "/last");
    seawall.settle();
    assert_eq!(backend.exchanges().len(), 4);
    // And no slot is lost: as many as ever.
    seawall.reload(&toml(2));
    backend.wait_held("view", 2);
    backend.release("view");
    assert_eq!((next.answer().status(), last.answer().status()), (200, 200));
    assert_eq!(backend.most_open_at_once(), 3);
    backend.assert_unharmed();
}

#[test]
fn one_who_is_queued_is_served_at_once_when_there_are_more_slots() {
    let backend = waiting("served");
    let toml = |slots| with(&backend, &format!("max_concurrency = {slots}"));
    let seawall = Seawall::start(&toml(1));
    let mut clients: Vec<Client> = (0..3).map(|_| ask(&seawall, "/page")).collect();
    backend.wait_held("view", 1);
    seawall.settle();
    seawall.reload(&toml(3));
    backend.wait_held("view", 3);
    backend.release("view");
    for client in &mut clients {
        assert_eq!(client.answer().text(), "served");
    }
}

#[test]
fn a_backend_whose_url_changes_keeps_its_slots_and_not_its_connections() {
    let (old, new) = (waiting("old"), Backend::start(|talk| talk.answer("new")));
    let settings = "max_concurrency = 1\nidle = \"1h\"";
    let seawall = Seawall::start(&with(&old, settings));
    old.release_one("view");
    let mut kept = seawall.client();
    assert_eq!(kept.get("/kept").answer().text(), "old");
    seawall.leave(ask_held(&seawall, &old, "/orphan"), Leave::Fin);
    let mut next = ask(&seawall, "/next");
    seawall.settle();

    seawall.reload(&with(&new, settings));
    seawall.settle();
    assert!(new.exchanges().is_empty() && next.hears_nothing(), "two exchanges for one slot");
    old.release("view");
    assert_eq!(next.answer().text(), "new");
    assert_eq!(kept.get("/kept").answer().text(), "new");
    old.wait_left_alone();
    assert_eq!(old.targets(), ["/kept", "/orphan"]);
    old.assert_unharmed();
}

#[test]
fn requests_that_are_held_are_served_where_the_mended_url_leads() {
    let (nobody, backend) = (Site::new(), Backend::start(|talk| talk.answer("served")));
    let seawall = Seawall::at(&nobody, "");
    let mut clients = [ask(&seawall, "/one"), ask(&seawall, "/two")];
    seawall.wait_for_diagnostic("the backend is away: holding requests");
    seawall.settle();
    seawall.reload(&with(&backend, ""));
    for client in &mut clients {
        assert_eq!(client.answer().text(), "served");
    }
    seawall.wait_for_diagnostic("the backend is back");
}

#[test]
fn a_backend_that_goes_and_comes_back_meanwhile_has_its_slots_once() {
    let (backend, other) = (waiting("served"), Backend::start(|talk| talk.answer("other")));
    let both = format!(
        "{}\n[[backend]]\nname = \"second\"\nurl = \"{}\"\nmax_concurrency = 1\n\
         [[route]]\npath = \"/second\"\nbackend = \"second\"",
        with(&other, ""),
        backend.url()
    );
    let seawall = Seawall::start(&both);
    let mut running = ask_held(&seawall, &backend, "/second/running");
    let mut queued = ask(&seawall, "/second/queued");
    seawall.settle();
    seawall.reload(&with(&other, ""));
    assert_eq!(ask(&seawall, "/second/gone").answer().text(), "other");
    seawall.reload(&both);
    let mut next = ask(&seawall, "/second/next");
    seawall.settle();
    assert_eq!(backend.targets(), ["/second/running"]);
    backend.release("view");
    for client in [&mut running, &mut queued, &mut next] {
        assert_eq!(client.answer().text(), "served");
    }
    assert_eq!(backend.targets(), ["/second/running", "/second/queued", "/second/next"]);
    assert_eq!(backend.most_open_at_once(), 1);
    backend.assert_unharmed();
}

#[test]
fn a_backend_that_is_only_called_differently_is_the_same() {
    let backend = waiting("served");
    let toml = |name: &str| with(&backend, &format!("name = \"{name}\"\nmax_concurrency = 1"));
    let seawall = Seawall::start(&toml("one"));
    seawall.leave(ask_held(&seawall, &backend, "/orphan"), Leave::Reset);
    seawall.reload(&toml("other"));
    let mut next = ask(&seawall, "/next");
    seawall.settle();
    assert_eq!(backend.targets(), ["/orphan"]);
    backend.release("view");
    assert_eq!(next.answer().text(), "served");
}

#[test]
fn who_asks_the_same_joins_an_exchange_from_before() {
    let backend = waiting("served");
    let settings = |wait| format!("[client]\nwait = \"{wait}\"\n[[route]]\njoin = true");
    let seawall = Seawall::start(&with(&backend, &settings("1h")));
    let mut first = ask_held(&seawall, &backend, "/page");
    seawall.reload(&with(&backend, &settings("2h")));
    let mut second = ask(&seawall, "/page");
    seawall.settle();
    backend.release("view");
    assert_eq!((first.answer().text(), second.answer().text()), ("served".into(), "served".into()));
    assert_eq!(backend.targets(), ["/page"]);
}

#[test]
fn bounds_of_clients_hold_for_their_next_request_and_count_what_runs() {
    let backend = waiting("served");
    let toml = |exchanges| {
        with(&backend, &format!("[client]\nexchanges = {exchanges}\nmax_body = \"{exchanges}B\""))
    };
    let seawall = Seawall::start(&toml(2));
    let mut kept = seawall.client();
    assert_eq!(kept.post("/long", b"123").answer().status(), 413);
    let mut kept = seawall.client();
    let mut running = [ask_held(&seawall, &backend, "/one"), ask(&seawall, "/two")];
    backend.wait_held("view", 2);
    assert_eq!(kept.get("/third").answer().status(), 429);
    seawall.reload(&toml(3));
    kept.post("/third", b"123");
    backend.wait_held("view", 3);
    assert_eq!(ask(&seawall, "/fourth").answer().status(), 429);
    backend.release("view");
    for client in running.iter_mut().chain([&mut kept]) {
        assert_eq!(client.answer().text(), "served");
    }
}

#[test]
fn what_is_logged_changes() {
    let backend = Backend::start(|talk| talk.answer("served"));
    let toml = |log: &str| with(&backend, &format!("[log]\n{log}"));
    let seawall = Seawall::start(&toml("access = false"));
    ask(&seawall, "/silent").answer();
    seawall.reload(&toml("level = \"debug\""));
    seawall.client().send("nonsense\r\n\r\n").wait_closed();
    ask(&seawall, "/logged").answer();
    seawall.line_of("/logged");
    assert!(seawall.diagnostics().iter().any(|line| line["level"] == "DEBUG"));
    seawall.reload(&toml("access = false"));
    ask(&seawall, "/silent").answer();
    seawall.reload(&toml("access = true"));
    ask(&seawall, "/again").answer();
    seawall.line_of("/again");
    assert!(seawall.log().iter().all(|line| line["path"] != "/silent"));
}

#[test]
fn what_cannot_change_is_named_and_all_else_changes() {
    let (old, new) =
        (Backend::start(|talk| talk.answer("old")), Backend::start(|talk| talk.answer("new")));
    let toml = |backend: &Backend, workers, form: &str| {
        with(backend, &format!("[runtime]\nworkers = {workers}\n[log]\nformat = \"{form}\""))
    };
    let seawall = Seawall::start(&toml(&old, 1, "json"));
    let said = seawall.hang_up_over(&toml(&new, 2, "pretty"), LATE);
    assert_eq!(
        said["keys"], "log.format: \"json\" -> \"pretty\"; runtime.workers: 1 -> 2",
        "{said}"
    );
    assert_eq!(ask(&seawall, "/").answer().text(), "new");
    // They wait for the restart still, and not once they are taken back.
    let said = seawall.hang_up_over(&toml(&old, 2, "json"), LATE);
    assert_eq!(said["keys"], "runtime.workers: 1 -> 2", "{said}");
    let said = seawall.reload(&toml(&new, 1, "json"));
    assert!(said["changed"].as_str().unwrap().contains(&new.url()), "{said}");
    seawall.settle();
    let late = seawall.diagnostics().iter().filter(|line| line["message"] == LATE).count();
    assert_eq!(late, 2);
}

/// Answers when the gate "view" is opened.
fn waiting(answer: &'static str) -> Backend {
    Backend::start(move |talk: &mut Talk| {
        talk.hold("view")?;
        talk.answer(answer)
    })
}

fn with(backend: &Backend, settings: &str) -> String {
    let url = backend.url();
    format!("listen = \"127.0.0.1:0\"\n[[backend]]\nurl = \"{url}\"\n{settings}")
}

fn ask(seawall: &Seawall, target: &str) -> Client {
    let mut client = seawall.client();
    client.get(target);
    client
}

/// As the only one who waits at the backend.
fn ask_held(seawall: &Seawall, backend: &Backend, target: &str) -> Client {
    let client = ask(seawall, target);
    backend.wait_held("view", 1);
    client
}
