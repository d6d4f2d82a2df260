//! The servers behind `seawall --`, started as people type it, on a terminal: each finds its port,
//! finishes what it does when Ctrl-C is pressed, and leaves no process behind.

use std::fs;
use std::io::Write;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::Duration;

use tempfile::TempDir;

use crate::family::{Family, kill};
use crate::harm;
use crate::output::{Output, PATIENCE};
use crate::rude::Client;
use crate::server::CURRENT;

/// What is typed, and what its output is marked with.
struct Typed {
    command: &'static str,
    mark: &'static str,
}

const FLASK: Typed = Typed { command: "seawall -- flask run", mark: "flask | " };
const FLASK_DEBUG: Typed = Typed { command: "seawall -- flask run --debug", ..FLASK };
const FLASK_MODULE: Typed = Typed { command: "seawall -- python -m flask run", ..FLASK };
const DJANGO: Typed = Typed { command: "seawall -- python manage.py runserver", mark: "django | " };
const UVICORN: Typed = Typed { command: "seawall -- uvicorn asgi:app", mark: "uvicorn | " };
const UVICORN_RELOAD: Typed = Typed { command: "seawall -- uvicorn asgi:app --reload", ..UVICORN };
const GUNICORN: Typed = Typed { command: "seawall -- gunicorn app:app", mark: "gunicorn | " };
const GUNICORN_WORKERS: Typed = Typed { command: "seawall -- gunicorn -w 3 app:app", ..GUNICORN };
const HTTP_SERVER: Typed =
    Typed { command: "seawall -- python -m http.server", mark: "http.server | " };

#[test]
fn flask_run_works_as_typed() {
    FLASK.serves_until_ctrl_c();
    FLASK.leaves_nothing_when_seawall_is_killed();
}

#[test]
fn flask_run_with_its_reloader_works_as_typed() {
    FLASK_DEBUG.serves_until_ctrl_c();
    FLASK_DEBUG.leaves_nothing_when_seawall_is_killed();
}

#[test]
fn flask_as_a_module_works_as_typed() {
    FLASK_MODULE.serves_until_ctrl_c();
}

#[test]
fn django_runserver_with_its_reloader_works_as_typed() {
    DJANGO.serves_until_ctrl_c();
    DJANGO.leaves_nothing_when_seawall_is_killed();
}

#[test]
fn uvicorn_works_as_typed() {
    UVICORN.serves_until_ctrl_c();
    UVICORN.leaves_nothing_when_seawall_is_killed();
}

#[test]
fn uvicorn_with_its_reloader_works_as_typed() {
    UVICORN_RELOAD.serves_until_ctrl_c();
    UVICORN_RELOAD.leaves_nothing_when_seawall_is_killed();
}

#[test]
fn gunicorn_works_as_typed() {
    GUNICORN.serves_until_ctrl_c();
    GUNICORN.leaves_nothing_when_seawall_is_killed();
}

#[test]
fn gunicorn_with_workers_works_as_typed() {
    GUNICORN_WORKERS.serves_until_ctrl_c();
    GUNICORN_WORKERS.leaves_nothing_when_seawall_is_killed();
}

#[test]
fn http_server_works_as_typed() {
    let mut session = HTTP_SERVER.start();
    let page = session.wait_served("/");
    assert!(page.contains("Directory listing") && page.contains("manage.py"), "{page}");
    session.press_ctrl_c();
    session.ended();
    HTTP_SERVER.leaves_nothing_when_seawall_is_killed();
}

/// It would be stopped when it reads from one that is ours.
#[test]
fn what_runs_behind_seawall_has_no_terminal() {
    let command =
        "seawall -- sh -c '(: </dev/tty) 2>/dev/null && echo one || echo none; exec sleep 1000'";
    let mut session = Typed { command, mark: "sh | " }.start();
    session.screen.wait_for("sh | none");
    session.press_ctrl_c();
    session.ended();
}

impl Typed {
    fn serves_until_ctrl_c(&self) {
        let mut session = self.start();
        session.wait_served("/plain/first");
        session.screen.wait_for(&format!("{}[done plain first]", self.mark));

        let request = "GET /nap/last HTTP/1.1\r\nHost: test\r\nConnection: close\r\n\r\n";
        let napping = Client::sends(session.address, request);
        session.screen.wait_for("[began nap last]");
        session.press_ctrl_c();
        assert_eq!(napping.answered().as_deref(), Ok(&b"napped last\n"[..]));
        session.ended();
    }

