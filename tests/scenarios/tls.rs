//! TLS: which certificate is shown to whom, which versions are spoken, who is let in.

use std::fs;
use std::process::{Command, Stdio};

use rustls::HandshakeKind;
use rustls::version::{TLS12, TLS13};

use crate::harness::command::run_to_end;
use crate::harness::{Authority, Backend, Client, Seawall, Trust, pattern};

#[test]
fn both_versions_are_spoken_and_the_backend_is_told_of_https() {
    let authority = Authority::new();
    let backend = echo();
    let seawall = encrypted(&backend, &authority.sign("site", &["app.test"]), "");
    for (version, path) in [(&TLS12, "/1.2"), (&TLS13, "/1.3")] {
        let mut client = connect(&seawall, &authority.trust_by(&[version], None));
        let large = pattern(3_000_000);
        assert_eq!(client.post(path, &large).answer().body, large);
        assert_eq!(client.tls().protocol_version(), Some(version.version));
        let head = backend.wait_answered(path).head;
        assert_eq!(head.field("x-forwarded-proto"), Some("https"));
        assert!(head.field("forwarded").unwrap().contains(";proto=https;"), "{head:?}");
        assert_eq!(seawall.line_of(path)["ended"], "delivered");
    }
    backend.assert_unharmed();
}

#[test]
fn the_certificate_is_chosen_by_the_name_that_is_asked_for() {
    let authority = Authority::new();
    let backend = echo();
    let pairs = [
        authority.sign("first", &["first.test"]),
        authority.sign("second", &["second.test", "*.wild.test"]),
    ];
    let seawall = encrypted(&backend, &format!("[{}]", pairs.join(", ")), "");
    let shown = |name: &str| {
        let mut client = Client::connect_tls(seawall.address, &authority.trust(), name);
        // Fails unless the certificate is of this name.
        client.get("/").answer();
    };
    for name in ["first.test", "SECOND.test", "a.wild.test"] {
        shown(name);
    }
    let output = s_client(&seawall, &["-servername", "unknown.test"]);
    assert!(output.contains("depth=0"), "{output}");
    let certificates = s_client(&seawall, &["-noservername", "-showcerts"]);
    let first = fs::read_to_string(authority.path("first.pem")).unwrap().replace('\r', "");
    assert!(certificates.contains(first.trim()), "who names nobody gets the first: {certificates}");
}

#[test]
fn a_session_is_resumed() {
    let authority = Authority::new();
    let backend = echo();
    let seawall = encrypted(&backend, &authority.sign("site", &["app.test"]), "");
    for version in [&TLS12, &TLS13] {
        let trust = authority.trust_by(&[version], None);
        for kind in [HandshakeKind::Full, HandshakeKind::Resumed] {
            let mut client = connect(&seawall, &trust);
            client.get("/").answer();
            assert_eq!(client.tls().handshake_kind(), Some(kind), "{version:?}");
        }
    }
}

#[test]
fn openssl_and_curl_are_content() {
    let authority = Authority::new();
    let backend = echo();
    let seawall = encrypted(&backend, &authority.sign("site", &["localhost"]), "");
    for version in ["-tls1_2", "-tls1_3"] {
        let ca = authority.file().display().to_string();
        let output = s_client(&seawall, &[version, "-CAfile", &ca, "-verify_return_error"]);
        assert!(output.contains("Verification: OK"), "{output}");
    }
    assert!(!s_client(&seawall, &["-tls1_1"]).contains("Cipher is TLS"));
    let output = Command::new("curl")
        .args(["-sS", "--http1.1", "--data", "hello", "--cacert"])
        .arg(authority.file())
        .arg(format!("https://localhost:{}/curl", seawall.address.port()))
        .args(["--resolve", &format!("localhost:{}:127.0.0.1", seawall.address.port())])
        .output()
        .unwrap();
    assert_eq!(String::from_utf8_lossy(&output.stdout), "hello", "{output:?}");
}

