//! A pod of a manifest, run by podman, begun and ended as a kubelet does it: native sidecars first and last,
//! probes, hooks, the grace period. podman itself knows none of these, so they are carried out here, as the
//! documentation of Kubernetes has them.

use std::fs;
use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpListener};
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::process::Command;
use std::thread;
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tempfile::TempDir;

use crate::engine::{self, podman};
use crate::manifests::Manifests;
use crate::output::{Output, PATIENCE};

pub(crate) struct Pod {
    name: String,
    /// Of the sidecar's port that clients come to.
    pub(crate) address: SocketAddr,
    /// The sidecar as it is in the manifest, and the server.
    sidecar: Value,
    server: Value,
    pub(crate) grace: Duration,
    /// Its volumes, as folders here.
    volumes: TempDir,
    /// How often its configuration was laid.
    laid: u32,
    /// The names of Services, and where those are.
    services: Vec<(String, IpAddr)>,
}

impl Pod {
    /// Until it is ready.
    pub(crate) fn begin(manifests: &Manifests, name: &str) -> Self {
        Self::begin_beside(manifests, name, &[])
    }

    /// The same, in a cluster that has these Services.
    pub(crate) fn begin_beside(
        manifests: &Manifests,
        name: &str,
        services: &[(&str, IpAddr)],
    ) -> Self {
        let pod = manifests.pod();
        let name = format!("test-{name}-{}", std::process::id());
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, free_port()));
        let mut pod = Self {
            address,
            sidecar: pod["initContainers"][0].clone(),
            server: pod["containers"][0].clone(),
            grace: Duration::from_secs(pod["terminationGracePeriodSeconds"].as_u64().unwrap()),
            volumes: tempfile::tempdir().unwrap(),
            laid: 0,
            services: services.iter().map(|(name, at)| ((*name).to_owned(), *at)).collect(),
            name,
        };
        let spool = pod.volumes.path().join("spool");
        fs::create_dir(&spool).unwrap();
        fs::set_permissions(&spool, fs::Permissions::from_mode(0o777)).unwrap();
        fs::set_permissions(pod.volumes.path(), fs::Permissions::from_mode(0o755)).unwrap();
        pod.lay(manifests.config());
        let file = pod.volumes.path().join("pod.json");
        fs::write(&file, pod.as_podman_has_it(manifests.pod()).to_string()).unwrap();
        podman(["kube", "play", "--start=false", &file.display().to_string()]);
        // The sidecar, until its probe says so; then the server; then until the pod is ready.
        podman(["start", &pod.container("seawall")]);
        pod.probe("startupProbe");
        podman(["start", &pod.container("app")]);
        pod.probe("readinessProbe");
        pod
    }

    /// The `ConfigMap` as a kubelet lays it into its volume, and changes it there: in one moment, by a link.
    pub(crate) fn lay(&mut self, config: &str) {
        let folder = self.volumes.path().join("config");
        let before = format!("..version-{}", self.laid);
        self.laid += 1;
        let version = format!("..version-{}", self.laid);
        fs::create_dir_all(folder.join(&version)).unwrap();
        fs::write(folder.join(&version).join("proxy.toml"), config).unwrap();
        symlink(&version, folder.join("..data_tmp")).unwrap();
        fs::rename(folder.join("..data_tmp"), folder.join("..data")).unwrap();
        match self.laid {
            1 => symlink("..data/proxy.toml", folder.join("proxy.toml")).unwrap(),
            _ => fs::remove_dir_all(folder.join(before)).unwrap(),
        }
    }

    /// The volumes are folders here, the sidecar is a container like the other, and nobody but us starts
    /// anything or asks how it is.
    fn as_podman_has_it(&self, pod: &Value) -> Value {
        let mut containers = [self.sidecar.clone(), self.server.clone()];
        for container in &mut containers {
            let container = container.as_object_mut().unwrap();
            for unknown in
                ["restartPolicy", "startupProbe", "readinessProbe", "livenessProbe", "lifecycle"]
            {
                container.remove(unknown);
            }
            container.insert("imagePullPolicy".into(), "Never".into());
        }
        let port = &mut containers[0]["ports"][0];
        port["hostIP"] = self.address.ip().to_string().into();
        port["hostPort"] = self.address.port().into();
        let volumes = pod["volumes"].as_array().unwrap().iter().map(|volume| {
            let name = volume["name"].as_str().unwrap();
            json!({"name": name, "hostPath": {"path": self.volumes.path().join(name)}})
        });
        let hosts = self.services.iter().map(|(name, at)| json!({"ip": at, "hostnames": [name]}));
        json!({
            "apiVersion": "v1",
            "kind": "Pod",
            "metadata": {"name": self.name},
            "spec": {
                "restartPolicy": "Never",
                "securityContext": pod["securityContext"],
                "containers": containers,
                "volumes": volumes.collect::<Vec<_>>(),
                "hostAliases": hosts.collect::<Vec<_>>(),
            },
        })
    }

    pub(crate) fn container(&self, name: &str) -> String {
        format!("{}-{name}", self.name)
    }

    /// Everything that a container has written so far, or comes to write.
    pub(crate) fn log(&self, name: &str) -> Output {
        let (output, writer) = Output::pipe();
        let both = writer.try_clone().unwrap();
        let mut follower = engine::command();
        follower.args(["logs", "--follow", &self.container(name)]).stdout(writer).stderr(both);
        let mut follower = follower.spawn().unwrap();
        // It ends with the container.
        thread::spawn(move || follower.wait());
        output
    }

    /// The sidecar's, until it is passed.
    fn probe(&self, name: &str) {
        let command = words(&self.sidecar[name]["exec"]["command"]);
        let start = Instant::now();
        loop {
            let said = self.exec("seawall", &command).output().unwrap();
            if said.status.success() {
                return;
            }
            assert!(start.elapsed() < PATIENCE, "{name}: {said:?}\n{}", self.said());
            thread::sleep(Duration::from_millis(100));
        }
    }

    /// All hooks at once; then the server is told to end, and the sidecar when that has.
    pub(crate) fn end(self) {
        let start = Instant::now();
        thread::scope(|scope| {
            for (name, container) in [("seawall", &self.sidecar), ("app", &self.server)] {
                let pod = &self;
                scope.spawn(move || {
                    let code = pod.hook(name, container, start + pod.grace);
                    assert_eq!(code, Some(0), "preStop of {name}\n{}", pod.said());
                });
            }
        });
        for name in ["app", "seawall"] {
            let left = self.grace.saturating_sub(start.elapsed()).as_secs().to_string();
            podman(["stop", "--time", &left, &self.container(name)]);
        }
        assert!(start.elapsed() < self.grace, "killed\n{}", self.said());
        let code =
            podman(["inspect", "--format", "{{.State.ExitCode}}", &self.container("seawall")]);
        assert_eq!(code, "0", "{}", self.said());
    }

    /// As when its livenessProbe has failed: its hook, then the end, within the grace of the probe if it has one.
    /// Gives how long it took.
    pub(crate) fn restart_server(&self) -> Duration {
        let start = Instant::now();
        let own = self.server["livenessProbe"]["terminationGracePeriodSeconds"].as_u64();
        let grace = own.map_or(self.grace, Duration::from_secs);
        self.hook("app", &self.server, start + grace);
        // It has at least these two seconds.
        let left = grace.saturating_sub(start.elapsed()).as_secs().max(2).to_string();
        podman(["stop", "--time", &left, &self.container("app")]);
        podman(["start", &self.container("app")]);
        start.elapsed()
    }

    /// `preStop` of a container, and its exit code if it ends in time.
    fn hook(&self, name: &str, container: &Value, until: Instant) -> Option<i32> {
        let command = words(&container["lifecycle"]["preStop"]["exec"]["command"]);
        let mut hook = self.exec(name, &command).spawn().unwrap();
        loop {
            if let Some(status) = hook.try_wait().unwrap() {
                return status.code();
            }
            if Instant::now() > until {
                let _ = hook.kill();
                let _ = hook.wait();
                return None;
            }
            thread::sleep(Duration::from_millis(20));
        }
    }

    fn exec(&self, name: &str, command: &[String]) -> Command {
        let mut exec = engine::command();
        exec.args(["exec", &self.container(name)]).args(command);
        exec
    }

    /// For who wants to know what went wrong.
    fn said(&self) -> String {
        ["seawall", "app"]
            .map(|name| {
                let logs =
                    engine::command().args(["logs", &self.container(name)]).output().unwrap();
                let (out, err) =
                    (String::from_utf8_lossy(&logs.stdout), String::from_utf8_lossy(&logs.stderr));
                format!("{name}:\n{out}{err}")
            })
            .join("\n")
    }
}

impl Drop for Pod {
    fn drop(&mut self) {
        // What is left over is no reason to fail.
        let _ =
            engine::command().args(["pod", "rm", "--force", "--time", "0", &self.name]).output();
    }
}

fn words(list: &Value) -> Vec<String> {
    serde_json::from_value(list.clone()).unwrap()
}

/// One that the system gives to nobody who asks for any.
fn free_port() -> u16 {
    let mut ports = std::iter::repeat_with(|| fastrand::u16(20_000..32_000));
    ports.find(|port| TcpListener::bind((Ipv4Addr::LOCALHOST, *port)).is_ok()).unwrap()
}
