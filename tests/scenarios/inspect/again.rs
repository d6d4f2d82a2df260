//! A request sent once more: by a command for a shell, or by seawall itself.

use std::process::{Command, Stdio};

use serde_json::{Value, json};

use super::{ON, detail, fetch, post};
use crate::harness::{Backend, Head, Seawall, until};

const BODIES: &str = "[inspect]\nbodies = \"1KiB\"\n";

#[test]
fn the_command_sends_the_same_request_again() {
    let backend = Backend::start(|talk| talk.answer("fine"));
    let seawall = Seawall::with(&backend, &format!("{ON}{BODIES}"));
    let place = seawall.address;
    let requests: [&[u8]; 8] = [
        b"GET /plain HTTP/1.1\r\n\r\n",
        b"GET /a/../b/[1]{2}?q=it's%20%22$HOME%22`x`&\xc3\xa9 HTTP/1.1\r\nUser-Agent: me\r\nAccept: */*\r\n\r\n",
        b"HEAD /head HTTP/1.1\r\nAccept-Encoding: gzip\r\nX-Empty:\r\n\r\n",
        b"DELETE /delete HTTP/1.1\r\nX-Odd: a'b\"c\\d $(x) `y` !z \xff\xfe\tt\r\n\r\n",
        b"POST /text HTTP/1.1\r\nContent-Type: text/plain\r\nContent-Length: 21\r\n\r\n@it's 'quoted' $HOME\n",
        b"POST /binary HTTP/1.1\r\nContent-Length: 8\r\n\r\n\x00\x01\xff'\\7\r\n",
        b"PUT /empty HTTP/1.1\r\nContent-Length: 0\r\n\r\n",
        b"PATCH /chunked HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n",
    ];
    for request in requests {
        let (line, rest) =
            request.split_at(request.iter().position(|byte| *byte == b'\r').unwrap());
        let mut client = seawall.client();
        client.send([line, format!("\r\nHost: {place}").as_bytes(), rest].concat());
        match line.starts_with(b"HEAD") {
            true => client.answer_to_head(),
            false => client.answer(),
        };
        let path = String::from_utf8_lossy(line).split(' ').nth(1).unwrap().to_owned();
        let serial = detail(&seawall, &path)["serial"].clone();
        let (status, command) = fetch(&seawall, &format!("/api/exchanges/{serial}/curl"));
        assert_eq!(status, 200, "{command}");
        let before = backend.exchanges().len();
        bash(&command);
        let exchanges = backend.exchanges();
        assert_eq!(exchanges.len(), before + 1, "{command}");
        let [first, again] = &exchanges[before - 1..] else { unreachable!() };
        assert_eq!(told(&first.head.fields), told(&again.head.fields), "{command}");
        assert_eq!((&first.head.start, &first.body), (&again.head.start, &again.body), "{command}");
    }
}

#[test]
fn a_command_that_would_send_something_else_is_not_given() {
    let backend = Backend::start(|talk| talk.answer("fine"));
    let seawall = Seawall::with(&backend, ON);
    seawall.client().post("/up", b"data").answer();
    let serial = &detail(&seawall, "/up")["serial"];
    let (status, said) = fetch(&seawall, &format!("/api/exchanges/{serial}/curl"));
    assert_eq!(status, 409);
    assert!(said.contains("its body was not kept whole"), "{said}");
}

