//! curl, with each of its protocol options.

use std::process::{Command, Stdio};

use tempfile::TempDir;

use crate::harness::{Backend, Seawall};

#[test]
fn curl_gets_its_answer_by_every_protocol_option() {
    let backend = echo();
    let folder = tempfile::tempdir().unwrap();
    let seawall = everywhere(&backend, &folder);
    let places = seawall.places(3);
    let [plain, encrypted, _] = &places[..] else { panic!("{places:?}") };
    for (options, scheme, version) in [
        (&["--http1.0"][..], "http", "1.0"),
        (&["--http1.1"], "http", "1.1"),
        // An offer to upgrade, which RFC 9113 has given up.
        (&["--http2"], "http", "1.1"),
        (&["--http2-prior-knowledge"], "http", "2"),
        (&["--http1.1"], "https", "1.1"),
        (&["--http2"], "https", "2"),
        (&["--no-alpn"], "https", "1.1"),
        (&["--tls-max", "1.2"], "https", "2"),
        (&["--tlsv1.3"], "https", "2"),
    ] {
        let place = if scheme == "http" { plain } else { encrypted };
        let said = curl(options, &format!("{scheme}://{place}/page"));
        assert_eq!(said, format!("GET /page: 0 bytes\n200 {version}"), "{scheme} {options:?}");
    }
    backend.assert_unharmed();
}

#[test]
fn curl_uploads_by_every_framing() {
    let backend = echo();
    let folder = tempfile::tempdir().unwrap();
    let seawall = everywhere(&backend, &folder);
    let places = seawall.places(3);
    let [plain, encrypted, _] = &places[..] else { panic!("{places:?}") };
    let file = folder.path().join("file");
    std::fs::write(&file, vec![b'x'; 300_000]).unwrap();
    let upload = format!("@{}", file.display());
    let length = &["--data-binary", &upload][..];
    let chunked = &["--header", "Transfer-Encoding: chunked", "--data-binary", &upload];
    let form = format!("file={upload}");
    for (options, scheme, version) in [
        (&["--http1.0"][..], "http", "1.0"),
        (&["--http1.1"], "http", "1.1"),
        (&["--http2-prior-knowledge"], "http", "2"),
        (&["--http2"], "https", "2"),
    ] {
        let url = format!("{scheme}://{}/up", if scheme == "http" { plain } else { encrypted });
        let sent = curl(&[options, length].concat(), &url);
        assert_eq!(sent, format!("POST /up: 300000 bytes\n200 {version}"), "{scheme} {options:?}");
        // Only HTTP/1.1 has chunks; curl says so to whoever asks for them elsewhere.
        if version == "1.1" {
            assert_eq!(curl(&[options, chunked].concat(), &url), sent);
        }
        // Expects 100-continue, where there is that.
        let posted = curl(&[options, &["--form", &form]].concat(), &url);
        assert!(posted.starts_with("POST /up: 300"), "{posted}");
        assert!(posted.ends_with(&format!("\n200 {version}")), "{posted}");
    }
    backend.assert_unharmed();
}

#[test]
fn curl_comes_over_a_unix_socket_by_both_versions() {
    let backend = echo();
    let folder = tempfile::tempdir().unwrap();
    let _seawall = everywhere(&backend, &folder);
    let path = folder.path().join("socket");
    let path = path.to_str().unwrap();
    for (option, version) in [("--http1.1", "1.1"), ("--http2-prior-knowledge", "2")] {
        let said = curl(&["--unix-socket", path, option], "http://localhost/page");
        assert_eq!(said, format!("GET /page: 0 bytes\n200 {version}"));
    }
    backend.assert_unharmed();
}

fn echo() -> Backend {
    Backend::start(|talk| {
        let request = talk.request();
        let method = request.head.method().to_owned();
        let text = format!("{method} {}: {} bytes", talk.target(), request.body.len());
        talk.answer(text)
    })
}

/// Listens plainly, encrypted, and at a Unix socket.
fn everywhere(backend: &Backend, folder: &TempDir) -> Seawall {
    Seawall::start(&format!(
        "backend = \"{}\"\n\
         [[listen]]\naddress = \"127.0.0.1:0\"\n\
         [[listen]]\naddress = \"127.0.0.1:0\"\ntls = \"self-signed\"\n\
         [[listen]]\naddress = \"unix:{}/socket\"\n",
        backend.url(),
        folder.path().display()
    ))
}

/// What curl prints: the body, and behind it status and version.
fn curl(options: &[&str], url: &str) -> String {
    let output = Command::new("curl")
        .args(["--silent", "--show-error", "--insecure", "--max-time", "30"])
        .args(["--write-out", "\n%{response_code} %{http_version}"])
        .args(options)
        .arg(url)
        .stdin(Stdio::null())
        .output()
        .expect("curl is needed: apt-get install curl");
    assert!(output.status.success(), "{options:?} {url}: {output:?}");
    let said = String::from_utf8(output.stdout).unwrap();
    // Of some versions.
    if said.ends_with(" 1") { said + ".0" } else { said }
}
