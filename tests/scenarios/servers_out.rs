//! One of several servers dies: nobody waits for it, others answer, and it is asked again once it is back.

use crate::harness::{Backend, Client, Seawall, Site, Talk, until};
use crate::hold::{AWAY, BACK};

pub(crate) const OUT: &str = "the server is out: others are asked";
const SERVER_BACK: &str = "the server is back";
const ON: &str = "[admin]\nlisten = \"127.0.0.1:0\"\n";

#[test]
fn what_was_not_sent_to_one_that_refuses_goes_to_another_at_once() {
    let (nobody, there) = (Site::new(), named("there"));
    let seawall = start(&[nobody.url(), there.url()], "eject = { for = \"1h\", max = \"1h\" }");
    for _ in 0..3 {
        assert_eq!(seawall.client().get("/").answer().text(), "there");
        assert_eq!(seawall.client().post("/", b"order").answer().text(), "there");
    }
    assert_eq!(count(&seawall, OUT), 1);
    assert_eq!((count(&seawall, "cannot connect"), count(&seawall, AWAY)), (1, 0));
    assert!(seawall.line_of("/")["held_ms"] == 0.0);
    there.assert_unharmed();
}

#[test]
fn it_is_looked_at_without_a_request_and_asked_again_once_it_is_back() {
    let (site, there) = (Site::new(), named("there"));
    let seawall = start(&[site.url(), there.url()], "eject = { for = \"10ms\", max = \"20ms\" }");
    assert_eq!(ask(&seawall, "/").answer().text(), "there");
    seawall.wait_for_diagnostic(OUT);
    let back = site.open(|talk| talk.answer("back"));
    seawall.wait_for_diagnostic(SERVER_BACK);
    back.wait_left_alone();
    let answers = [(); 2].map(|()| ask(&seawall, "/").answer().text());
    assert!(answers.contains(&"back".to_owned()), "{answers:?}");
    assert_eq!(back.targets(), ["/"]);
    back.assert_unharmed();
}

#[test]
fn one_that_stays_silent_is_waited_for_once() {
    let ((_kept, _first), silent) = Site::that_hangs();
    let there = named("there");
    let settings = "connect_timeout = \"50ms\"\neject = { for = \"1h\", max = \"1h\" }";
    let seawall = start(&[format!("http://{silent}"), there.url()], settings);
    for _ in 0..4 {
        assert_eq!(ask(&seawall, "/").answer().text(), "there");
    }
    assert_eq!((count(&seawall, "cannot connect"), count(&seawall, OUT)), (1, 1));
}

#[test]
fn one_that_cuts_exchanges_in_a_row_is_out_and_what_can_be_sent_again_is_answered_by_another() {
    let (rude, there) = (Backend::start(cut), named("there"));
    let settings = "eject = { after = 2, for = \"1h\", max = \"1h\" }";
    let seawall = start(&[rude.url(), there.url()], settings);
    // By turns: it is the rude one that is asked first.
    assert_eq!(seawall.client().post("/order", b"1").answer().status(), 502);
    assert_eq!(ask(&seawall, "/").answer().text(), "there");
    assert_eq!(count(&seawall, OUT), 0);
    assert_eq!(ask(&seawall, "/page").answer().text(), "there");
    seawall.wait_for_diagnostic(OUT);
    for _ in 0..3 {
        assert_eq!(seawall.client().post("/order", b"1").answer().text(), "there");
    }
    assert_eq!(rude.targets(), ["/order", "/page"]);
}

#[test]
fn an_answer_in_between_is_forgiveness() {
    let sometimes = Backend::start(|talk| match talk.target().as_str() {
        "/cut" => cut(talk),
        _ => talk.answer("here"),
    });
    let there = named("there");
    let seawall = start(&[sometimes.url(), there.url()], "eject = { after = 2, for = \"1h\" }");
    for round in 1..4 {
        assert_eq!(seawall.client().post("/cut", b"1").answer().status(), 502);
        ask(&seawall, "/").answer();
        assert_eq!(ask(&seawall, "/").answer().text(), "here");
        ask(&seawall, "/").answer();
        assert_eq!(count(&seawall, OUT), 0, "round {round}");
    }
}

#[test]
fn the_last_one_is_never_out_and_then_whoever_is_back_first_serves_those_who_are_held() {
    let sites = [Site::new(), Site::new(), Site::new()];
    let urls = sites.each_ref().map(Site::url);
    let seawall = start(&urls, "eject = { for = \"1h\", max = \"1h\" }");
    for (round, site) in sites.iter().enumerate() {
        let mut held = [ask(&seawall, "/one"), ask(&seawall, "/two")];
        until("it is away", || (count(&seawall, AWAY) == round + 1).then_some(()));
        seawall.settle();
        assert!(held.iter().all(Client::hears_nothing));
        let back = site.open(last_answer);
        for client in &mut held {
            assert_eq!(client.answer().text(), "back");
        }
        until("it is back", || (count(&seawall, BACK) == round + 1).then_some(()));
        back.close();
        back.assert_unharmed();
    }
}

