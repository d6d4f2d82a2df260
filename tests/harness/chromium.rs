//! Debian's headless Chromium, driven by the `DevTools` protocol: what a person would see and do.

use std::fs;
use std::net::TcpStream;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tempfile::TempDir;
use tungstenite::WebSocket;
use tungstenite::protocol::{Message, WebSocketConfig};

use super::DEADLINE;

/// One page in a browser of its own. Killed when dropped.
pub(crate) struct Chromium {
    child: Child,
    profile: TempDir,
    socket: WebSocket<TcpStream>,
    session: String,
    asked: u64,
    /// What the page has complained about: errors and what its policy has kept out.
    complaints: Vec<String>,
}

/// As what the page is seen.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Screen {
    pub(crate) width: u32,
    pub(crate) height: u32,
    pub(crate) dark: bool,
    pub(crate) still: bool,
}

impl Screen {
    pub(crate) const DESKTOP: Self = Self { width: 1280, height: 900, dark: false, still: false };
    pub(crate) const PHONE: Self = Self { width: 360, height: 740, dark: false, still: false };

    pub(crate) fn dark(self) -> Self {
        Self { dark: true, ..self }
    }

    /// For who wants nothing to move.
    pub(crate) fn still(self) -> Self {
        Self { still: true, ..self }
    }
}

impl Chromium {
    pub(crate) fn open(url: &str, screen: Screen) -> Self {
        let profile = tempfile::tempdir().unwrap();
        let child = Command::new("chromium")
            .args(["--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage"])
            .args([
                "--no-first-run",
                "--disable-background-networking",
                "--remote-debugging-port=0",
            ])
            .arg(format!("--user-data-dir={}", profile.path().display()))
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .process_group(0)
            .spawn()
            .expect("chromium is needed: apt-get install chromium");
        let (port, path) = patiently("the browser is there", || {
            let said = fs::read_to_string(profile.path().join("DevToolsActivePort")).ok()?;
            let (port, path) = said.split_once('\n')?;
            Some((port.to_owned(), path.to_owned()))
        });
        let stream = TcpStream::connect(format!("127.0.0.1:{port}")).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        let unbounded = WebSocketConfig::default().max_message_size(None).max_frame_size(None);
        let url_of_it = format!("ws://127.0.0.1:{port}{path}");
        let (socket, _) =
            tungstenite::client::client_with_config(url_of_it, stream, Some(unbounded)).unwrap();
        let mut browser = Self {
            child,
            profile,
            socket,
            session: String::new(),
            asked: 0,
            complaints: Vec::new(),
        };
        let target = browser.ask("Target.createTarget", &json!({"url": "about:blank"}));
        let attach = json!({"targetId": target["targetId"], "flatten": true});
        let attached = browser.ask("Target.attachToTarget", &attach);
        attached["sessionId"].as_str().unwrap().clone_into(&mut browser.session);
        for domain in ["Page", "Runtime", "Log"] {
            browser.ask(&format!("{domain}.enable"), &json!({}));
        }
        browser.show_on(screen);
        browser.ask("Page.navigate", &json!({"url": url}));
        browser
    }

    pub(crate) fn show_on(&mut self, screen: Screen) {
        let Screen { width, height, dark, still } = screen;
        let features = json!([
            {"name": "prefers-color-scheme", "value": if dark { "dark" } else { "light" }},
            {"name": "prefers-reduced-motion", "value": if still { "reduce" } else { "no-preference" }},
        ]);
        self.ask("Emulation.setEmulatedMedia", &json!({"features": features}));
        let metrics = json!({"width": width, "height": height, "deviceScaleFactor": 1, "mobile": width < 500});
        self.ask("Emulation.setDeviceMetricsOverride", &metrics);
    }

    /// What this is in the page; promises are awaited.
    #[track_caller]
    pub(crate) fn value(&mut self, expression: &str) -> Value {
        let question =
            json!({"expression": expression, "awaitPromise": true, "returnByValue": true});
        let answer = self.ask("Runtime.evaluate", &question);
        assert!(answer["exceptionDetails"].is_null(), "{expression}: {answer}");
        answer["result"]["value"].clone()
    }

    #[track_caller]
    pub(crate) fn text(&mut self, selector: &str) -> String {
        let value =
            self.value(&format!("document.querySelector({})?.innerText ?? ''", json!(selector)));
        value.as_str().unwrap().to_owned()
    }

    /// Waits until this holds in the page.
    #[track_caller]
    pub(crate) fn wait(&mut self, condition: &str) {
        let start = Instant::now();
        while self.value(&format!("Boolean({condition})")) != true {
            let shown = || "document.querySelector('main').innerText";
            assert!(
                start.elapsed() < 2 * DEADLINE,
                "not so: {condition}; shown: {}",
                self.value(shown())
            );
            thread::sleep(Duration::from_millis(20));
        }
    }

