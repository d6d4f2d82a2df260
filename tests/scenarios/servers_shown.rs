//! What there is to see of several servers: in the log, in the metrics, in the state.

use serde_json::Value;

use crate::harness::command::run_to_end;
use crate::harness::{Backend, Seawall, Site, until};

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

/// Its name is its answer.
fn named(name: &'static str) -> Backend {
    Backend::start(move |talk| talk.answer(name))
}

fn start(urls: &[String], settings: &str) -> Seawall {
    Seawall::start(&format!(
        "listen = \"127.0.0.1:0\"\n[[backend]]\nservers = {urls:?}\n{settings}"
    ))
}