#[test]
fn nobody_waits_where_nobody_may_and_all_are_away() {
    let sites = [Site::new(), Site::new()];
    let seawall = start(&sites.each_ref().map(Site::url), "hold = { for = \"0s\" }");
    for _ in 0..2 {
        assert_eq!(ask(&seawall, "/").answer().status(), 502);
    }
    let there = sites[1].open(|talk| talk.answer("there"));
    until("it is found", || (ask(&seawall, "/").answer().text() == "there").then_some(()));
    there.assert_unharmed();
}

#[test]
fn whoever_is_in_the_queue_of_one_that_dies_is_served_by_another() {
    let (site, other) = (Site::new(), Backend::held());
    let dying = site.open(|talk| {
        talk.hold("/dying")?;
        last_answer(talk)
    });
    let settings = "max_concurrency = 1\neject = { for = \"1h\", max = \"1h\" }";
    let seawall = start(&[site.url(), other.url()], settings);
    let mut running = [ask(&seawall, "/dying"), ask(&seawall, "/b")];
    dying.wait_held("/dying", 1);
    other.wait_begun("/b");
    let mut queued = [ask(&seawall, "/first"), ask(&seawall, "/second")];
    seawall.settle();
    dying.close();
    dying.release("/dying");
    assert_eq!(running[0].answer().text(), "back");
    seawall.wait_for_diagnostic(OUT);
    other.release("/b");
    assert_eq!(running[1].answer().text(), "/b");
    for (client, target) in queued.iter_mut().zip(["/first", "/second"]) {
        other.release(target);
        assert_eq!(client.answer().text(), target);
    }
    assert_eq!(other.most_open_at_once(), 1);
    [dying, other].iter().for_each(Backend::assert_unharmed);
}

#[test]
fn what_one_that_dies_has_cut_is_before_those_in_the_queue_of_another() {
    let (site, other) = (Site::new(), Backend::held());
    let dying = site.open(|talk| {
        talk.hold("/cut")?;
        cut(talk)
    });
    let settings = "max_concurrency = 1\neject = { for = \"1h\", max = \"1h\" }";
    let seawall = start(&[site.url(), other.url()], settings);
    let mut cut_off = ask(&seawall, "/cut");
    dying.wait_held("/cut", 1);
    let mut clients = vec![ask(&seawall, "/runs")];
    other.wait_begun("/runs");
    for target in ["/first", "/second"] {
        clients.push(ask(&seawall, target));
        seawall.settle();
    }
    dying.close();
    dying.release("/cut");
    seawall.wait_for_diagnostic(OUT);
    for target in ["/runs", "/cut", "/first", "/second"] {
        other.release(target);
    }
    assert_eq!(cut_off.answer().text(), "/cut");
    for (client, target) in clients.iter_mut().zip(["/runs", "/first", "/second"]) {
        assert_eq!(client.answer().text(), target);
    }
    assert_eq!(other.targets(), ["/runs", "/cut", "/first", "/second"]);
    assert_eq!(other.most_open_at_once(), 1);
    other.assert_unharmed();
}

#[test]
fn ready_is_a_backend_one_of_whose_servers_is() {
    let sites = [Site::new(), Site::new()];
    let seawall = start(&sites.each_ref().map(Site::url), ON);
    assert_eq!(seawall.admin_page("/readyz", "").status(), 503);
    let _there = sites[1].open(|talk| talk.answer("there"));
    until("it is ready", || (seawall.admin_page("/readyz", "").status() == 200).then_some(()));
}

/// Without an answer.
#[expect(clippy::unnecessary_wraps, reason = "it is a script")]
fn cut(talk: &mut Talk) -> std::io::Result<()> {
    talk.reset();
    Ok(())
}

/// Over a connection that is not kept.
fn last_answer(talk: &mut Talk) -> std::io::Result<()> {
    talk.close();
    talk.write("HTTP/1.1 200 OK\r\nContent-Length: 4\r\nConnection: close\r\n\r\nback")
}

/// Its name is its answer.
fn named(name: &'static str) -> Backend {
    Backend::start(move |talk| talk.answer(name))
}

fn start(urls: &[String], settings: &str) -> Seawall {
    Seawall::start(&format!(
        "listen = \"127.0.0.1:0\"\n[[backend]]\nservers = {urls:?}\n{settings}"
    ))
}

fn count(seawall: &Seawall, message: &str) -> usize {
    seawall.diagnostics().iter().filter(|line| line["message"] == message).count()
}

fn ask(seawall: &Seawall, target: &str) -> Client {
    let mut client = seawall.client();
    client.get(target);
    client
}
