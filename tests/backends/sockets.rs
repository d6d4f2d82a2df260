//! WebSocket clients that leave without a Close: direct, and through seawall.

use std::net::SocketAddr;

use crate::harm;
use crate::output::Output;
use crate::rude::{Client, Leaving};
use crate::seawall::Seawall;
use crate::server::{SOCKETS, Server};

pub(crate) const WEBSOCKETS: Server = Server {
    name: "websockets",
    venv: &SOCKETS,
    command: &["python", "socket_server.py"],
    tells: "server listening on 127.0.0.1:",
    configuration: "",
    known_harm: &[],
};

pub(crate) const UVICORN: Server = Server {
    name: "uvicorn with WebSocket",
    command: &["uvicorn", "socket_app:app", "--port=0", "--no-use-colors", "--ws=websockets"],
    tells: "running on http://127.0.0.1:",
    ..WEBSOCKETS
};

const PLAYS: [(&str, Leaving); 2] = [("/closes", Leaving::Fin), ("/resets", Leaving::Rst)];

/// Direct, the server is hurt; through seawall, it is told that its client goes away.
pub(crate) fn told_in_order(server: &Server, shows_harm: fn(&str) -> bool) {
    let direct = server.start();
    for (path, leaving) in PLAYS {
        let before = direct.output.length();
        leave(direct.address, path, leaving, &direct.output);
        let harmed = direct.output.look_for(|text| shows_harm(&text[before..]).then_some(()));
        let text = direct.output.text();
        assert!(harmed.is_some(), "{}, direct, {path}: no harm in:\n{text}", server.name);
    }
    direct.end();

    let running = server.start();
    let seawall = Seawall::start(running.address, server.configuration);
    for (path, leaving) in PLAYS {
        leave(seawall.address, path, leaving, &running.output);
        running.output.wait_for(&format!("[ended {path} 1001]"));
        seawall.logged(path).has("discarded", Some("answering"), Some(101));
    }
    seawall.end();
    let written = running.end();
    assert_eq!(harm::complaint(&written), None, "{} complains:\n{written}", server.name);
}

/// Says something, hears it back, and is gone.
fn leave(to: SocketAddr, path: &str, leaving: Leaving, output: &Output) {
    let mut client = Client::sends(
        to,
        format!(
            "GET {path} HTTP/1.1\r\nHost: test\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
             Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
        ),
    );
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.extend(client.reads(1));
    }
    output.wait_for(&format!("[began {path}]"));
    client.and_sends(b"\x81\x82\x00\x00\x00\x00hi");
    assert_eq!(client.reads(4), b"\x81\x02hi");
    client.leaves(leaving);
}
