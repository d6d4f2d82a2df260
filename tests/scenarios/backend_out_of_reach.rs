//! A backend that cannot be reached: each way has its status, its word in `Proxy-Status`, its line.

use crate::harness::{Seawall, Site};

/// What becomes of those who wait for it is told in `hold`.
const NOT_HELD: &str = "listen = \"127.0.0.1:0\"\n[[backend]]\nhold = { for = \"0s\" }";

#[test]
fn a_backend_that_is_not_there_is_a_502() {
    let site = Site::new();
    let seawall = Seawall::start(&format!("{NOT_HELD}\nurl = \"{}\"", site.url()));
    let answer = seawall.client().get("/").answer();
    assert_eq!(answer.status(), 502);
    assert!(
        answer.head.field("proxy-status").unwrap().contains("connection_refused"),
        "{answer:?}"
    );
    let line = seawall.line_of("/");
    assert_eq!(
        (&line["ended"], line["backend_status"].as_u64()),
        (&"failed".into(), None),
        "{line}"
    );
}

#[test]
fn a_name_that_nobody_knows_is_a_502() {
    let seawall = Seawall::start(&format!("{NOT_HELD}\nurl = \"http://no-such-host.invalid:80\""));
    let answer = seawall.client().get("/").answer();
    assert_eq!(answer.status(), 502);
    assert!(answer.head.field("proxy-status").unwrap().contains("error=dns_"), "{answer:?}");
}

#[test]
fn a_backend_that_does_not_accept_is_a_504() {
    let (_queue, address) = Site::that_hangs();
    let settings = "connect_timeout = \"300ms\"";
    let seawall = Seawall::start(&format!("{NOT_HELD}\nurl = \"http://{address}\"\n{settings}"));
    let mut client = seawall.client();
    let answer = client.get("/").answer();
    assert_eq!(answer.status(), 504, "{answer:?}");
    assert!(
        answer.head.field("proxy-status").unwrap().contains("connection_timeout"),
        "{answer:?}"
    );
    assert_eq!(seawall.line_of("/")["ended"], "failed");
}
