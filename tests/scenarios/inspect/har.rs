//! What is kept, as a file for other tools.

use std::io::Write as _;
use std::path::Path;
use std::process::{Command, Stdio};

use serde_json::{Value, json};

use super::{ON, detail, fetch_json};
use crate::harness::{Backend, Leave, Seawall};

#[test]
fn the_archive_is_a_valid_one_and_tells_no_secret() {
    let backend = Backend::start(|talk| match talk.target().as_str() {
        "/gone" => {
            talk.hold("gate")?;
            talk.answer("late")
        }
        "/cut" => {
            talk.write("HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nnot")?;
            talk.close();
            Ok(())
        }
        "/moved" => {
            talk.answer_with("302 Found", "Location: /there\r\nSet-Cookie: s=SECRET\r\n", "")
        }
        _ => talk.answer_with("200 OK", "Content-Type: text/plain\r\n", talk.request().body),
    });
    let seawall = Seawall::with(&backend, &format!("{ON}[inspect]\nbodies = \"64B\"\n"));
    let mut client = seawall.client();
    client.get_with("/page?a=b%20c&d", "Cookie: s=SECRET\r\n").answer();
    client.post("/text", "grün".as_bytes()).answer();
    client.post("/binary", b"\0\xff").answer();
    client.post("/long", &[b'x'; 100]).answer();
    client.get("/moved").answer();
    client
        .send("GET /odd HTTP/1.1\r\nHost: app.test\r\nX-Odd: \u{2028}</script>\"")
        .send(b"\xff\r\n\r\n")
        .answer();
    client.get("/cut").outcome().unwrap_err();
    seawall.client().get_with("/refused", "Host: b\r\n").answer();
    let mut gone = seawall.client();
    gone.get("/gone");
    backend.wait_held("gate", 1);
    seawall.leave(gone, Leave::Reset);
    backend.release("gate");
    let paths = [
        "/page?a=b%20c&d",
        "/text",
        "/binary",
        "/long",
        "/moved",
        "/odd",
        "/cut",
        "/refused",
        "/gone",
    ];
    for path in paths {
        detail(&seawall, path);
    }
    let archive = fetch_json(&seawall, "/api/har");
    validate(&archive);
    assert!(!archive.to_string().contains("SECRET"));
    let entries = archive["log"]["entries"].as_array().unwrap();
    assert_eq!(entries.len(), paths.len());
    let entry = |path: &str| {
        let url = format!("http://app.test{path}");
        entries.iter().find(|entry| entry["request"]["url"] == *url).unwrap()
    };
    let page = &entry("/page?a=b%20c&d")["request"]["queryString"];
    assert_eq!(*page, json!([{"name": "a", "value": "b%20c"}, {"name": "d", "value": ""}]));
    assert_eq!(entry("/text")["response"]["content"]["text"], "grün");
    let binary = &entry("/binary")["response"]["content"];
    assert_eq!((&binary["text"], &binary["encoding"]), (&json!("AP8="), &json!("base64")));
    assert_eq!(entry("/long")["response"]["content"]["size"], 100);
    assert_eq!(entry("/long")["response"]["content"]["comment"], "the first 64 bytes");
    assert_eq!(entry("/moved")["response"]["redirectURL"], "/there");
    assert_eq!(entry("/gone")["response"]["status"], 0);
    assert_eq!(entry("/gone")["_ended"], "discarded");
    let comment = entry("/cut")["comment"].as_str().unwrap();
    assert_eq!(comment, "failed: the backend broke its answer off");
    for entry in entries {
        let parts = ["blocked", "send", "wait", "receive"];
        let sum: f64 = parts.iter().map(|part| entry["timings"][part].as_f64().unwrap()).sum();
        assert!((sum - entry["time"].as_f64().unwrap()).abs() < 0.01, "{entry}");
    }
    // What the page shows is what is saved.
    let failed = fetch_json(&seawall, "/api/har?ended=failed");
    assert_eq!(failed["log"]["entries"].as_array().unwrap().len(), 1);
}

/// By the schema of the format.
fn validate(archive: &Value) {
    let tools = Path::new(env!("CARGO_MANIFEST_DIR")).join("target/tools");
    let made_from = std::fs::read_to_string(tools.join("made-from")).unwrap_or_default();
    let wanted = include_str!("../../tools/package-lock.json");
    assert_eq!(made_from, wanted, "the tools are missing or old: run tests/backends/setup");
    let script = "const read = require('fs').readFileSync(0);\
                  require('har-validator').har(JSON.parse(read)).catch(bad => {\
                      console.error(JSON.stringify(bad.errors)); process.exit(1) })";
    let mut node = Command::new("node");
    node.current_dir(&tools).args(["-e", script]).stdin(Stdio::piped()).stderr(Stdio::piped());
    let mut node = node.spawn().unwrap();
    node.stdin.take().unwrap().write_all(archive.to_string().as_bytes()).unwrap();
    let ended = node.wait_with_output().unwrap();
    assert!(ended.status.success(), "{}", String::from_utf8_lossy(&ended.stderr));
}
