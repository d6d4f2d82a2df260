//! What there is to see of several servers: in the log, in the metrics, in the state, on the live page, at a terminal.

use serde_json::Value;

use crate::harness::command::{binary, run_to_end};
use crate::harness::terminal::Terminal;
use crate::harness::{Backend, Chromium, Screen, Seawall, Site, until};
use crate::servers_out::OUT;

const ON: &str = "[admin]\nlisten = \"127.0.0.1:0\"\n";

#[test]
fn the_log_says_which_server_it_was_where_there_are_several() {
    let servers = [named("a"), named("b")];
    let urls = servers.each_ref().map(Backend::url);
    let seawall = start(&urls, "");
    for (target, server) in ["/a", "/b"].iter().zip(&servers) {
        seawall.client().get(target).answer();
        assert_eq!(seawall.line_of(target)["server"], server.address.to_string());
    }
    let alone = start(&urls[..1], "");
    alone.client().get("/alone").answer();
    assert!(alone.line_of("/alone").get("server").is_none());
}

#[test]
fn metrics_and_state_tell_what_each_server_does() {
    let (site, there) = (Site::new(), Backend::held());
    let settings = format!("max_concurrency = 2\neject = {{ for = \"1h\" }}\n{ON}");
    let seawall = start(&[site.url(), there.url()], &settings);
    let mut client = seawall.client();
    client.get("/running");
    there.wait_begun("/running");
    let (gone, there_name) = (site.url().replace("http://", ""), there.address.to_string());
    let metrics = seawall.metrics();
    for (name, server, value) in [
        ("seawall_server_up", &gone, "0"),
        ("seawall_server_up", &there_name, "1"),
        ("seawall_server_slots", &there_name, "2"),
        ("seawall_server_slots_in_use", &gone, "0"),
        ("seawall_server_slots_in_use", &there_name, "1"),
        ("seawall_server_kept_connections", &there_name, "0"),
    ] {
        let labels = [("backend", "default"), ("server", &**server)];
        assert_eq!(metrics.value(name, &labels).to_string(), value, "{name} of {server}");
    }
    assert_eq!(metrics.value("seawall_slots", &[("backend", "default")]).to_string(), "4");
    let state: Value = serde_json::from_slice(&seawall.admin_page("/api/state", "").body).unwrap();
    assert_eq!(state["running"][0]["server"], there_name);
    let servers = &state["backends"][0]["servers"];
    assert_eq!((&servers[0]["name"], &servers[0]["out"]), (&gone.clone().into(), &true.into()));
    assert_eq!((&servers[1]["out"], &servers[1]["slots_in_use"]), (&false.into(), &1.into()));
    let place = format!("http://{}", seawall.admin());
    let top = run_to_end(None, |command| command.args(["top", "--once", "--admin", &place]));
    assert!(top.out.contains(&format!("up, without {gone}")), "{top:?}");
    there.release("/running");
    assert_eq!(client.answer().text(), "/running");
    until("its slot is free", || {
        let labels = [("backend", "default"), ("server", &*there_name)];
        (seawall.metrics().value("seawall_server_slots_in_use", &labels) < 1.0).then_some(())
    });
}

