//! A real server: how it is started, told from its output where it listens, and ended.

use std::fs;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::path::PathBuf;
use std::process::{Command, Stdio};

use crate::harm::Harm;
use crate::output::Output;
use crate::process::Process;
use crate::scenes::Scene;

pub(crate) struct Server {
    pub(crate) name: &'static str,
    pub(crate) venv: &'static Venv,
    /// Words of the command line. The first is a program of the virtual environment; `{venv}` is
    /// its folder, and `{port}` a free port for the one server that cannot choose it and tell.
    pub(crate) command: &'static [&'static str],
    /// What its output says right before the port.
    pub(crate) tells: &'static str,
    /// What seawall's configuration needs to say about it, besides where it is.
    pub(crate) configuration: &'static str,
    /// Seen on its direct runs, and required of them.
    pub(crate) known_harm: &'static [(Scene, &'static [Harm])],
}

/// A server that runs. Dropped, it is ended.
pub(crate) struct Running {
    pub(crate) address: SocketAddr,
    /// Standard output and standard error, as they came.
    pub(crate) output: Output,
    process: Process,
}

impl Server {
    pub(crate) fn start(&self) -> Running {
        for _ in 0..5 {
            let (output, writer) = Output::pipe();
            let mut command = self.command();
            command.stderr(writer.try_clone().expect("a second end")).stdout(writer);
            let process = Process::start(command);
            let port = output.look_for(|written| {
                let (_, rest) = written.split_once(self.tells)?;
                let (digits, _) = rest.split_once(|next: char| !next.is_ascii_digit())?;
                digits.parse().ok()
            });
            if let Some(port) = port {
                return Running { address: (Ipv4Addr::LOCALHOST, port).into(), output, process };
            }
            let written = output.text();
            assert!(
                written.contains("Address already in use"),
                "{} did not start:\n{written}",
                self.name
            );
        }
        panic!("{} met a taken port five times", self.name);
    }

    /// What must show when clients leave it in this scene, without seawall.
    pub(crate) fn known_harm(&self, scene: Scene) -> &'static [Harm] {
        self.known_harm.iter().find(|(at, _)| *at == scene).map_or(&[], |(_, harm)| harm)
    }

    fn command(&self) -> Command {
        let venv = self.venv.path();
        let free_port = || {
            let probe = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a free port");
            probe.local_addr().expect("its address").port().to_string()
        };
        let words = self.command[1..].iter().map(|word| {
            let word = word.replace("{venv}", venv.to_str().expect("a path in UTF-8"));
            if word.contains("{port}") { word.replace("{port}", &free_port()) } else { word }
        });
        let mut command = Command::new(venv.join("bin").join(self.command[0]));
        command
            .args(words)
            .current_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/backends/apps"))
            .env("PYTHONDONTWRITEBYTECODE", "1")
            .env("PYTHONUNBUFFERED", "1")
            .stdin(Stdio::null());
        command
    }
}

impl Running {
    /// Ends the server in order; all it has written, to the last byte.
    pub(crate) fn end(self) -> String {
        self.process.end();
        self.output.whole()
    }
}

pub(crate) struct Venv {
    folder: &'static str,
    requirements: &'static str,
}

impl Venv {
    pub(crate) fn path(&self) -> PathBuf {
        let path =
            PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("target/backends").join(self.folder);
        let made_from = fs::read_to_string(path.join("made-from")).unwrap_or_default();
        assert!(
            made_from.trim_end().ends_with(self.requirements.trim_end()),
            "the real servers are not installed, or older than the list: run tests/backends/setup"
        );
        path
    }
}

pub(crate) const CURRENT: Venv =
    Venv { folder: "venv-current", requirements: include_str!("requirements-current.txt") };
pub(crate) const SOCKETS: Venv =
    Venv { folder: "venv-sockets", requirements: include_str!("requirements-sockets.txt") };
pub(crate) const CLASSIC: Venv =
    Venv { folder: "venv-classic", requirements: include_str!("requirements-classic.txt") };