    fn leaves_nothing_when_seawall_is_killed(&self) {
        let session = self.start();
        session.wait_served(if self.mark == HTTP_SERVER.mark { "/" } else { "/plain/first" });
        kill(session.family.member("seawall --"), "KILL");
        session.family.wait_gone(PATIENCE);
    }

    fn start(&self) -> Session {
        let folder = tempfile::tempdir().expect("a temporary folder");
        for (name, text) in FILES {
            fs::write(folder.path().join(name), text).expect("an application");
        }
        let family = Family::new();
        let (screen, shown) = Output::pipe();
        let programs = PathBuf::from(env!("CARGO_BIN_EXE_seawall"));
        let programs = programs.parent().expect("a folder").to_owned();
        let others = std::env::var_os("PATH").unwrap_or_default();
        let path = [programs, CURRENT.path().join("bin")];
        let path = path.into_iter().chain(std::env::split_paths(&others));
        let mut command = Command::new(CURRENT.path().join("bin/python"));
        command
            .arg(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/backends/terminal.py"))
            .args(["sh", "-c", &format!("exec {}", self.command)])
            .current_dir(folder.path())
            .env("PATH", std::env::join_paths(path).expect("no colons"))
            .env("PYTHONPATH", concat!(env!("CARGO_MANIFEST_DIR"), "/tests/backends/apps"))
            .env("PYTHONDONTWRITEBYTECODE", "1")
            .env("SEAWALL_LISTEN", "127.0.0.1:0")
            // Where gunicorn has a socket of its own, which two of them at once would want.
            .env("XDG_RUNTIME_DIR", folder.path())
            .env("NO_COLOR", "1")
            .stdin(Stdio::piped())
            .stdout(shown.try_clone().expect("a second end"))
            .stderr(shown);
        let terminal = family.mark(&mut command).spawn().expect("a terminal");
        // It holds the writing ends.
        drop(command);
        let listening = screen.look_for(|shown| {
            let (_, rest) = shown.split_once("listening address=")?;
            rest.split_once('\r')?.0.parse().ok()
        });
        let Some(address) = listening else { panic!("does not listen:\n{}", screen.text()) };
        Session { address, screen, terminal, family, _folder: folder }
    }
}

/// A person at a terminal.
struct Session {
    address: SocketAddr,
    screen: Output,
    terminal: Child,
    family: Family,
    _folder: TempDir,
}

impl Session {
    /// Asks until the server is up; the body then.
    fn wait_served(&self, path: &str) -> String {
        let request = format!("GET {path} HTTP/1.1\r\nHost: test\r\nConnection: close\r\n\r\n");
        for _ in 0..PATIENCE.as_millis() / POLL.as_millis() {
            if let Ok(body) = Client::sends(self.address, &request).answered() {
                return String::from_utf8_lossy(&body).into_owned();
            }
            thread::sleep(POLL);
        }
        panic!("{path} is not served:\n{}", self.screen.text());
    }

    fn press_ctrl_c(&mut self) {
        let keys = self.terminal.stdin.as_mut().expect("a keyboard");
        keys.write_all(b"\n").expect("somebody reads");
    }

    /// In order, with nobody left and no complaint on the screen.
    fn ended(mut self) {
        let screen = self.screen.whole();
        let status = self.terminal.wait().expect("an end");
        assert!(status.success(), "ended with {status}:\n{screen}");
        assert_eq!(self.family.members(), [], "{screen}");
        assert_eq!(harm::complaint(&screen), None, "{screen}");
        assert!(!screen.contains("Traceback"), "{screen}");
    }
}

impl Drop for Session {
    /// With it goes the terminal, and with the family all that is left.
    fn drop(&mut self) {
        let _ = self.terminal.kill();
        let _ = self.terminal.wait();
    }
}

const FILES: [(&str, &str); 3] = [
    ("app.py", "from flask_app import app\n"),
    ("asgi.py", "from starlette_app import app\n"),
    (
        "manage.py",
        "import sys\nfrom django_app import execute_from_command_line\n\
         if __name__ == \"__main__\":\n    execute_from_command_line(sys.argv)\n",
    ),
];

const POLL: Duration = Duration::from_millis(20);
