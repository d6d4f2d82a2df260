//! What a compose file brings up.

use std::{
    net::SocketAddr,
    path::Path,
    process::Command,
    sync::atomic::{AtomicU32, Ordering::Relaxed},
};

use crate::{
    container::{Log, known},
    engine::{self, docker, said},
};

/// A project of its own, on ports that the system chooses. It goes with this.
pub(crate) struct Stack {
    file: String,
    project: String,
}

impl Stack {
    /// `docker compose up`, of a file in `docker/`.
    pub(crate) fn up(file: &str) -> Self {
        let root = Path::new(env!("CARGO_MANIFEST_DIR"));
        let name = file.trim_end_matches(".yaml").replace('.', "-");
        // Scenes may run beside each other in one process, and a file is brought up by several.
        let number = COUNT.fetch_add(1, Relaxed);
        let stack = Self {
            file: root.join("docker").join(file).display().to_string(),
            project: format!("test-{name}-{}-{number}", std::process::id()),
        };
        stack.compose(["up", "--detach"]);
        stack.has_named_volumes_alone();
        stack
    }

    pub(crate) fn compose<const N: usize>(&self, arguments: [&str; N]) -> String {
        said(self.command().args(arguments))
    }

    /// The one container of a service.
    pub(crate) fn container(&self, service: &str) -> String {
        self.compose(["ps", "--quiet", service])
    }

    /// The volumes of all of its containers are among those that it names: no `up` leaves one behind that nobody knows.
    fn has_named_volumes_alone(&self) {
        let mut all = String::new();
        for container in self.compose(["ps", "--quiet"]).lines() {
            all += &known(container, "{{range .Mounts}}{{.Name}} {{end}}");
        }
        let own = format!("{}_", self.project);
        assert!(all.split_whitespace().all(|name| name.starts_with(&own)), "{all}");
        assert!(!all.trim().is_empty(), "nothing is spooled on disk");
    }

    pub(crate) fn network(&self) -> String {
        format!("{}_default", self.project)
    }

    /// The log of a seawall that listens, and where that is for us.
    pub(crate) fn seawall(&self, service: &str) -> (Log, SocketAddr) {
        let container = self.container(service);
        let log = Log::of(&container);
        // The engine takes connections to a published port before anybody listens behind it.
        log.output.wait_for("\"listening\"");
        let address = docker(["port", &container, "8080/tcp"]).parse().expect("one address");
        (log, address)
    }

    fn command(&self) -> Command {
        let mut command = engine::compose();
        command.args(["--file", &self.file, "--project-name", &self.project]);
        for port in ["PORT", "WERKZEUG_PORT", "GUNICORN_PORT", "UWSGI_PORT", "GEVENT_PORT"] {
            command.env(port, "0");
        }
        command
    }
}

impl Drop for Stack {
    fn drop(&mut self) {
        // What is left over is no reason to fail.
        let _ =
            self.command().args(["down", "--volumes", "--rmi", "local", "--timeout", "1"]).output();
    }
}

/// Of those that this process has brought up.
static COUNT: AtomicU32 = AtomicU32::new(0);
