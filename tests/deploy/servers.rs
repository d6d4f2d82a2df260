//! `docker/compose.servers.yaml`: four servers, each behind a seawall of its own.

use std::thread;

use crate::{article, container::Log, engine, stack::Stack};

#[test]
fn each_server_behind_its_own_seawall_never_hears_of_rude_clients() {
    if !engine::is_there() {
        return;
    }
    let stack = Stack::up("compose.servers.yaml");
    thread::scope(|scope| {
        for server in ["werkzeug", "gunicorn", "uwsgi", "gevent"] {
            let stack = &stack;
            scope.spawn(move || {
                let container = stack.container(server);
                let log = Log::of(&container);
                let (_seawall, address) = stack.seawall(&format!("seawall-{server}"));
                article::play(address, &log.output);
                article::is_unharmed(&container, &log);
            });
        }
    });
}
