//! What is kept of requests and answers: heads without secrets, and bodies where they are wanted.

use serde_json::{Value, json};

use super::{ON, detail, fetch, list};
use crate::harness::{Backend, Seawall, pattern, until};

#[test]
fn both_heads_are_shown_as_the_client_knows_them() {
    let backend = Backend::start(|talk| talk.answer_with("200 OK", "X-Answer: yes\r\n", "hello"));
    let seawall = Seawall::with(&backend, ON);
    seawall.client().get_with("/a?b=c", "X-Asked: yes\r\nX-Forwarded-For: 1.2.3.4\r\n").answer();
    let shown = detail(&seawall, "/a?b=c");
    assert_eq!(shown["version"], "HTTP/1.1");
    assert_eq!(shown["url"], "http://app.test/a?b=c");
    let request = &shown["request"]["fields"];
    // As it came: the backend is told another one.
    let expected = [["host", "app.test"], ["x-asked", "yes"], ["x-forwarded-for", "1.2.3.4"]];
    assert_eq!(*request, json!(expected));
    assert_eq!(field(&shown["answer"], "x-answer"), "yes");
    assert_eq!(field(&shown["answer"], "x-request-id"), shown["id"]);
    // Bodies may be anybody's secrets.
    let body = json!({"bytes": 5, "kept_bytes": 0, "text": ""});
    assert_eq!(shown["answer"]["body"], body);
}

#[test]
fn no_secret_is_kept() {
    let backend = Backend::start(|talk| {
        talk.answer_with("200 OK", "Set-Cookie: sid=SECRET-1; HttpOnly\r\nX-Mine: SECRET-2\r\n", "")
    });
    let mask = "[inspect]\nmask = [\"X-Mine\"]\n";
    let seawall = Seawall::with(&backend, &format!("{ON}{mask}"));
    let secrets = "Authorization: Bearer SECRET-3\r\nCookie: sid=SECRET-4; a=SECRET-5\r\n\
                   X-Api-Key: SECRET-6\r\nX-Mine: SECRET-7\r\n\
                   Proxy-Authorization: Basic SECRET-8\r\n";
    seawall.client().get_with("/secret", secrets).answer();
    let shown = detail(&seawall, "/secret");
    let number = &shown["serial"];
    for path in [String::new(), format!("/{number}")] {
        let (_, text) = fetch(&seawall, &format!("/api/exchanges{path}"));
        assert!(text.contains("/secret") && !text.contains("SECRET"), "{text}");
    }
    assert_eq!(field(&shown["request"], "authorization"), "Bearer ***");
    assert_eq!(field(&shown["request"], "cookie"), "sid=***; a=***");
    assert_eq!(field(&shown["answer"], "set-cookie"), "sid=***; HttpOnly");
    let masked = ["authorization", "cookie", "x-api-key", "x-mine", "proxy-authorization"];
    assert_eq!(shown["request"]["masked"], json!(masked));
    assert_eq!(shown["answer"]["masked"], json!(["set-cookie", "x-mine"]));
    // Who was asked got it all.
    assert_eq!(backend.exchanges()[0].head.field("authorization"), Some("Bearer SECRET-3"));
}

#[test]
fn bodies_are_kept_from_their_first_byte_to_a_bound() {
    let backend = Backend::start(|talk| talk.answer(talk.request().body));
    let bodies = "[inspect]\nbodies = \"8B\"\n";
    let seawall = Seawall::with(&backend, &format!("{ON}{bodies}"));
    let bodies = |path: &str, body: &[u8]| {
        seawall.client().post(path, body).answer();
        let shown = detail(&seawall, path);
        assert_eq!(shown["request"]["body"], shown["answer"]["body"]);
        shown["request"]["body"].clone()
    };
    let short = bodies("/short", "grün".as_bytes());
    assert_eq!(short, json!({"bytes": 5, "kept_bytes": 5, "text": "grün"}));
    let long = bodies("/long", b"0123456789");
    assert_eq!(long, json!({"bytes": 10, "kept_bytes": 8, "text": "01234567"}));
    let binary = bodies("/binary", b"\0\x01\xff");
    assert_eq!(binary, json!({"bytes": 3, "kept_bytes": 3, "base64": "AAH/"}));
    let large = bodies("/large", &pattern(1 << 20));
    assert_eq!((&large["bytes"], &large["kept_bytes"]), (&json!(1 << 20), &json!(8)));
}