    /// Waits until an element that this selects shows this, each stretch of blanks and line ends as one blank.
    #[track_caller]
    pub(crate) fn wait_for(&mut self, selector: &str, text: &str) {
        let (selector, text) = (json!(selector), json!(text));
        self.wait(&format!(
            "[...document.querySelectorAll({selector})].some(one => one.innerText.replace(/\\s+/g, ' ').includes({text}))"
        ));
    }

    /// Presses a key, such as `Enter`.
    pub(crate) fn press(&mut self, key: &str) {
        let code = match key {
            "Enter" => 13,
            "Escape" => 27,
            "Tab" => 9,
            "ArrowUp" => 38,
            "ArrowDown" => 40,
            other => panic!("{other} has no code here"),
        };
        for kind in ["rawKeyDown", "keyUp"] {
            let mut event =
                json!({"type": kind, "key": key, "code": key, "windowsVirtualKeyCode": code});
            if key == "Enter" && kind == "rawKeyDown" {
                // Only what has a text presses a button.
                event["type"] = "keyDown".into();
                event["text"] = "\r".into();
            }
            self.ask("Input.dispatchKeyEvent", &event);
        }
    }

    /// Types into what has the focus.
    pub(crate) fn type_in(&mut self, text: &str) {
        self.ask("Input.insertText", &json!({"text": text}));
    }

    /// Keeps a picture of the whole page under `target/screenshots/`.
    pub(crate) fn picture(&mut self, name: &str) {
        let options = json!({"format": "png", "captureBeyondViewport": true});
        let picture = self.ask("Page.captureScreenshot", &options);
        let bytes = data_encoding::BASE64.decode(picture["data"].as_str().unwrap().as_bytes());
        let folder = target().join("screenshots");
        fs::create_dir_all(&folder).unwrap();
        fs::write(folder.join(format!("{name}.png")), bytes.unwrap()).unwrap();
    }

    /// What breaks the rules of accessibility, as axe-core knows them, one line for each.
    #[track_caller]
    pub(crate) fn barriers(&mut self) -> Vec<String> {
        let axe = target().join("tools/node_modules/axe-core/axe.min.js");
        let axe = fs::read_to_string(axe).expect("no axe-core there: run tests/backends/setup");
        self.value(&format!("{axe};true"));
        let found = self.value(
            "axe.run(document, { resultTypes: ['violations'] }).then(({ violations }) => violations.map(
                (one) => `${one.id}: ${one.help}: ${one.nodes.map((node) => node.html.slice(0, 200)).join(' | ')}`))",
        );
        found.as_array().unwrap().iter().map(|one| one.as_str().unwrap().to_owned()).collect()
    }

    /// What the page has complained about so far.
    pub(crate) fn complaints(&mut self) -> &[String] {
        self.value("0");
        &self.complaints
    }

    #[track_caller]
    pub(crate) fn ask(&mut self, method: &str, parameters: &Value) -> Value {
        self.asked += 1;
        let mut question = json!({"id": self.asked, "method": method, "params": parameters});
        if !self.session.is_empty() {
            question["sessionId"] = self.session.as_str().into();
        }
        self.socket.send(Message::text(question.to_string())).unwrap();
        loop {
            let Message::Text(text) = self.socket.read().expect("the browser answers") else {
                continue;
            };
            let mut said: Value = serde_json::from_str(&text).unwrap();
            if said["id"] == self.asked {
                assert!(said["error"].is_null(), "{method}: {}", said["error"]);
                return said["result"].take();
            }
            let parameters = &said["params"];
            match said["method"].as_str().unwrap_or_default() {
                "Runtime.exceptionThrown" => {
                    self.complaints.push(parameters["exceptionDetails"].to_string());
                }
                "Log.entryAdded" if parameters["entry"]["level"] == "error" => {
                    self.complaints.push(parameters["entry"].to_string());
                }
                _ => {}
            }
        }
    }
}

impl Drop for Chromium {
    fn drop(&mut self) {
        // All of its processes.
        let group = format!("-{}", self.child.id());
        let _ = Command::new("kill").args(["-KILL", "--", &group]).status();
        let _ = self.child.wait();
        // What they were at in their folder is over by now.
        let _ = fs::remove_dir_all(self.profile.path());
    }
}

/// Where artefacts are kept.
fn target() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("target")
}

fn patiently<T>(what: &str, mut ask: impl FnMut() -> Option<T>) -> T {
    let start = Instant::now();
    loop {
        if let Some(answer) = ask() {
            return answer;
        }
        assert!(start.elapsed() < PATIENCE, "waited in vain until {what}");
        thread::sleep(Duration::from_millis(20));
    }
}

/// A browser takes its time, the more so on a busy machine.
const PATIENCE: Duration = Duration::from_secs(60);
