//! Several servers behind one name: each has slots of its own, and the least busy one is asked.

use crate::harness::{Backend, Client, Leave, Seawall};

#[test]
fn the_least_busy_server_is_asked() {
    let servers = [Backend::held(), Backend::held()];
    let seawall = Seawall::start(&with(&servers, "max_concurrency = 4"));
    let mut clients: Vec<Client> = Vec::new();
    for number in 0..4 {
        clients.push(ask(&seawall, &format!("/{number}")));
        servers[number % 2].wait_begun(&format!("/{number}"));
    }
    for number in [1, 3] {
        servers[1].release(&format!("/{number}"));
        assert_eq!(clients[number].answer().text(), format!("/{number}"));
    }
    for number in [4, 5] {
        clients.push(ask(&seawall, &format!("/{number}")));
        servers[1].wait_begun(&format!("/{number}"));
    }
    for number in [0, 2, 4, 5] {
        for server in &servers {
            server.release(&format!("/{number}"));
        }
        assert_eq!(clients[number].answer().text(), format!("/{number}"));
    }
    servers.iter().for_each(Backend::assert_unharmed);
}

#[test]
fn equals_take_turns() {
    let servers = ["a", "b", "c"].map(named);
    let seawall = Seawall::start(&with(&servers, "max_concurrency = 4"));
    let answers: String = (0..6).map(|_| ask(&seawall, "/").answer().text()).collect();
    assert_eq!(answers, "abcabc");
}

#[test]
fn each_server_has_its_slots_and_the_first_in_the_queue_gets_the_first_that_comes_free() {
    let servers = [Backend::held(), Backend::held()];
    let seawall = Seawall::start(&with(&servers, "max_concurrency = 1"));
    let mut running = [ask(&seawall, "/a"), ask(&seawall, "/b")];
    servers[0].wait_begun("/a");
    servers[1].wait_begun("/b");
    let mut queued = [ask(&seawall, "/first"), ask(&seawall, "/second")];
    seawall.settle();
    servers[1].release("/b");
    assert_eq!(running[1].answer().text(), "/b");
    servers[1].wait_begun("/first");
    assert!(queued[1].hears_nothing());
    servers[0].release("/a");
    assert_eq!(running[0].answer().text(), "/a");
    servers[0].wait_begun("/second");
    servers[1].release("/first");
    servers[0].release("/second");
    assert_eq!(queued[0].answer().text(), "/first");
    assert_eq!(queued[1].answer().text(), "/second");
    for server in &servers {
        assert_eq!(server.most_open_at_once(), 1);
        server.assert_unharmed();
    }
}

#[test]
fn an_orphan_keeps_the_slot_of_its_server() {
    for how in Leave::BOTH {
        let servers = [Backend::held(), Backend::held()];
        let seawall = Seawall::start(&with(&servers, "max_concurrency = 1"));
        let orphan = ask(&seawall, "/orphan");
        servers[0].wait_begun("/orphan");
        seawall.leave(orphan, how);
        for target in ["/one", "/two"] {
            servers[1].release(target);
            assert_eq!(ask(&seawall, target).answer().text(), target);
        }
        assert_eq!(servers[0].targets(), ["/orphan"]);
        servers[0].release("/orphan");
        servers[0].wait_answered("/orphan");
        servers.iter().for_each(Backend::assert_unharmed);
    }
}

#[test]
fn kept_connections_of_one_server_are_none_to_another() {
    let servers = [named("a"), named("b")];
    let seawall = Seawall::start(&with(&servers, "max_concurrency = 1\nidle = \"1h\""));
    let mut client = seawall.client();
    for _ in 0..3 {
        assert_eq!(client.get("/").answer().text(), "a");
        assert_eq!(client.get("/").answer().text(), "b");
    }
    assert_eq!(servers.each_ref().map(Backend::connections), [1, 1]);
    servers.iter().for_each(Backend::assert_unharmed);
}

#[test]
fn the_list_changes_under_what_runs_and_what_is_queued() {
    let servers = [Backend::held(), Backend::held(), Backend::held()];
    let settings = "max_concurrency = 1\nidle = \"1h\"";
    let seawall = Seawall::start(&with(&servers[..2], settings));
    let mut running = [ask(&seawall, "/a"), ask(&seawall, "/b")];
    servers[0].wait_begun("/a");
    servers[1].wait_begun("/b");
    let mut queued = ask(&seawall, "/queued");
    seawall.settle();
    seawall.reload(&with(&servers[1..], settings));
    servers[2].wait_begun("/queued");
    let mut next = ask(&seawall, "/next");
    seawall.settle();
    servers[0].release("/a");
    assert_eq!(running[0].answer().text(), "/a");
    // Nothing is kept to one who is gone, and nobody is sent there.
    servers[0].wait_left_alone();
    seawall.settle();
    assert!(next.hears_nothing());
    servers[1].release("/b");
    servers[1].wait_begun("/next");
    servers[1].release("/next");
    servers[2].release("/queued");
    assert_eq!(running[1].answer().text(), "/b");
    assert_eq!(queued.answer().text(), "/queued");
    assert_eq!(next.answer().text(), "/next");
    assert_eq!(servers[0].targets(), ["/a"]);
    servers.iter().for_each(Backend::assert_unharmed);
}

#[test]
fn a_server_that_is_taken_out_and_put_in_again_meanwhile_has_its_slots_once() {
    let servers = [Backend::held(), named("other")];
    let settings = "max_concurrency = 1";
    let seawall = Seawall::start(&with(&servers, settings));
    let mut running = ask(&seawall, "/running");
    servers[0].wait_begun("/running");
    seawall.reload(&with(&servers[1..], settings));
    assert_eq!(ask(&seawall, "/meanwhile").answer().text(), "other");
    seawall.reload(&with(&servers, settings));
    for _ in 0..3 {
        assert_eq!(ask(&seawall, "/next").answer().text(), "other");
    }
    servers[0].release("/running");
    assert_eq!(running.answer().text(), "/running");
    servers[0].release("/again");
    // Its slot is free by then, and it has the less to do.
    let answers = [(); 2].map(|()| ask(&seawall, "/again").answer().text());
    assert!(answers.contains(&"/again".to_owned()), "{answers:?}");
    assert_eq!(servers[0].most_open_at_once(), 1);
    servers.iter().for_each(Backend::assert_unharmed);
}

/// Its name is its answer.
fn named(name: &'static str) -> Backend {
    Backend::start(move |talk| talk.answer(name))
}

fn with(servers: &[Backend], settings: &str) -> String {
    let urls: Vec<_> = servers.iter().map(Backend::url).collect();
    format!("listen = \"127.0.0.1:0\"\n[[backend]]\nservers = {urls:?}\n{settings}")
}

fn ask(seawall: &Seawall, target: &str) -> Client {
    let mut client = seawall.client();
    client.get(target);
    client
}