#[test]
fn what_was_refused_is_there_with_the_reason() {
    let backend = Backend::start(|talk| talk.answer(""));
    let seawall = Seawall::with(&backend, ON);
    seawall.client().get_with("/twice", "Host: other.test\r\n").answer();
    let shown = detail(&seawall, "/twice");
    assert_eq!((&shown["ended"], &shown["status"]), (&json!("refused"), &json!(400)));
    assert_eq!(shown["request"]["fields"], json!([["host", "app.test"], ["host", "other.test"]]));
    let status = field(&shown["answer"], "proxy-status");
    assert!(status.as_str().unwrap().starts_with("seawall; error="), "{status}");
    assert_eq!(backend.exchanges().len(), 0);
}

#[test]
fn what_strangers_write_cannot_break_out_of_the_answer() {
    let backend = Backend::start(|talk| talk.answer_with("200 OK", "X-A: </script>\r\n", ""));
    let seawall = Seawall::with(&backend, ON);
    let mut client = seawall.client();
    client.send(b"GET /{\"a\":\xc3\xa9}?'b' HTTP/1.1\r\nHost: app.test\r\n");
    client
        .send(b"X-Odd: \"\\\xff\xfe\xe9\r\nX-Tab: a\tb\r\nX-Mark: \xe2\x80\xa8<!--\r\n\r\n")
        .answer();
    let shown = detail(&seawall, "/{\"a\":é}?'b'");
    assert_eq!(field(&shown["request"], "x-odd"), "\"\\\\xff\\xfe\\xe9");
    assert_eq!(field(&shown["request"], "x-tab"), "a\tb");
    assert_eq!(field(&shown["request"], "x-mark"), "\u{2028}<!--");
    assert_eq!(field(&shown["answer"], "x-a"), "</script>");
}

#[test]
fn what_is_kept_has_bounds() {
    let backend = Backend::start(|talk| talk.answer(talk.request().body));
    let bounds = "[inspect]\nentries = 3\nmemory = \"100KiB\"\nbodies = \"1MiB\"\nrate = 1000000\n";
    let seawall = Seawall::with(&backend, &format!("{ON}{bounds}"));
    let mut client = seawall.client();
    let mut total = 0;
    let mut send = |body: &[u8]| {
        for _ in 0..10 {
            client.post("/", body).answer();
        }
        total += 10;
        seawall.wait_for_lines(total, |_| true);
        until("there is something", || Some(list(&seawall, "")).filter(|list| !list.is_empty()))
    };
    assert_eq!(send(b"short").len(), 3);
    // Both bodies together are beyond the half that those who run may have.
    let kept = send(&pattern(40_000));
    assert!(kept.len() <= 2, "{}", kept.len());
    let (_, shown) = fetch(&seawall, &format!("/api/exchanges/{}", kept[0]["serial"]));
    let shown: Value = serde_json::from_str(&shown).unwrap();
    assert_eq!(shown["is_short"], true);
    let kept = |message: &str| shown[message]["body"]["kept_bytes"].as_u64().unwrap();
    assert!(kept("request") + kept("answer") <= 51_200, "{shown}");
    assert_eq!(shown["request"]["body"]["bytes"], 40_000);
}

#[test]
fn of_a_flood_a_sample_is_kept() {
    let backend = Backend::start(|talk| talk.answer(""));
    let seawall = Seawall::with(&backend, &format!("{ON}[inspect]\nrate = 1\n"));
    let began = std::time::Instant::now();
    let mut client = seawall.client();
    for _ in 0..100 {
        client.get("/").answer();
    }
    seawall.wait_for_lines(100, |line| line["path"] == "/");
    let seconds = began.elapsed().as_secs() + 1;
    let kept = list(&seawall, "").len() as u64;
    assert!((1..=1 + seconds).contains(&kept), "{kept} in {seconds} s");
}

#[test]
fn nothing_is_kept_where_nothing_is_wanted() {
    let backend = Backend::start(|talk| talk.answer(""));
    let seawall = Seawall::with(&backend, &format!("{ON}[inspect]\nentries = 0\n"));
    seawall.client().get("/").answer();
    seawall.line_of("/");
    assert_eq!(list(&seawall, "").len(), 0);
}

fn field(message: &Value, name: &str) -> Value {
    let fields = message["fields"].as_array().unwrap();
    fields.iter().find(|field| field[0] == name).map(|field| field[1].clone()).unwrap_or_default()
}
