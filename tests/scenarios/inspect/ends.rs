//! An operator ends a tunnel.

use super::{ON, list, post};
use crate::harness::tunnel::{Door, End, Ended, close, frame};
use crate::harness::{Seawall, until};

#[test]
fn a_web_socket_that_an_operator_ends_is_closed_in_order_on_both_sides() {
    let door = Door::new();
    let seawall = door.seawall(&format!("max_concurrency = 1\n{ON}"));
    let (mut client, mut backend) = door.tunnel(&seawall, "/chat");
    client.send(frame(0x81, b"hello", true));
    assert_eq!(backend.frame().payload, b"hello");
    end(&seawall, "/chat");
    assert_eq!((backend.close(), client.close()), (1001, 1001));
    backend.send(close(1001, false));
    client.send(close(1001, true));
    assert_eq!((backend.ended(), client.ended()), (Ended::Fin, Ended::Fin));
    drop((client, backend));
    let line = seawall.line_of("/chat");
    assert_eq!(
        (&line["ended"], &line["reason"], &line["left"]),
        (&"cut".into(), &"ended by an operator".into(), &serde_json::Value::Null)
    );
    // Its slot is free.
    door.tunnel(&seawall, "/next");
}

#[test]
fn a_tunnel_of_another_protocol_is_ended_by_a_fin_for_both() {
    let door = Door::new();
    let seawall = door.seawall(&format!("{ON}[tunnel]\nclosing = \"200ms\"\n"));
    let mut client = End::connect(seawall.address);
    client
        .send("GET /raw HTTP/1.1\r\nHost: app.test\r\nConnection: Upgrade\r\nUpgrade: raw\r\n\r\n");
    let mut backend = door.accept();
    backend.head();
    backend.send("HTTP/1.1 101 Switching Protocols\r\nUpgrade: raw\r\nConnection: Upgrade\r\n\r\n");
    assert_eq!(client.head().status(), 101);
    end(&seawall, "/raw");
    assert_eq!((backend.ended(), client.ended()), (Ended::Fin, Ended::Fin));
    drop((client, backend));
    assert_eq!(seawall.line_of("/raw")["reason"], "ended by an operator");
}

fn end(seawall: &Seawall, path: &str) {
    let one = until("it is shown", || {
        let answering = list(seawall, "?ended=running").into_iter();
        answering.into_iter().find(|one| one["path"] == path && one["stage"] == "answering")
    });
    let (status, said) = post(seawall, &format!("/api/exchanges/{}/end", one["serial"]), "");
    assert_eq!(status, 202, "{said}");
}
