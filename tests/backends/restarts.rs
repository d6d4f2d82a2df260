//! Real servers that restart under load. Direct, requests fail; behind seawall no GET does, none
//! runs twice unless the restart cut it, and a POST never does.

use std::net::{Ipv4Addr, SocketAddr};
use std::process::Command;
use std::time::Duration;

use socket2::{Domain, Socket, Type};

use crate::family::kill;
use crate::load::Load;
use crate::output::Output;
use crate::seawall::Seawall;
use crate::server::CURRENT;
use crate::stage::Stage;

struct Restarting {
    name: &'static str,
    /// `{port}` is its port.
    command: &'static [&'static str],
    /// What its output says when it begins to serve, each time.
    tells: &'static str,
    how: How,
    configuration: &'static str,
}

enum How {
    /// A file of the application is touched, and the server looks for that.
    Touch,
    /// SIGHUP to the process whose command line has this in it, the eldest one.
    Hup(&'static str),
    /// All of it is killed, and after a while it is started again.
    Kill,
}

const FLASK: Restarting = Restarting {
    name: "Flask's reloader",
    command: &["flask", "--app", "app", "run", "--debug", "--port={port}"],
    tells: "Debugger is active",
    how: How::Touch,
    configuration: "",
};

#[test]
fn flasks_reloader_fails_no_get_and_runs_no_post_twice() {
    FLASK.is_held();
}

#[test]
fn flasks_reloader_with_one_thread_fails_no_get_and_runs_no_post_twice() {
    Restarting {
        name: "Flask's reloader, one thread",
        command: &["flask", "--app", "app", "run", "--debug", "--without-threads", "--port={port}"],
        configuration: "max_concurrency = 1",
        ..FLASK
    }
    .is_held();
}

#[test]
fn djangos_autoreload_fails_no_get_and_runs_no_post_twice() {
    Restarting {
        name: "Django's autoreload",
        command: &["python", "manage.py", "runserver", "127.0.0.1:{port}"],
        tells: "Quit the server with",
        ..FLASK
    }
    .is_held();
}

#[test]
fn a_killed_http_server_fails_no_get_and_runs_no_post_twice() {
    Restarting {
        name: "http.server, killed",
        command: &["python", "server.py", "--threaded"],
        tells: "http://127.0.0.1:",
        how: How::Kill,
        ..FLASK
    }
    .is_held();
}

#[test]
fn a_killed_http_server_with_one_thread_fails_no_get_and_runs_no_post_twice() {
    Restarting {
        name: "http.server with one thread, killed",
        command: &["python", "server.py"],
        tells: "http://127.0.0.1:",
        how: How::Kill,
        configuration: "max_concurrency = 1",
    }
    .is_held();
}

/// It restarts in order: even without seawall little is lost.
#[test]
fn gunicorns_hup_fails_no_get_and_runs_no_post_twice() {
    for command in [&GUNICORN_SYNC[..], &GUNICORN_GTHREAD] {
        Restarting {
            name: "gunicorn, HUP",
            command,
            tells: "Booting worker with pid",
            how: How::Hup("gunicorn"),
            configuration: "",
        }
        .behind_seawall();
    }
}

static GUNICORN_SYNC: [&str; 5] =
    ["gunicorn", "--bind=127.0.0.1:{port}", "--no-control-socket", "--workers=2", "app:app"];
static GUNICORN_GTHREAD: [&str; 6] = [
    "gunicorn",
    "--bind=127.0.0.1:{port}",
    "--no-control-socket",
    "--worker-class=gthread",
    "--threads=4",
    "app:app",
];

#[test]
fn a_wrapped_flask_that_is_killed_fails_no_get_and_runs_no_post_twice() {
    let stage = Stage::set();
    let (output, writer) = Output::pipe();
    let mut command = Command::new(env!("CARGO_BIN_EXE_seawall"));
    command.args(["--listen=127.0.0.1:0", "--", "flask", "run"]);
    stage.start(command, writer);
    let address = output.look_for(|written| {
        let line = written.lines().find(|line| line.contains("\"message\":\"listening\""))?;
        line.split("\"address\":\"").nth(1)?.split('"').next()?.parse::<SocketAddr>().ok()
    });
    let address = address.unwrap_or_else(|| panic!("does not listen:\n{}", output.text()));
    let load = Load::on(address, |load| {
        load.wait();
        for life in 1..=2 {
            let members = stage.family.members();
            let flask = members
                .iter()
                .find(|(_, line)| line.contains("python") && line.contains("flask run"));
            load.note("KILL");
            kill(flask.unwrap_or_else(|| panic!("no flask in {members:?}")).0, "KILL");
            wait_for_lives(&output, "Running on http", life + 1);
            load.wait();
        }
    });
    assert_held("flask behind seawall --", &load, &output, None);
}

impl Restarting {
    fn is_held(&self) {
        self.direct();
        self.behind_seawall();
    }

    fn direct(&self) {
        let stage = Stage::set();
        let (load, output, ()) = self.play(&stage, |port| (address(port), ()));
        let (gets, posts) = (load.tally("GET", &output), load.tally("POST", &output));
        println!(
            "{}, direct: {} of {} GETs failed, {} of {} POSTs",
            self.name,
            gets.failed.len(),
            gets.requests,
            posts.failed.len(),
            posts.requests
        );
        assert!(!gets.failed.is_empty(), "{}: nothing fails direct", self.name);
    }