#[test]
fn a_replay_reaches_the_backend_once_and_the_log_says_whose_it_is() {
    let backend = Backend::start(|talk| talk.answer(talk.request().body));
    let seawall = Seawall::with(&backend, &format!("{ON}{BODIES}"));
    let mut client = seawall.client();
    client.send(
        "POST /up?x=1 HTTP/1.1\r\nHost: app.test\r\nX-A: b\r\nX-Request-Id: first\r\n\
         X-Forwarded-For: 1.2.3.4\r\nContent-Length: 4\r\n\r\ndata",
    );
    client.answer();
    let again = replay(&seawall, "/up?x=1", "");
    let shown = until("it is over", || {
        let (_, shown) = fetch(&seawall, &format!("/api/exchanges/{}", again["serial"]));
        let shown: Value = serde_json::from_str(&shown).unwrap();
        (shown["ended"] == "delivered").then_some(shown)
    });
    assert_eq!(shown["answer"]["body"]["text"], "data");
    assert_eq!(shown["client"], "operator");
    let exchanges = backend.exchanges();
    assert_eq!(exchanges.len(), 2);
    let second = &exchanges[1];
    assert_eq!((second.head.target(), &second.body[..]), ("/up?x=1", &b"data"[..]));
    assert_eq!(second.head.field("x-a"), Some("b"));
    assert_eq!(second.head.field("host"), Some("app.test"));
    assert_eq!(second.head.field("x-forwarded-for"), Some("127.0.0.1"));
    let line = seawall.wait_for_log(|line| line["client"] == "operator");
    assert_eq!((&line["ended"], &line["path"]), (&json!("delivered"), &json!("/up?x=1")));
    assert_ne!(line["id"], "first");
    let said = seawall.wait_for_diagnostic("an operator sends a request again");
    assert_eq!(said["exchange"], again["serial"]);
}

#[test]
fn a_replay_waits_for_its_slot_and_can_be_ended() {
    let backend = Backend::start(|talk| {
        let target = talk.target();
        talk.hold(&target)?;
        talk.answer("")
    });
    let seawall = Seawall::with(&backend, &format!("max_concurrency = 1\n{ON}"));
    let mut client = seawall.client();
    client.get("/first");
    backend.wait_held("/first", 1);
    backend.release("/first");
    client.answer();
    client.get("/busy");
    backend.wait_held("/busy", 1);
    let again = replay(&seawall, "/first", "");
    let path = format!("/api/exchanges/{}", again["serial"]);
    let stage = || -> Value { serde_json::from_str(&fetch(&seawall, &path).1).unwrap() };
    until("it is queued", || (stage()["stage"] == "queued").then_some(()));
    assert_eq!(post(&seawall, &format!("{path}/end"), "").0, 202);
    until("it is cut", || (stage()["ended"] == "cut").then_some(()));
    assert_eq!(backend.targets(), ["/first", "/busy"]);
    backend.release("/busy");
}

#[test]
fn what_was_not_kept_is_asked_for_before_a_replay() {
    let backend = Backend::start(|talk| talk.answer(""));
    let seawall = Seawall::with(&backend, ON);
    let mut client = seawall.client();
    client.send(
        "POST /up HTTP/1.1\r\nHost: app.test\r\nAuthorization: Bearer abc\r\nCookie: a=b\r\n\
         Content-Length: 4\r\n\r\ndata",
    );
    client.answer();
    let serial = detail(&seawall, "/up")["serial"].clone();
    let path = format!("/api/exchanges/{serial}/replay");
    let (status, said) = post(&seawall, &path, "");
    let said: Value = serde_json::from_str(&said).unwrap();
    assert_eq!(status, 409);
    assert_eq!(said["masked"], json!(["authorization", "cookie"]));
    assert_eq!(said["body"], json!([0, 4]));
    assert_eq!(post(&seawall, &path, "{\"without_masked\": true}").0, 409);
    assert_eq!(post(&seawall, &path, "{\"without\": true}").0, 400);
    assert_eq!(backend.exchanges().len(), 1);

    let wishes = json!({
        "fields": {"Authorization": "Bearer def"}, "without_masked": true, "without_body": true
    });
    assert_eq!(post(&seawall, &path, &wishes.to_string()).0, 202);
    let again = until("it has come", || backend.exchanges().get(1).cloned());
    assert_eq!(again.head.field("authorization"), Some("Bearer def"));
    assert_eq!(again.head.field("cookie"), None);
    assert_eq!(again.body, b"");
}

