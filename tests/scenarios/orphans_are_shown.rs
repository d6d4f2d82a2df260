//! What runs for nobody is shown and counted as an orphan, and nothing else is.

use serde_json::Value;

use crate::harness::{Backend, Client, Leave, Seawall, until};

const ADMIN: &str = "[admin]\nlisten = \"127.0.0.1:0\"\n";
const JOIN: &str = "[[route]]\njoin = true\n[admin]\nlisten = \"127.0.0.1:0\"\n";

#[test]
fn what_another_client_still_waits_for_is_none() {
    let backend = Backend::held();
    let seawall = Seawall::with(&backend, JOIN);
    let first = first(&seawall);
    backend.wait_held("/", 1);
    let mut joins = seawall.client();
    joins.get("/");
    seawall.settle();
    seawall.leave(first, Leave::Fin);
    let shown = shown(&seawall, |one| one["id"] == "first" && one["left"] == "waiting");
    assert_eq!((&shown["orphan"], &shown["orphaned_at"]), (&false.into(), &Value::Null));
    backend.release("/");
    assert_eq!(joins.answer().text(), "/");
    let totals = totals(&seawall);
    assert_eq!((&totals["orphans"], &totals["joins"]), (&0.into(), &1.into()));
}

#[test]
fn one_that_is_joined_is_none_any_more_and_its_time_is_counted() {
    let backend = Backend::held();
    let seawall = Seawall::with(&backend, JOIN);
    let first = first(&seawall);
    backend.wait_held("/", 1);
    seawall.leave(first, Leave::Reset);
    let orphan = shown(&seawall, |one| one["id"] == "first" && one["orphan"] == true);
    assert!(orphan["orphaned_at"].as_f64() >= orphan["sent"].as_f64(), "{orphan}");
    let mut joins = seawall.client();
    joins.get("/");
    shown(&seawall, |one| one["id"] == "first" && one["orphan"] == false);
    backend.release("/");
    assert_eq!(joins.answer().text(), "/");
    let totals = totals(&seawall);
    assert_eq!(totals["orphans"], 1);
    assert!(totals["orphan_seconds"].as_f64().unwrap() > 0.0, "{totals}");
}

#[test]
fn what_is_sent_only_after_its_client_was_let_go_is_one() {
    let backend = Backend::held();
    let wait = "max_concurrency = 1\n[client]\nwait = \"300ms\"\n";
    let seawall = Seawall::with(&backend, &format!("{wait}{ADMIN}"));
    let [mut running, mut queued] = [seawall.client(), seawall.client()];
    running.get("/running");
    backend.wait_held("/running", 1);
    queued.get("/queued");
    assert_eq!(queued.answer().status(), 504);
    let waits = shown(&seawall, |one| one["path"] == "/queued" && one["left"] == "queued");
    assert_eq!(waits["orphan"], false, "it holds no slot");
    backend.release("/running");
    shown(&seawall, |one| one["path"] == "/queued" && one["orphan"] == true);
    backend.release("/queued");
    assert_eq!(totals(&seawall)["orphans"], 2);
}

#[test]
fn who_joins_is_shown_as_far_as_the_exchange_that_it_watches() {
    let backend = Backend::held();
    let seawall = Seawall::with(&backend, &format!("max_concurrency = 1\n{JOIN}"));
    let mut running = seawall.client();
    running.get("/running");
    backend.wait_held("/running", 1);
    let [mut first, mut joins] = [first(&seawall), seawall.client()];
    joins.get("/");
    let is_at = |one: &Value, stage: &str| one["shared"] == "join" && one["stage"] == stage;
    shown(&seawall, |one| is_at(one, "queued"));
    backend.release("/running");
    shown(&seawall, |one| is_at(one, "waiting"));
    backend.release("/");
    assert_eq!((first.answer().text(), joins.answer().text()), ("/".into(), "/".into()));
    running.answer();
}

fn first(seawall: &Seawall) -> Client {
    let mut client = seawall.client();
    client.get_with("/", "X-Request-Id: first\r\n");
    client
}

fn state(seawall: &Seawall) -> Value {
    serde_json::from_str(&seawall.admin_page("/api/state", "").text()).unwrap()
}

/// The one that is meant, once it is shown.
fn shown(seawall: &Seawall, is_meant: impl Fn(&Value) -> bool) -> Value {
    until("it is shown", || {
        let state = state(seawall);
        let running = state["running"].as_array().unwrap();
        running.iter().find(|one| is_meant(one)).cloned()
    })
}

/// Of the backend, once nothing runs any more.
fn totals(seawall: &Seawall) -> Value {
    until("all is over", || {
        let state = state(seawall);
        state["running"].as_array().unwrap().is_empty().then(|| state["totals"][1].clone())
    })
}
