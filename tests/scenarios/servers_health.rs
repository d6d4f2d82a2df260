//! Each of several servers is asked how it is, where that is wanted, and is not disturbed by it.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use crate::harness::{Backend, Seawall, Talk, until};

const OUT: &str = "the server is out: others are asked";
const BACK: &str = "the server is back";

#[test]
fn one_that_says_that_it_is_not_well_is_asked_for_nothing_else_until_it_is() {
    let is_sick = Arc::new(AtomicBool::new(false));
    let says = is_sick.clone();
    let sick = Backend::start(move |talk| match talk.target().as_str() {
        "/healthz" if says.load(Ordering::SeqCst) => {
            talk.write("HTTP/1.1 500 Sick\r\nContent-Length: 4\r\n\r\nsick")
        }
        _ => talk.answer("sometimes"),
    });
    let well = Backend::start(|talk| talk.answer("well"));
    let mut seawall =
        start(&[&sick, &well], "10s", "eject = { after = 2, for = \"10ms\", max = \"20ms\" }");
    sick.wait_answered("/healthz");
    is_sick.store(true, Ordering::SeqCst);
    seawall.wait_for_diagnostic(OUT);
    for _ in 0..4 {
        assert_eq!(seawall.client().get("/").answer().text(), "well");
    }
    is_sick.store(false, Ordering::SeqCst);
    seawall.wait_for_diagnostic(BACK);
    until("it is asked again", || {
        (seawall.client().get("/").answer().text() == "sometimes").then_some(())
    });
    seawall.signal("TERM");
    assert_eq!(seawall.wait_exit(), Some(0));
    [sick, well].iter().for_each(Backend::assert_unharmed);
}

#[test]
fn a_server_with_one_thread_is_not_asked_while_it_works_and_is_well() {
    let [busy, idle] = [(); 2].map(|()| Backend::one_thread(script));
    let mut seawall = start(&[&busy, &idle], "10s", "max_concurrency = 1");
    let mut client = seawall.client();
    // By turns; a look may have the first at this very moment.
    let mut first = seawall.client();
    first.get("/held");
    client.get("/held");
    busy.wait_held("held", 1);
    idle.wait_held("held", 1);
    let asked = busy.exchanges().len();
    idle.release("held");
    let before = idle.exchanges().len();
    until("the other one is asked many times", || {
        (idle.exchanges().len() > before + 10).then_some(())
    });
    assert_eq!(busy.exchanges().len(), asked);
    busy.release("held");
    assert_eq!((first.answer().text(), client.answer().text()), ("here".into(), "here".into()));
    until("it is asked again", || (busy.exchanges().len() > asked + 2).then_some(()));
    assert!(seawall.diagnostics().iter().all(|line| line["message"] != OUT));
    seawall.signal("TERM");
    assert_eq!(seawall.wait_exit(), Some(0));
    for server in [busy, idle] {
        assert_eq!(server.most_open_at_once(), 1);
        server.assert_unharmed();
    }
}

#[test]
fn an_answer_that_comes_too_late_is_read_to_its_end_and_nothing_else_is_asked_meanwhile() {
    let silent = Backend::start(|talk| match talk.target().as_str() {
        "/healthz" => script_of("healthz", talk),
        _ => talk.answer("silent"),
    });
    let well = Backend::start(|talk| talk.answer("well"));
    let settings = "eject = { after = 2, for = \"10ms\", max = \"20ms\" }";
    let mut seawall = start(&[&silent, &well], "20ms", settings);
    seawall.wait_for_diagnostic(OUT);
    assert_eq!(seawall.client().get("/").answer().text(), "well");
    silent.release("healthz");
    seawall.wait_for_diagnostic(BACK);
    assert_eq!(silent.most_held_at_once(), 1);
    seawall.signal("TERM");
    assert_eq!(seawall.wait_exit(), Some(0));
    [silent, well].iter().for_each(Backend::assert_unharmed);
}

#[test]
fn one_that_is_not_well_is_out_although_it_answers_its_users() {
    let sick = Backend::start(|talk| match talk.target().as_str() {
        "/healthz" => talk.answer_with("503 Unwell", "", "unwell"),
        _ => talk.answer("sick"),
    });
    let well = Backend::start(|talk| talk.answer("well"));
    let seawall =
        start(&[&sick, &well], "10s", "eject = { after = 3, for = \"10s\", max = \"10s\" }");
    // It is asked by users more often than by us.
    until("it is out", || {
        let mut answers = (0..20).map(|_| seawall.client().get("/").answer().text());
        answers.all(|answer| answer == "well").then_some(())
    });
    seawall.wait_for_diagnostic(OUT);
}

#[test]
fn how_long_orphans_may_take_does_not_end_a_look() {
    let servers = [(); 2].map(|()| Backend::start(|talk| talk.answer("well")));
    let seawall = start(&[&servers[0], &servers[1]], "10s", "orphan = { max_duration = \"0s\" }");
    for server in &servers {
        until("it is asked", || (server.exchanges().len() > 5).then_some(()));
        server.assert_unharmed();
    }
    assert!(seawall.diagnostics().iter().all(|line| line["message"] != OUT));
}

#[test]
fn one_that_never_answers_holds_up_no_drain() {
    let silent = Backend::start(|talk| match talk.target().as_str() {
        "/healthz" => script_of("never", talk),
        _ => talk.answer("silent"),
    });
    let well = Backend::start(|talk| talk.answer("well"));
    let mut seawall = start(&[&silent, &well], "20ms", "");
    silent.wait_held("never", 1);
    seawall.signal("TERM");
    assert_eq!(seawall.wait_exit(), Some(0));
}

fn script(talk: &mut Talk) -> std::io::Result<()> {
    match talk.target().as_str() {
        "/held" => script_of("held", talk),
        _ => talk.answer("here"),
    }
}

fn script_of(gate: &str, talk: &mut Talk) -> std::io::Result<()> {
    talk.hold(gate)?;
    talk.answer("here")
}

fn start(servers: &[&Backend], timeout: &str, settings: &str) -> Seawall {
    let urls: Vec<_> = servers.iter().map(|server| server.url()).collect();
    Seawall::start(&format!(
        "listen = \"127.0.0.1:0\"\n[[backend]]\nservers = {urls:?}\n\
         health = {{ path = \"/healthz\", interval = \"10ms\", timeout = \"{timeout}\" }}\n{settings}"
    ))
}
