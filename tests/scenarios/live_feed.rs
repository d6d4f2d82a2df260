//! What those who watch are told, as it happens: nothing is missing, whenever they come.

use std::collections::BTreeMap;

use serde_json::Value;

use crate::harness::command::binary;
use crate::harness::{Backend, Client, Family, Leave, Seawall, until};

const ON: &str = "max_concurrency = 1\n[admin]\nlisten = \"127.0.0.1:0\"\n";

#[test]
fn who_watches_sees_each_step_from_the_queue_to_the_end() {
    let backend = Backend::held();
    let seawall = Seawall::with(&backend, ON);
    let mut page = Page::open(&seawall);
    let running = ask(&seawall, "/running");
    page.wait(|page| page.stage("/running") == Some("waiting"));
    let mut queued = ask(&seawall, "/queued");
    page.wait(|page| page.stage("/queued") == Some("queued"));
    seawall.leave(running, Leave::Reset);
    page.wait(|page| page.running.values().any(|one| one["orphan"] == true));
    backend.release("/running");
    backend.wait_held("/queued", 1);
    page.wait(|page| page.stage("/queued") == Some("waiting"));
    backend.release("/queued");
    queued.answer();
    page.wait(|page| page.ended("/queued").is_some());

    assert!(page.running.is_empty());
    assert_eq!(page.ended("/running").unwrap()["ended"], "discarded");
    assert_eq!(page.ended("/running").unwrap()["left"], "waiting");
    assert_eq!(page.ended("/running").unwrap()["discarded_bytes"], 8);
    assert_eq!(page.ended("/queued").unwrap()["ended"], "delivered");
    assert!(page.wholes == 1, "all that followed was told as news");
}

#[test]
fn what_ended_while_nobody_watched_is_told_to_who_comes_again() {
    let backend = Backend::held();
    let seawall = Seawall::with(&backend, ON);
    let mut page = Page::open(&seawall);
    let client = ask(&seawall, "/");
    page.wait(|page| page.stage("/") == Some("waiting"));
    // The connection is lost, and with it the only one who watched.
    drop(page);
    seawall.leave(client, Leave::Fin);
    backend.release("/");
    seawall.line_of("/");

    let again = Page::open(&seawall);
    assert!(again.running.is_empty());
    assert_eq!(again.ended("/").unwrap()["ended"], "discarded");
    assert_eq!(again.state["totals"][1]["ended"]["discarded"], 1);
}

#[test]
fn the_last_minutes_are_there_for_who_has_not_watched_them() {
    let backend = Backend::held();
    let seawall = Seawall::with(&backend, ON);
    let mut client = ask(&seawall, "/");
    backend.release("/");
    client.answer();
    let counted = until("a second has counted it", || {
        let page = Page::open(&seawall);
        let series = page.state["series"].as_array().unwrap();
        series.iter().find(|second| second["ended"][0] == 1).cloned()
    });
    assert!(counted["visit"][0].as_f64().unwrap() > 0.0, "{counted}");
    assert!(counted["minute"][0].as_f64().unwrap() > 0.0, "{counted}");
    assert_eq!(counted["errors"], 0);
}

#[test]
fn the_last_output_of_the_child_is_told_with_how_its_life_before_ended() {
    let family = Family::new();
    let folder = tempfile::tempdir().unwrap();
    let toml = "listen = \"127.0.0.1:0\"\n[admin]\nlisten = \"127.0.0.1:0\"\n";
    std::fs::write(folder.path().join("proxy.toml"), toml).unwrap();
    let mut command = binary();
    command.env_remove("SEAWALL_ADMIN__LISTEN").current_dir(folder.path());
    let script =
        "if [ -e was ]; then echo again; exec sleep 1000; fi; touch was; echo oops; exit 3";
    command.args(["run", "--", "sh", "-c", script]);
    let seawall = Seawall::spawn(family.mark(&mut command));
    let mut page = Page::open(&seawall);
    assert_eq!(page.state["wrapped"], true);
    page.wait(|page| page.output.last().is_some_and(|line| line == "again"));
    assert_eq!(page.output[0], "oops");
    assert!(page.output[1].contains('3'), "{:?}", page.output);
}

#[test]
fn the_pages_hold_to_what_they_are_allowed_and_name_nothing_that_is_not_there() {
    let backend = Backend::held();
    let seawall = Seawall::with(&backend, ON);
    let page = fetch(&seawall, "/");
    assert_eq!(page.head.field("content-type"), Some("text/html; charset=utf-8"));
    let policy = page.head.field("content-security-policy").unwrap();
    assert!(policy.contains("default-src 'none'") && !policy.contains("unsafe"), "{policy}");
    let html = page.text();
    assert!(!html.contains("<style") && !html.contains(" style=") && !html.contains("<script>"));
    let mut left: Vec<String> = named(&html, "=\"/assets/");
    let mut seen = Vec::new();
    while let Some(name) = left.pop() {
        let asset = fetch(&seawall, &format!("/assets/{name}"));
        assert_eq!(asset.status(), 200, "{name}");
        left.extend(
            named(&asset.text(), " from \"./").into_iter().filter(|new| !seen.contains(new)),
        );
        seen.push(name);
    }
    assert!(seen.len() > 8, "{seen:?}");
    assert_eq!(fetch(&seawall, "/assets/mod.rs").status(), 404);
}

