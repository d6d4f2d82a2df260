//! A real browser, over HTTP/2 with TLS: a page with forty resources, and leaving it half-way.

use std::fs::{self, File};
use std::os::unix::process::CommandExt as _;
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use tempfile::TempDir;

use crate::harness::{Backend, Seawall, Talk, until};

const RESOURCES: usize = 40;
const SLOW: usize = 20;

/// Says what came of it where `--dump-dom` can see it, and on what protocol it came.
const REPORT: &str = "
    const protocol = () => performance.getEntriesByType('navigation')[0].nextHopProtocol;
    const say = text => { document.getElementById('report').textContent = text; };
";

#[test]
fn a_page_with_forty_resources_is_loaded_over_http2() {
    let backend = Backend::start(|talk| {
        match talk.target().as_str() {
        "/" => page(
            talk,
            "Promise.all([...Array(40).keys()].map(n => fetch('/resource/' + n).then(r => r.text())))
                .then(all => say(all.filter((t, n) => t == 'resource ' + n).length + ' over ' + protocol()));",
        ),
        target => {
            let text = target.trim_start_matches('/').replace('/', " ");
            talk.answer(text)
        }
    }
    });
    let seawall = encrypted(&backend);
    let output = Browser::visit(&seawall, "/").dom();
    assert!(output.contains(&format!("{RESOURCES} over h2")), "{output}");
    for number in 0..RESOURCES {
        assert_eq!(seawall.line_of(&format!("/resource/{number}"))["ended"], "delivered");
    }
    backend.assert_unharmed();
}

#[test]
fn a_page_that_is_stopped_half_way_harms_no_backend() {
    // The page stops loading once the backend works at all of it.
    let backend = Backend::start(|talk| {
        match talk.target().as_str() {
        "/" => page(
            talk,
            "const one = new AbortController();
             for (let n = 0; n < 20; n++) fetch('/slow/' + n, { signal: one.signal }).catch(() => {});
             (async () => {
                 await fetch('/all-begun');
                 one.abort();
                 // The browser resets streams in another of its processes, a moment later.
                 for (let n = 0; n < 20; n++) await fetch('/round-trip');
                 await fetch('/aborted');
                 say('aborted over ' + protocol());
             })();",
        ),
        "/all-begun" => {
            talk.hold("all begun")?;
            talk.answer("")
        }
        target if target.starts_with("/slow/") => {
            talk.hold("slow")?;
            talk.answer("slow")
        }
        _ => talk.answer(""),
    }
    });
    let seawall = encrypted(&backend);
    let browser = Browser::visit(&seawall, "/");
    backend.wait_held("slow", SLOW);
    backend.release("all begun");
    backend.wait_answered("/aborted");
    backend.release("slow");
    let output = browser.dom();
    assert!(output.contains("aborted over h2"), "{output}");
    for number in 0..SLOW {
        let line = seawall.line_of(&format!("/slow/{number}"));
        assert_eq!(line["ended"], "discarded", "{line}");
        assert_eq!(line["reason"], "client reset the stream: CANCEL");
    }
    backend.assert_unharmed();
}

#[test]
fn a_browser_that_is_killed_harms_no_backend() {
    let backend = Backend::start(|talk| match talk.target().as_str() {
        "/" => page(talk, "for (let n = 0; n < 20; n++) fetch('/slow/' + n);"),
        target if target.starts_with("/slow/") => {
            talk.hold("slow")?;
            talk.answer("slow")
        }
        _ => talk.answer(""),
    });
    let seawall = encrypted(&backend);
    let before = seawall.sockets();
    let browser = Browser::visit(&seawall, "/");
    backend.wait_held("slow", SLOW);
    drop(browser);
    until("its connections are gone", || (seawall.sockets() == before + SLOW).then_some(()));
    backend.release("slow");
    for number in 0..SLOW {
        let line = seawall.line_of(&format!("/slow/{number}"));
        assert_eq!(
            (&line["ended"], &line["left"]),
            (&"discarded".into(), &"waiting".into()),
            "{line}"
        );
    }
    backend.assert_unharmed();
}

fn encrypted(backend: &Backend) -> Seawall {
    Seawall::start(&format!(
        "backend = \"{}\"\n[[listen]]\naddress = \"127.0.0.1:0\"\ntls = \"self-signed\"\n",
        backend.url()
    ))
}

fn page(talk: &mut Talk, script: &str) -> std::io::Result<()> {
    let body = format!(
        "<!doctype html><title>page</title><p id=report>nothing yet<script>{REPORT}{script}</script>"
    );
    talk.answer_with("200 OK", "Content-Type: text/html\r\n", body)
}

/// Debian's headless Chromium, with a profile of its own. Killed when dropped, as `kill -9` does it.
struct Browser {
    child: Child,
    profile: TempDir,
}

impl Browser {
    fn visit(seawall: &Seawall, path: &str) -> Self {
        let profile = tempfile::tempdir().unwrap();
        let child = Command::new("chromium")
            .args(["--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage"])
            .args([
                "--no-first-run",
                "--disable-background-networking",
                "--disable-component-update",
            ])
            .arg("--ignore-certificate-errors")
            .arg(format!("--user-data-dir={}", profile.path().display()))
            // Its clock stands still while it waits for an answer.
            .args(["--virtual-time-budget=1000", "--dump-dom"])
            .arg(format!("https://{}{path}", seawall.address))
            .stdin(Stdio::null())
            .stdout(File::create(profile.path().join("dom")).unwrap())
            .stderr(Stdio::null())
            .process_group(0)
            .spawn()
            .expect("chromium is needed: apt-get install chromium");
        Self { child, profile }
    }

    /// Waits until it has dumped the page, and gives that.
    fn dom(mut self) -> String {
        let start = Instant::now();
        while self.child.try_wait().unwrap().is_none() {
            assert!(start.elapsed() < PATIENCE, "the browser does not end");
            thread::sleep(Duration::from_millis(10));
        }
        fs::read_to_string(self.profile.path().join("dom")).unwrap()
    }
}

impl Drop for Browser {
    fn drop(&mut self) {
        // All of its processes.
        let _ =
            Command::new("kill").args(["-KILL", "--", &format!("-{}", self.child.id())]).status();
        let _ = self.child.wait();
    }
}

/// A browser takes its time to start, the more so on a busy machine.
const PATIENCE: Duration = Duration::from_secs(60);
