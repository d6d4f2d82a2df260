//! `docker/compose.wrapped.yaml`: seawall around Flask, in one container.

use std::thread;

use crate::{
    article::{self, asks},
    container::known,
    engine,
    stack::Stack,
};

#[test]
fn a_flask_server_with_seawall_around_it_never_hears_of_rude_clients() {
    if !engine::is_there() {
        return;
    }
    let stack = Stack::up("compose.wrapped.yaml");
    let (log, address) = stack.seawall("flask");
    let container = stack.container("flask");

    article::play(address, &log.output);
    // Stopped in the middle of one more, it ends that one, then Flask, then itself.
    let client = thread::spawn(move || asks(address, ONE_MORE));
    let is_at_it = |log: &str| (log.matches("report begun").count() == 5).then_some(());
    assert!(log.output.look_for(is_at_it).is_some(), "{}", log.output.text());
    stack.compose(["stop", "flask"]);
    assert_eq!(client.join().expect("a whole answer").len(), 2_200_000);
    assert_eq!(known(&container, "{{.State.ExitCode}}"), "0", "{}", log.output.text());

    let all = log.output.whole();
    let of_flask: String =
        all.lines().filter(|line| !line.starts_with('{')).flat_map(|line| [line, "\n"]).collect();
    article::is_clean(&of_flask);
}

const ONE_MORE: &str = "GET /report?seconds=2 HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n";