#[test]
fn the_version_of_http_is_agreed_on_in_the_handshake() {
    let authority = Authority::new();
    let backend = echo();
    let seawall = encrypted(&backend, &authority.sign("site", &["localhost"]), "");
    for (option, version) in [("--http2", "2"), ("--http1.1", "1.1")] {
        let output = Command::new("curl")
            .args([
                "-sS",
                option,
                "--data",
                "hello",
                "--write-out",
                " by %{http_version}",
                "--cacert",
            ])
            .arg(authority.file())
            .arg(format!("https://localhost:{}/{version}", seawall.address.port()))
            .args(["--resolve", &format!("localhost:{}:127.0.0.1", seawall.address.port())])
            .output()
            .unwrap();
        let said = String::from_utf8_lossy(&output.stdout);
        assert_eq!(said, format!("hello by {version}"), "{output:?}");
        let head = backend.wait_answered(&format!("/{version}")).head;
        assert_eq!(head.field("x-forwarded-proto"), Some("https"));
    }
}

#[test]
fn a_self_signed_certificate_is_made_and_told_at_the_start() {
    let backend = echo();
    let seawall = encrypted(&backend, "\"self-signed\"", "");
    let told = seawall.wait_for_diagnostic(
        "self-signed certificate: for development, do not use it in production",
    );
    let names = told["names"].as_str().unwrap();
    assert!(names.starts_with("localhost 127.0.0.1 ::1"), "{names}");
    // What a user does with it: compares the fingerprint, then believes this one certificate.
    let shown = s_client(&seawall, &["-showcerts"]);
    let begin = shown.find("-----BEGIN CERTIFICATE-----").unwrap();
    let end = shown.find("-----END CERTIFICATE-----").unwrap() + 25;
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("shown.pem");
    fs::write(&file, &shown[begin..end]).unwrap();
    let print = Command::new("openssl")
        .args(["x509", "-noout", "-fingerprint", "-sha256", "-in"])
        .arg(&file)
        .output()
        .unwrap();
    let print = String::from_utf8_lossy(&print.stdout).trim().to_owned();
    assert!(print.ends_with(told["sha256"].as_str().unwrap()), "{print} {told}");
    for host in ["localhost", "127.0.0.1"] {
        let output = Command::new("curl")
            .args(["-sS", "--data", "hello", "--cacert"])
            .arg(&file)
            .args(["--resolve", &format!("localhost:{}:127.0.0.1", seawall.address.port())])
            .arg(format!("https://{host}:{}/", seawall.address.port()))
            .output()
            .unwrap();
        assert_eq!(String::from_utf8_lossy(&output.stdout), "hello", "{output:?}");
    }
}

#[test]
fn clients_without_a_certificate_are_let_in_only_where_it_is_optional() {
    let authority = Authority::new();
    let strangers = Authority::new();
    let backend = echo();
    let site = authority.sign("site", &["app.test"]);
    authority.sign("client", &["client.test"]);
    strangers.sign("client", &["client.test"]);
    for (auth, let_in) in [("required", false), ("optional", true)] {
        let settings =
            format!("client_ca = \"{}\"\nclient_auth = \"{auth}\"\n", authority.file().display());
        let seawall = encrypted(&backend, &site, &settings);
        for version in [&TLS12, &TLS13] {
            let with = authority.trust_by(&[version], Some("client"));
            assert_eq!(connect(&seawall, &with).get("/").answer().status(), 200);
            let without = authority.trust_by(&[version], None);
            assert_eq!(is_served(&seawall, &without), let_in, "{auth}");
            // Vouched for by somebody else.
            for file in ["client.pem", "client.key"] {
                fs::copy(strangers.path(file), authority.path(&format!("other-{file}"))).unwrap();
            }
            let other = authority.trust_by(&[version], Some("other-client"));
            assert!(!is_served(&seawall, &other), "{auth}");
        }
    }
}

