//! `docker/compose.yaml`: Flask, and seawall as its sidecar.

use std::thread;

use crate::{
    article::{self, HELLO, asks},
    container::{Container, Log, known},
    engine::{self, docker},
    stack::Stack,
};

#[test]
fn a_flask_server_behind_its_sidecar_never_hears_of_rude_clients() {
    if !engine::is_there() {
        return;
    }
    let stack = Stack::up("compose.yaml");
    let flask = stack.container("flask");
    let log = Log::of(&flask);
    let (seawall, address) = stack.seawall("seawall");

    article::play(address, &log.output);
    article::is_unharmed(&flask, &log);
    assert!(seawall.output.text().contains("\"discarded\""), "nobody left anything");

    // The same without seawall: so what is looked for can be seen.
    docker(["exec", &flask, "python", "-c", LEAVES_FLASK]);
    log.output.wait_for("lines stopped");
}

#[test]
fn docker_stop_in_mid_exchange_loses_nothing() {
    if !engine::is_there() {
        return;
    }
    let stack = Stack::up("compose.yaml");
    let log = Log::of(&stack.container("flask"));
    let (seawall, address) = stack.seawall("seawall");
    let container = stack.container("seawall");

    let client = thread::spawn(move || asks(address, SLOW));
    log.output.wait_for("report begun");
    // Returns when it has ended.
    stack.compose(["stop", "seawall"]);
    assert_eq!(client.join().expect("a whole answer").len(), 2_200_000);
    assert_eq!(known(&container, "{{.State.ExitCode}}"), "0", "{}", seawall.output.text());
    seawall.output.wait_for("\"draining\"");
    log.output.wait_for("report done");
}

#[test]
fn a_backend_whose_container_is_made_anew_is_found_at_its_new_address() {
    if !engine::is_there() {
        return;
    }
    let stack = Stack::up("compose.yaml");
    let (_seawall, address) = stack.seawall("seawall");
    asks(address, HELLO);
    let before = stack.container("flask");
    let of = |container: &str| {
        known(container, "{{range .NetworkSettings.Networks}}{{.IPAddress}}{{end}}")
    };
    let old = of(&before);

    stack.compose(["rm", "--stop", "--force", "flask"]);
    let held = thread::spawn(move || asks(address, HELLO));
    // Somebody else gets the address that is free now.
    let network = stack.network();
    let _other = Container::run(["--network", &network, "seawall", "--backend", "http://nobody:1"]);
    stack.compose(["up", "--detach", "--no-deps", "flask"]);

    assert_ne!(of(&stack.container("flask")), old, "nothing to follow");
    assert!(held.join().expect("an answer").starts_with(b"Hello."));
    assert!(asks(address, HELLO).starts_with(b"Hello."));
}

const SLOW: &str = "GET /report?seconds=2 HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n";
/// A client at the server itself.
const LEAVES_FLASK: &str = r"
import socket
client = socket.create_connection(('127.0.0.1', 5000))
client.sendall(b'GET /lines HTTP/1.1\r\nHost: x\r\n\r\n')
client.recv(100)
";
