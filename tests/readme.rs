//! The README is true: its examples load, its commands run and do what it says of them.

use std::{
    fs,
    io::{BufRead, BufReader, Read, Write},
    net::{SocketAddr, TcpListener, TcpStream},
    path::PathBuf,
    process::{Child, Command, Output, Stdio},
    sync::mpsc::{Receiver, sync_channel},
    thread,
    time::Duration,
};

const README: &str = include_str!("../README.md");
const SEAWALL: &str = env!("CARGO_BIN_EXE_seawall");
const PATIENCE: Duration = Duration::from_secs(20);

/// The fenced blocks of one language.
fn blocks(language: &str) -> Vec<String> {
    let fence = format!("```{language}\n");
    let behind = README.split(fence.as_str()).skip(1);
    behind.map(|text| text.split("```").next().unwrap().to_owned()).collect()
}

/// The command line that begins so, without its comment.
fn command(begin: &str) -> String {
    let lines = blocks("sh").join("\n");
    let line = lines.lines().find(|line| line.contains(begin));
    line.unwrap_or_else(|| panic!("no such command: {begin}"))
        .split(" #")
        .next()
        .unwrap()
        .to_owned()
}

/// A shell in which `seawall` is this build and `flask` is the test set-up's.
fn shell(line: &str) -> Command {
    let root = PathBuf::from(env!("CARGO_MANIFEST_DIR"));
    let venv = root.join("target/backends/venv-current/bin");
    assert!(venv.join("flask").exists(), "no Flask there: run tests/backends/setup");
    let here = PathBuf::from(SEAWALL).parent().unwrap().to_owned();
    let path = std::env::join_paths(
        [here, venv].into_iter().chain(std::env::split_paths(&std::env::var_os("PATH").unwrap())),
    );
    let mut command = Command::new("sh");
    command.args(["-c", &format!("exec env {line}")]).env("PATH", path.unwrap()).current_dir(root);
    command
}

fn said(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr)
}

#[test]
fn every_configuration_loads() {
    let examples = blocks("toml");
    assert!(examples.len() >= 2);
    for example in examples {
        let mut file = tempfile::NamedTempFile::new().unwrap();
        file.write_all(example.as_bytes()).unwrap();
        let check = Command::new(SEAWALL).args(["check", "--config"]).arg(file.path()).output();
        let check = check.unwrap();
        assert!(check.status.success(), "{example}\n{}", said(&check));
    }
}

#[test]
fn check_shows_where_values_come_from() {
    let check = shell(&command("seawall check")).output().unwrap();
    assert!(check.status.success(), "{}", said(&check));
    assert!(said(&check).contains("# environment SEAWALL_BACKEND__MAX_CONCURRENCY"));
}

#[test]
fn the_demo_shows_harm_alone_and_none_behind_seawall() {
    let line = command("-- demo");
    assert!(line.starts_with("cargo run --release -- demo"), "{line}");
    let demo = Command::new(SEAWALL).args(["demo", "--once"]).output().unwrap();
    let table = said(&demo);
    assert!(demo.status.success(), "{table}");
    let rows: Vec<(&str, &str)> = table
        .lines()
        .filter(|line| line.contains(", next "))
        .map(|line| line.split_at(72))
        .collect();
    assert_eq!(rows.len(), 6, "{table}");
    assert!(rows.iter().filter(|(alone, _)| alone.contains("Broken pipe")).count() >= 3, "{table}");
    for (_, shielded) in rows {
        let unharmed = shielded.contains("in peace") || shielded.contains("never heard");
        assert!(unharmed, "{table}");
    }
}

#[test]
fn a_flask_server_is_shielded_by_the_commands_as_they_stand() {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("app.py"), APP).unwrap();
    let (server, door) = (free_address(), free_address());
    let ports = |line: String| {
        let line = line.replace("5000", &server.port().to_string());
        line.replace("8080", &door.port().to_string())
    };
    let mut flask =
        Running::start(shell(&ports(command("flask --app"))).current_dir(folder.path()));
    let mut seawall =
        Running::start(shell(&ports(command("seawall --listen"))).current_dir(folder.path()));
    flask.wait_for("Running on");
    seawall.wait_for("listening");

    let mut client = TcpStream::connect(door).unwrap();
    client.write_all(b"GET /report HTTP/1.1\r\nHost: a\r\n\r\n").unwrap();
    flask.wait_for("report begun");
    drop(client);
    flask.wait_for("report finished");
    let line = seawall.wait_for("\"path\":\"/report\"");
    assert!(
        line.contains("\"ended\":\"discarded\"") && line.contains("\"left\":\"waiting\""),
        "{line}"
    );

    let mut client = TcpStream::connect(door).unwrap();
    client.write_all(b"GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n").unwrap();
    let mut answer = String::new();
    client.read_to_string(&mut answer).unwrap();
    assert!(answer.starts_with("HTTP/1.1 200") && answer.ends_with("hello"), "{answer}");
    let log = flask.log.join("\n");
    assert!(!log.contains("Broken pipe") && !log.contains("Traceback"), "{log}");
}

