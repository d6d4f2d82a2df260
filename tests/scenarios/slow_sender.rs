//! Promise 6: a slow sender holds no slot and no connection to the backend.

use crate::harness::{Backend, Seawall, pattern};

#[test]
fn a_slow_upload_lets_others_by() {
    let backend = Backend::one_thread(|talk| {
        let body = talk.request().body;
        talk.answer(body)
    });
    let seawall = Seawall::with(&backend, "max_concurrency = 1");
    let upload = pattern(400_000);
    let mut slow = seawall.client();
    slow.send("POST /slow HTTP/1.1\r\nHost: a\r\nContent-Length: 400000\r\n\r\n")
        .send(&upload[..300_000]);
    seawall.settle();
    assert_eq!(backend.connections(), 0);
    for number in 0..3 {
        assert_eq!(seawall.client().post(&format!("/{number}"), b"quick").answer().text(), "quick");
    }
    assert_eq!(slow.send(&upload[300_000..]).answer().body, upload);
    assert_eq!(backend.targets(), ["/0", "/1", "/2", "/slow"]);
    assert_eq!(backend.most_open_at_once(), 1);
    backend.assert_unharmed();
}

#[test]
fn many_slow_chunked_uploads_let_others_by() {
    let backend = Backend::one_thread(|talk| talk.answer("served"));
    let seawall = Seawall::with(&backend, "max_concurrency = 1");
    let mut slow: Vec<_> = (0..50)
        .map(|_| {
            let mut client = seawall.client();
            client.send(
                "POST /slow HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhe",
            );
            client
        })
        .collect();
    assert_eq!(seawall.client().get("/quick").answer().text(), "served");
    assert_eq!(backend.targets(), ["/quick"]);
    for client in &mut slow {
        client.send("llo\r\n0\r\n\r\n");
    }
    for client in &mut slow {
        assert_eq!(client.answer().text(), "served");
    }
    assert!(backend.exchanges()[1..].iter().all(|exchange| exchange.body == b"hello"));
    assert_eq!(backend.most_open_at_once(), 1);
    backend.assert_unharmed();
}

#[test]
fn a_slow_head_lets_others_by() {
    let backend = Backend::one_thread(|talk| talk.answer("served"));
    let seawall = Seawall::with(&backend, "max_concurrency = 1");
    let mut slow = seawall.client();
    slow.send("GET /slow HTTP/1.1\r\nHo");
    let idle: Vec<_> = (0..20).map(|_| seawall.client()).collect();
    assert_eq!(seawall.client().get("/quick").answer().text(), "served");
    assert_eq!(backend.targets(), ["/quick"]);
    assert_eq!(slow.send("st: a\r\n\r\n").answer().text(), "served");
    drop(idle);
    backend.assert_unharmed();
}