#[test]
fn what_a_client_said_of_its_way_is_not_said_again() {
    let backend = Backend::start(|talk| talk.answer(""));
    let trusting = "[client]\ntrusted_proxies = [\"127.0.0.1\"]\n";
    let seawall = Seawall::with(&backend, &format!("{ON}{trusting}"));
    let fields = "X-Forwarded-For: 1.2.3.4\r\nX-Forwarded-Host: evil.test\r\n\
                  X-Forwarded-Proto: https\r\n";
    seawall.client().get_with("/way", fields).answer();
    replay(&seawall, "/way", "");
    let [first, again] = until("it has come", || <[_; 2]>::try_from(backend.exchanges()).ok());
    let way = |head: &Head| {
        let field = |name: &str| head.field(name).unwrap().to_owned();
        ["x-forwarded-host", "x-forwarded-proto"].map(field)
    };
    assert_eq!(way(&first.head), ["evil.test", "https"]);
    assert_eq!(way(&again.head), ["app.test", "http"]);
}

#[test]
fn nothing_is_sent_again_while_it_drains() {
    let backend = Backend::start(|talk| {
        let target = talk.target();
        talk.hold(&target)?;
        talk.answer("")
    });
    let mut seawall = Seawall::with(&backend, ON);
    let mut client = seawall.client();
    client.get("/first");
    backend.wait_held("/first", 1);
    backend.release("/first");
    client.answer();
    let serial = detail(&seawall, "/first")["serial"].clone();
    client.get("/running");
    backend.wait_held("/running", 1);
    seawall.signal("TERM");
    seawall.wait_not_listening();
    let (status, said) = post(&seawall, &format!("/api/exchanges/{serial}/replay"), "");
    assert_eq!((status, said.as_str()), (409, "seawall is draining, and takes nothing new\n"));
    backend.release("/running");
    client.answer();
    assert_eq!(seawall.wait_exit(), Some(0));
    assert_eq!(backend.targets(), ["/first", "/running"]);
}

#[test]
fn another_site_cannot_have_a_request_sent() {
    let backend = Backend::start(|talk| talk.answer(""));
    let seawall = Seawall::with(&backend, ON);
    seawall.client().get("/pay").answer();
    let serial = &detail(&seawall, "/pay")["serial"];
    let mut admin = crate::harness::Client::connect(seawall.admin());
    let ask = format!("POST /api/exchanges/{serial}/replay HTTP/1.1\r\nHost: localhost\r\n");
    for fields in ["", "X-Seawall: 1\r\nOrigin: http://evil.example\r\n"] {
        admin.send(format!("{ask}{fields}Content-Length: 0\r\n\r\n"));
        assert_eq!(admin.answer().status(), 403, "{fields}");
    }
    assert_eq!(backend.exchanges().len(), 1);
}

/// What is told of the new one.
fn replay(seawall: &Seawall, path: &str, wishes: &str) -> Value {
    let serial = detail(seawall, path)["serial"].clone();
    let (status, said) = post(seawall, &format!("/api/exchanges/{serial}/replay"), wishes);
    assert_eq!(status, 202, "{said}");
    serde_json::from_str(&said).unwrap()
}

fn bash(command: &str) {
    let mut bash = Command::new("bash");
    // curl may be told of proxies, and more, where tests run.
    bash.env("NO_PROXY", "*").env("HOME", "/nowhere").args(["-c", command]);
    let ended = bash.stdout(Stdio::null()).stderr(Stdio::piped()).output().unwrap();
    assert!(ended.status.success(), "{command}{}", String::from_utf8_lossy(&ended.stderr));
}

/// Fields that the client has sent, in no order: the rest is seawall's.
fn told(fields: &[(String, String)]) -> Vec<(String, String)> {
    let ours = ["x-request-id", "via"];
    let own = fields.iter().map(|(name, value)| (name.to_ascii_lowercase(), value.clone()));
    let mut own: Vec<_> = own.filter(|(name, _)| !ours.contains(&name.as_str())).collect();
    own.sort();
    own
}