#[test]
fn a_flask_server_is_run_by_the_command_as_it_stands() {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("app.py"), APP).unwrap();
    let mut command = shell(&command("seawall -- flask"));
    let mut seawall =
        Running::start(command.current_dir(folder.path()).env("SEAWALL_LISTEN", "127.0.0.1:0"));
    let line = seawall.wait_for("\"listening\"");
    let line: serde_json::Value = serde_json::from_str(&line).unwrap();
    let door: SocketAddr = line["address"].as_str().unwrap().parse().unwrap();
    seawall.wait_for("flask |  * Running on");
    let mut client = TcpStream::connect(door).unwrap();
    client.write_all(b"GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n").unwrap();
    let mut answer = String::new();
    client.read_to_string(&mut answer).unwrap();
    assert!(answer.starts_with("HTTP/1.1 200") && answer.ends_with("hello"), "{answer}");
}

#[test]
fn known_servers_are_told_their_port_as_the_table_says() {
    let table = README.split("| is told (N is the port) |\n").nth(1).unwrap();
    let rows = table.lines().skip(1).map_while(|line| line.strip_prefix("| "));
    let mut checked = 0;
    for row in rows {
        let (commands, told) = row.split_once(" | ").unwrap();
        let told = told.trim_matches(['`', ' ', '|']);
        for typed in commands.split(", ").map(|command| command.trim_matches('`')) {
            let check = Command::new(SEAWALL).args(["check", "--"]).args(typed.split(' ')).output();
            let check = said(&check.unwrap());
            let url = check.lines().find(|line| line.contains("url = ")).unwrap();
            let port = url.split("127.0.0.1:").nth(1).unwrap().split('"').next().unwrap();
            let port = port.trim_end_matches('/');
            let expected = format!("# to be run as: {typed} {}", told.replace('N', port));
            assert_eq!(check.lines().last(), Some(expected.as_str()), "{check}");
            checked += 1;
        }
    }
    assert_eq!(checked, 9);
}

const APP: &str = r#"
import time
from flask import Flask

app = Flask(__name__)

@app.get("/")
def hello():
    return "hello"

@app.get("/report")
def report():
    def pages():
        for page in range(10):
            time.sleep(0.05)
            yield "x" * 1000
        print("report finished", flush=True)
    print("report begun", flush=True)
    time.sleep(0.3)
    return pages()
"#;

/// Free a moment ago: the commands of the README name their ports.
fn free_address() -> SocketAddr {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap()
}

/// A process whose output is read as it comes; killed at the end.
struct Running {
    child: Child,
    lines: Receiver<String>,
    log: Vec<String>,
}

impl Running {
    fn start(command: &mut Command) -> Self {
        let piped = command.stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = piped.env("PYTHONUNBUFFERED", "1").spawn().unwrap();
        let (sender, lines) = sync_channel(10_000);
        let outputs: [Box<dyn Read + Send>; 2] =
            [Box::new(child.stdout.take().unwrap()), Box::new(child.stderr.take().unwrap())];
        for output in outputs {
            let sender = sender.clone();
            thread::spawn(move || {
                for line in BufReader::new(output).lines().map_while(Result::ok) {
                    let _ = sender.send(line);
                }
            });
        }
        Self { child, lines, log: Vec::new() }
    }

    fn wait_for(&mut self, text: &str) -> String {
        loop {
            match self.lines.recv_timeout(PATIENCE) {
                Ok(line) => {
                    self.log.push(line.clone());
                    if line.contains(text) {
                        return line;
                    }
                }
                Err(error) => {
                    panic!("waited in vain for {text:?} ({error}):\n{}", self.log.join("\n"))
                }
            }
        }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