#[test]
fn who_has_no_token_is_asked_for_it() {
    let backend = Backend::held();
    let seawall =
        Seawall::with(&backend, "[admin]\nlisten = \"127.0.0.1:0\"\ntoken = \"s3cret\"\n");
    let ask = |line: &str, fields: &str, body: &str| {
        let mut client = Client::connect(seawall.admin());
        let length = body.len();
        client.send(format!(
            "{line} HTTP/1.1\r\nHost: localhost\r\n{fields}Content-Length: {length}\r\n\r\n{body}"
        ));
        client.answer()
    };
    let asked = ask("GET /", "Accept: text/html\r\n", "");
    assert_eq!(asked.status(), 401);
    assert!(asked.text().contains("<form method=\"post\" action=\"/login\">"), "{}", asked.text());
    let feed = ask("GET /api/events", "Accept: text/event-stream, text/html;q=0\r\n", "");
    assert_eq!(feed.status(), 401);
    assert!(!feed.text().contains("<form"), "{}", feed.text());
    assert_eq!(ask("GET /assets/style.css", "", "").status(), 200);

    let form = "Content-Type: application/x-www-form-urlencoded\r\n";
    let wrong = ask("POST /login", form, "token=guess");
    assert_eq!(wrong.status(), 401);
    assert!(wrong.text().contains("not the value of admin.token"), "{}", wrong.text());
    let right = ask("POST /login", form, "token=s3cret");
    let cookie = right.head.field("set-cookie").unwrap().split(';').next().unwrap().to_owned();
    let page = ask("GET /", &format!("Accept: text/html\r\nCookie: {cookie}\r\n"), "");
    assert!(page.text().contains("/assets/live.js"), "{}", page.text());
}

/// Somebody who watches, and keeps what the page keeps.
struct Page {
    client: Client,
    /// The whole, as it came.
    state: Value,
    running: BTreeMap<u64, Value>,
    finished: Vec<Value>,
    output: Vec<String>,
    come: u64,
    wholes: usize,
    text: String,
}

impl Page {
    /// Comes, and has the whole when this returns.
    fn open(seawall: &Seawall) -> Self {
        let mut client = Client::connect(seawall.admin());
        client.send("GET /api/events HTTP/1.1\r\nHost: localhost\r\n\r\n");
        let head = client.head();
        assert_eq!(head.field("content-type"), Some("text/event-stream"));
        let mut page = Self {
            client,
            state: Value::Null,
            running: BTreeMap::new(),
            finished: Vec::new(),
            output: Vec::new(),
            come: 0,
            wholes: 0,
            text: String::new(),
        };
        page.wait(|page| page.wholes > 0);
        page
    }

    /// Reads on until it is so; the harness gives up when nothing comes any more.
    fn wait(&mut self, so: impl Fn(&Self) -> bool) {
        let start = std::time::Instant::now();
        while !so(self) {
            assert!(start.elapsed() < crate::harness::DEADLINE, "{:?}", self.running);
            self.text += &String::from_utf8(self.client.chunk()).unwrap();
            while let Some((event, rest)) = self.text.split_once("\n\n") {
                let (event, rest) = (event.to_owned(), rest.to_owned());
                self.take(&event);
                self.text = rest;
            }
        }
    }

    fn take(&mut self, event: &str) {
        let field = |name: &str| event.lines().find_map(|line| line.strip_prefix(name)).unwrap();
        let data: Value = serde_json::from_str(field("data: ")).unwrap();
        let list = |name: &str| data[name].as_array().unwrap().clone();
        let key = |one: &Value| one["serial"].as_u64().unwrap();
        if field("event: ") == "whole" {
            self.wholes += 1;
            self.running = list("running").into_iter().map(|one| (key(&one), one)).collect();
            self.finished = list("finished");
            self.output.clear();
            self.come = 0;
        } else {
            self.running.extend(list("changed").into_iter().map(|one| (key(&one), one)));
            for gone in list("gone") {
                self.running.remove(&gone.as_u64().unwrap());
            }
            self.finished.extend(list("finished"));
        }
        // What the whole has told may be told again.
        let come = data["output_come"].as_u64().unwrap();
        let fresh = usize::try_from(come.saturating_sub(self.come)).unwrap();
        let lines = list("output").into_iter().map(|line| line.as_str().unwrap().to_owned());
        let known = lines.len().saturating_sub(fresh);
        self.output.extend(lines.skip(known));
        self.come = self.come.max(come);
        if field("event: ") == "whole" {
            self.state = data;
        }
    }

    fn stage(&self, path: &str) -> Option<&str> {
        self.running.values().find(|one| one["path"] == path)?["stage"].as_str()
    }

    fn ended(&self, path: &str) -> Option<&Value> {
        self.finished.iter().find(|one| one["path"] == path)
    }
}

fn ask(seawall: &Seawall, path: &str) -> Client {
    let mut client = seawall.client();
    client.get(path);
    client
}

fn fetch(seawall: &Seawall, path: &str) -> crate::harness::Answer {
    let mut client = Client::connect(seawall.admin());
    client.send(format!("GET {path} HTTP/1.1\r\nHost: localhost\r\n\r\n"));
    client.answer()
}

/// The names behind this.
fn named(text: &str, before: &str) -> Vec<String> {
    let names = text.split(before).skip(1).filter_map(|rest| rest.split('"').next());
    names.map(str::to_owned).collect()
}