    fn behind_seawall(&self) {
        let stage = Stage::set();
        let (load, output, seawall) = self.play(&stage, |port| {
            let configuration = format!("{}\n[log]\nlevel = \"seawall=debug\"", self.configuration);
            let seawall = Seawall::start(address(port), &configuration);
            (seawall.address, seawall)
        });
        assert_held(self.name, &load, &output, Some(&seawall));
    }

    /// Three restarts under load.
    fn play<T>(
        &self,
        stage: &Stage,
        before: impl FnOnce(u16) -> (SocketAddr, T),
    ) -> (Load, Output, T) {
        let (output, writer) = Output::pipe();
        let (_kept, port) = reserve();
        let start = || {
            let words: Vec<String> =
                self.command.iter().map(|word| word.replace("{port}", &port.to_string())).collect();
            let mut command = Command::new(CURRENT.path().join("bin").join(&words[0]));
            command.args(&words[1..]).env("PORT", port.to_string());
            stage.start(command, writer.try_clone().expect("another end"));
        };
        start();
        wait_for_lives(&output, self.tells, 1);
        let (to, before) = before(port);
        let load = Load::on(to, |load| {
            load.wait();
            for restart in 1..=3 {
                let lives = output.text().matches(self.tells).count();
                match self.how {
                    // What is touched before the reloader has looked for the first time goes unseen.
                    How::Touch => {
                        let _ = (0..4).any(|again| {
                            load.note("touch");
                            stage.touch(restart * 10 + again);
                            (0..UNSEEN.as_millis() / LOOK.as_millis()).any(|_| {
                                std::thread::sleep(LOOK);
                                output.text().matches(self.tells).count() > lives
                            })
                        });
                    }
                    How::Hup(name) => {
                        let members = stage.family.members();
                        let master = members.iter().filter(|(_, line)| line.contains(name));
                        load.note("HUP");
                        kill(master.map(|(pid, _)| *pid).min().expect("a master"), "HUP");
                    }
                    How::Kill => {
                        load.note("KILL");
                        stage.family.members().iter().for_each(|(pid, _)| kill(*pid, "KILL"));
                        std::thread::sleep(AWAY);
                        start();
                    }
                }
                wait_for_lives(&output, self.tells, lives + 1);
                load.note("serves again");
                load.wait();
            }
        });
        (load, output, before)
    }
}

/// Where it fails, all is told: it may not do so again soon.
pub(crate) fn assert_held(name: &str, load: &Load, output: &Output, seawall: Option<&Seawall>) {
    let (gets, posts) = (load.tally("GET", output), load.tally("POST", output));
    println!(
        "{name}, shielded: {} of {} GETs failed, {} ran twice; {} of {} POSTs failed",
        gets.failed.len(),
        gets.requests,
        gets.twice.len(),
        posts.failed.len(),
        posts.requests
    );
    let all = || {
        let log = seawall.map(Seawall::log).unwrap_or_default();
        format!("{name}\n{:#?}\nits output:\n{}\nseawall's:\n{log}", load.done(), output.timed())
    };
    assert!(gets.failed.is_empty(), "{:#?}\n{}", gets.failed, all());
    // Cut, and so sent again: no more than ran at once, at each of the restarts.
    assert!(gets.twice.len() <= 3 * 4, "{:?}\n{}", gets.twice, all());
    assert_eq!(posts.twice, Vec::<String>::new(), "{}", all());
    assert_eq!(posts.miscounted, Vec::<String>::new(), "{}", all());
    // One client sends them: a restart cuts one at most, which nobody may send again.
    assert!(posts.failed.len() <= 3, "{:#?}\n{}", posts.failed, all());
    assert!(
        // Before its answer, or behind the head of that.
        posts.failed.iter().all(|why| {
            why.contains("connection_terminated") || why.contains("not a whole 200: HTTP/1.1 200 ")
        }),
        "{:#?}\n{}",
        posts.failed,
        all()
    );
}

pub(crate) fn wait_for_lives(output: &Output, tells: &str, count: usize) {
    let begun = output.look_for(|written| (written.matches(tells).count() >= count).then_some(()));
    assert!(begun.is_some(), "{tells:?} did not come {count} times:\n{}", output.text());
}

/// A port that nobody else gets while its server is away.
pub(crate) fn reserve() -> (Socket, u16) {
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None).expect("a socket");
    socket.set_reuse_address(true).expect("SO_REUSEADDR");
    socket.bind(&address(0).into()).expect("a free port");
    let own = socket.local_addr().ok().and_then(|own| own.as_socket()).expect("its address");
    (socket, own.port())
}

pub(crate) fn address(port: u16) -> SocketAddr {
    (Ipv4Addr::LOCALHOST, port).into()
}

/// How long a killed server is away.
pub(crate) const AWAY: Duration = Duration::from_millis(500);
/// A reloader that has not acted by then has not seen the change.
const UNSEEN: Duration = Duration::from_secs(6);
const LOOK: Duration = Duration::from_millis(20);