#[test]
fn plain_http_is_told_that_this_port_speaks_tls() {
    let authority = Authority::new();
    let backend = echo();
    let seawall = encrypted(&backend, &authority.sign("site", &["app.test"]), "");
    let mut client = seawall.client();
    let answer = client.get("/plain").answer();
    assert_eq!(answer.status(), 400);
    assert!(answer.text().contains("This port speaks TLS"), "{}", answer.text());
    let line = seawall.wait_for_log(|line| line["status"] == 400);
    assert_eq!(line["reason"], "Plain HTTP sent to a TLS port");
    assert_eq!(line["ended"], "refused");
    let output = Command::new("curl")
        .args(["-sS", "--data", "hello"])
        .arg(format!("http://{}/", seawall.address))
        .output()
        .unwrap();
    assert!(String::from_utf8_lossy(&output.stdout).contains("https://"), "{output:?}");
    assert_eq!(backend.connections(), 0);
}

#[test]
fn who_does_not_finish_its_handshake_is_let_go() {
    let authority = Authority::new();
    let backend = echo();
    let site = authority.sign("site", &["app.test"]);
    let seawall = encrypted(&backend, &site, "[client]\nhandshake_timeout = \"200ms\"");
    assert!(seawall.client().wait_closed().is_empty());
    // The beginning of a handshake, and no more.
    assert!(seawall.client().send([22, 3, 1, 2]).wait_closed().is_empty());
    assert!(seawall.log().is_empty(), "{:?}", seawall.log());
}

#[test]
fn a_handshake_that_fails_is_no_line_of_the_access_log() {
    let authority = Authority::new();
    let backend = echo();
    let seawall = encrypted(&backend, &authority.sign("site", &["app.test"]), "");
    // A message of no known kind.
    seawall.client().send([22, 3, 1, 0, 4, 99, 0, 0, 0]).wait_closed();
    assert!(!is_served(&seawall, &Authority::new().trust()));
    connect(&seawall, &authority.trust()).get("/served").answer();
    seawall.line_of("/served");
    assert_eq!(seawall.log().len(), 1, "{:?}", seawall.log());
}

#[test]
fn new_files_are_read_again_and_broken_ones_are_not_used() {
    let authority = Authority::new();
    let backend = echo();
    let site = authority.sign("site", &["old.test"]);
    let seawall = encrypted(&backend, &site, "");
    let mut kept = Client::connect_tls(seawall.address, &authority.trust(), "old.test");
    kept.get("/").answer();
    fs::write(authority.path("site.key"), "nonsense").unwrap();
    let told =
        seawall.wait_for_diagnostic("new certificates are not usable; keeping the former ones");
    let said = told["error"].as_str().unwrap();
    assert!(said.contains("site.key") && said.contains("no private key"), "{told}");
    Client::connect_tls(seawall.address, &authority.trust(), "old.test").get("/").answer();
    authority.sign("site", &["new.test"]);
    seawall.wait_for_diagnostic("certificates read again");
    Client::connect_tls(seawall.address, &authority.trust(), "new.test").get("/").answer();
    assert_eq!(kept.get("/").answer().status(), 200);
    let errors = seawall.diagnostics();
    let errors = errors.iter().filter(|line| line["level"] == "ERROR").count();
    assert_eq!(errors, 1);
}

#[test]
fn a_mounted_secret_that_is_swapped_by_a_link_is_seen() {
    let authority = Authority::new();
    let backend = echo();
    for (folder, name) in [("v1", "old.test"), ("v2", "new.test")] {
        fs::create_dir(authority.path(folder)).unwrap();
        authority.sign(&format!("{folder}/site"), &[name]);
    }
    // As Kubernetes does: files are links through a link to a folder, which is replaced.
    std::os::unix::fs::symlink("v1", authority.path("data")).unwrap();
    let seawall = encrypted(&backend, &authority.pair("data/site"), "");
    Client::connect_tls(seawall.address, &authority.trust(), "old.test").get("/").answer();
    std::os::unix::fs::symlink("v2", authority.path("data.new")).unwrap();
    fs::rename(authority.path("data.new"), authority.path("data")).unwrap();
    seawall.wait_for_diagnostic("certificates read again");
    Client::connect_tls(seawall.address, &authority.trust(), "new.test").get("/").answer();
}