#[test]
fn each_of_several_servers_has_a_row_on_the_page_and_at_a_terminal() {
    let (site, sick, busy) = (Site::new(), sick(), Backend::held());
    let settings = "max_concurrency = 2\nhealth = { path = \"/healthz\", interval = \"10ms\" }";
    // One that is sick is never so often enough.
    let eject = "eject = { for = \"1h\", max = \"1h\", after = 1000000 }";
    busy.release("/healthz");
    let seawall =
        start(&[site.url(), sick.url(), busy.url()], &format!("{settings}\n{eject}\n{ON}"));
    let [gone, sick, running] = [site.url(), sick.url(), busy.url()].map(|url| url[7..].to_owned());
    let mut page = Chromium::open(&format!("http://{}/", seawall.admin()), Screen::DESKTOP.still());
    let mut clients = Vec::new();
    // Not well is one that is asked how it is, and out one that somebody was sent to.
    busy.release("/first");
    until("one has come to the first", || {
        seawall.client().get("/first").answer();
        seawall.diagnostics().iter().any(|line| line["message"] == OUT).then_some(())
    });
    let has_come = || busy.targets().iter().any(|target| target == "/running");
    until("one has come to the third", || {
        let mut client = seawall.client();
        client.get("/running");
        // Else the next one may follow it there.
        until("it is there, or answered", || (has_come() || !client.hears_nothing()).then_some(()));
        clients.push(client);
        has_come().then_some(())
    });
    page.wait_for(".servers li", &format!("{gone} out 0 of 2 slots in use"));
    page.wait_for(".servers li", &format!("{sick} unwell"));
    page.wait_for(".servers li", &format!("{running} up 1 of 2 slots in use"));
    page.wait_for(
        "#sentence",
        &format!("has 2 of its 3 servers: {gone} is out, and the others are asked"),
    );
    for (name, screen) in [("light", Screen::DESKTOP), ("phone-dark", Screen::PHONE.dark())] {
        page.show_on(screen);
        page.wait(&format!("innerWidth === {}", screen.width));
        assert_eq!(page.barriers(), [""; 0], "{name}");
        let wide = page.value("document.documentElement.scrollWidth - innerWidth");
        assert!(wide.as_i64().unwrap() <= 0, "{name} scrolls sideways");
        page.picture(&format!("live-servers-{name}"));
    }
    assert!(page.complaints().is_empty(), "{:?}", page.complaints());

    let top = Terminal::run(binary().args(["top", "--admin", &seawall.admin().to_string()]));
    let has = |text: &str, of: &str, shown: &[&str]| {
        let mut lines = text.lines().filter(|line| line.trim_start().starts_with(of));
        lines.any(|line| shown.iter().all(|word| line.contains(word)))
    };
    top.wait_until("all three", |text| {
        has(text, &gone, &["out", "0/2"])
            && has(text, &sick, &["unwell"])
            && has(text, &running, &["up", "1/2"])
    });
    let once = run_to_end(None, |command| {
        command.args(["top", "--once", "--admin", &seawall.admin().to_string()])
    });
    assert!(has(&once.out, &gone, &["out", "0/2"]), "{once:?}");
    // A look at how it is may have its other slot.
    assert!(has(&once.out, &running, &["up", "/2"]), "{once:?}");
}

#[test]
fn of_very_many_servers_those_in_trouble_are_shown_and_the_others_counted() {
    let (sites, there) = ([(); 14].map(|()| Site::new()), Backend::start(|talk| talk.answer("up")));
    let urls: Vec<_> = [there.url()].into_iter().chain(sites.iter().map(Site::url)).collect();
    let health = "health = { path = \"/\", interval = \"10ms\" }";
    let eject = "eject = { for = \"1h\", max = \"1h\", after = 1 }";
    let seawall = start(&urls, &format!("{health}\n{eject}\n{ON}"));
    let mut page = Chromium::open(&format!("http://{}/", seawall.admin()), Screen::PHONE);
    page.wait_for("#sentence", "has 1 of its 15 servers: 14 servers are out");
    page.wait_for(".servers li", "and 3 more");
    assert_eq!(page.value("document.querySelectorAll('.servers li').length"), 13);
    assert_eq!(page.value("document.querySelectorAll('.servers .tag.good').length"), 0);
    let top = Terminal::run(binary().args(["top", "--admin", &seawall.admin().to_string()]));
    let shown = top.wait_for("more");
    assert!(!shown.contains(&format!("  {}", there.address)), "{shown}");
    assert!(shown.contains("age"), "no room is left for exchanges: {shown}");
}

/// Answers nothing but that it is not well.
fn sick() -> Backend {
    Backend::start(|talk| match talk.target().as_str() {
        "/healthz" => talk.answer_with("500 Sick", "", "sick"),
        _ => talk.answer("though"),
    })
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