#[test]
fn files_that_are_not_as_they_should_be_are_named_with_their_key() {
    let authority = Authority::new();
    authority.sign("one", &["a.test"]);
    authority.sign("two", &["b.test"]);
    fs::write(authority.path("empty"), "").unwrap();
    let path = |name: &str| authority.path(name).display().to_string();
    for (cert, key, told) in [
        ("none", "one.key", "listen.tls.cert: "),
        ("one.pem", "none", "listen.tls.key: "),
        ("empty", "one.key", "empty holds no certificate in PEM form"),
        ("one.pem", "empty", "empty holds no private key in PEM form"),
        ("one.pem", "two.key", "two.key does not belong to the first certificate in"),
    ] {
        let toml = format!(
            "backend = \"http://127.0.0.1:1\"\n[listen]\naddress = \"127.0.0.1:0\"\n\
             tls = {{ cert = \"{}\", key = \"{}\" }}\n",
            path(cert),
            path(key)
        );
        for arguments in [&["check"][..], &[]] {
            let said = run_to_end(Some(&toml), |command| command.args(arguments));
            assert_eq!(said.code, Some(2), "{said:?}");
            assert!(said.err.contains("proxy.toml:4: ") && said.err.contains(told), "{said:?}");
        }
    }
    let toml = format!(
        "backend = \"http://127.0.0.1:1\"\n[[listen]]\naddress = \"127.0.0.1:0\"\ntls = [\n{},\n{}]\n\
         client_ca = \"{}\"",
        authority.pair("one"),
        authority.pair("three"),
        path("empty")
    );
    let said = run_to_end(Some(&toml), |command| command.arg("check"));
    assert!(said.err.contains("proxy.toml:6: listen.tls[2].cert: "), "{said:?}");
    assert!(said.err.contains("proxy.toml:7: listen.client_ca: "), "{said:?}");
    let misspelt =
        "backend = \"http://127.0.0.1:1\"\n[listen]\ntls = { crt = \"a\", key = \"b\" }\n";
    let said = run_to_end(Some(misspelt), |command| command.arg("check"));
    assert!(said.err.contains("proxy.toml:3") && said.err.contains("cert"), "{said:?}");
}

#[test]
fn certificates_of_clients_without_tls_are_a_mistake() {
    let authority = Authority::new();
    let toml = format!(
        "backend = \"http://127.0.0.1:1\"\n[listen]\naddress = \"127.0.0.1:0\"\nclient_ca = \"{}\"",
        authority.file().display()
    );
    let said = run_to_end(Some(&toml), |command| command.arg("check"));
    assert_eq!(said.code, Some(2), "{said:?}");
    assert!(said.err.contains("proxy.toml:4: listen.client_ca: without tls"), "{said:?}");
}

pub(super) fn encrypted(backend: &Backend, tls: &str, settings: &str) -> Seawall {
    Seawall::start(&format!(
        "backend = \"{}\"\n[[listen]]\naddress = \"127.0.0.1:0\"\ntls = {tls}\n{settings}",
        backend.url()
    ))
}

pub(super) fn connect(seawall: &Seawall, trust: &Trust) -> Client {
    Client::connect_tls(seawall.address, trust, "app.test")
}

/// Does a handshake lead to an answer?
fn is_served(seawall: &Seawall, trust: &Trust) -> bool {
    let mut client = connect(seawall, trust);
    client.try_send("GET / HTTP/1.1\r\nHost: app.test\r\n\r\n");
    client.outcome().is_ok()
}

fn s_client(seawall: &Seawall, arguments: &[&str]) -> String {
    let address = seawall.address.to_string();
    let output = Command::new("openssl")
        .args(["s_client", "-connect", &address])
        .args(arguments)
        .stdin(Stdio::null())
        .output()
        .unwrap();
    String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr)
}

pub(super) fn echo() -> Backend {
    Backend::start(|talk| {
        let body = talk.request().body;
        talk.answer(body)
    })
}
