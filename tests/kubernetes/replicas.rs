//! Several pods and the Redis of their overlay: what one knows of a request with an `Idempotency-Key`, the others
//! know.

use std::fs;
use std::io::{Read as _, Write as _};
use std::net::{IpAddr, SocketAddr, TcpStream};
use std::thread;
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tempfile::TempDir;

use crate::engine::{self, podman};
use crate::manifests::Manifests;
use crate::output::PATIENCE;
use crate::pod::Pod;

#[test]
fn a_retry_that_reaches_another_pod_gets_the_answer_that_was_kept() {
    if !engine::is_there() {
        return;
    }
    let manifests = Manifests::of_kustomize("overlays/replicas");
    let redis = Redis::begin(&manifests);
    let services = [("redis", redis.address)];
    let [one, two] =
        ["replica-1", "replica-2"].map(|name| Pod::begin_beside(&manifests, name, &services));
    let logs = [one.log("app"), two.log("app")];
    let seawall = two.log("seawall");

    assert_eq!(upload(&one, "first"), By::TheServer);
    assert_eq!(upload(&two, "first"), By::WhatWasKept);
    // One that nobody has sent before runs there, so what is looked for can be seen.
    assert_eq!(upload(&two, "second"), By::TheServer);
    assert_eq!(upload(&one, "second"), By::WhatWasKept);

    // Without their Redis they go on, each by what it knows itself.
    drop(redis);
    assert_eq!(upload(&two, "first"), By::WhatWasKept);
    assert_eq!(upload(&two, "third"), By::TheServer);
    seawall.wait_for("Redis");
    thread::scope(|scope| {
        scope.spawn(|| one.end());
        scope.spawn(|| two.end());
    });
    let runs = logs.map(|log| log.whole().matches("received 5 bytes").count());
    assert_eq!(runs, [1, 2]);
}

/// What an upload was answered by.
#[derive(Debug, PartialEq)]
enum By {
    TheServer,
    WhatWasKept,
}

/// As each client sends it that calls its request so.
fn upload(pod: &Pod, key: &str) -> By {
    let mut client = TcpStream::connect(pod.address).unwrap();
    client.set_read_timeout(Some(PATIENCE)).unwrap();
    let request = format!(
        "POST /upload HTTP/1.1\r\nHost: app\r\nConnection: close\r\nAuthorization: Bearer mine\r\n\
         Idempotency-Key: \"{key}\"\r\nContent-Length: 5\r\n\r\nbytes"
    );
    client.write_all(request.as_bytes()).unwrap();
    let mut answer = String::new();
    client.read_to_string(&mut answer).unwrap();
    let (head, body) = answer.split_once("\r\n\r\n").expect("an answer");
    assert!(head.starts_with("HTTP/1.1 200 ") && body == "5\n", "{answer}");
    match head.to_ascii_lowercase().contains("\r\nidempotency-replayed: true") {
        true => By::WhatWasKept,
        false => By::TheServer,
    }
}

/// The pod of the Service "redis", as the overlay has it. It goes with this.
struct Redis {
    name: String,
    address: IpAddr,
    _folder: TempDir,
}

impl Redis {
    /// Until it is ready.
    fn begin(manifests: &Manifests) -> Self {
        let service = manifests.of_kind("Service").find(|one| one["metadata"]["name"] == "redis");
        let port = u16::try_from(service.unwrap()["spec"]["ports"][0]["port"].as_u64().unwrap());
        let name = format!("test-redis-{}", std::process::id());
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("pod.json");
        fs::write(&file, as_podman_has_it(manifests, &name).to_string()).unwrap();
        podman(["kube", "play", &file.display().to_string()]);
        let mut redis = Self { name, address: [0; 4].into(), _folder: folder };
        let infra = podman(["pod", "inspect", "--format", "{{.InfraContainerID}}", &redis.name]);
        let address = podman([
            "inspect",
            "--format",
            "{{range .NetworkSettings.Networks}}{{.IPAddress}}{{end}}",
            &infra,
        ]);
        redis.address = address.parse().unwrap();
        redis.probe(port.unwrap());
        redis
    }

    /// Its readinessProbe, at the port of the Service.
    fn probe(&self, port: u16) {
        let start = Instant::now();
        while TcpStream::connect(SocketAddr::from((self.address, port))).is_err() {
            assert!(start.elapsed() < PATIENCE, "it does not listen at {}:{port}", self.address);
            thread::sleep(Duration::from_millis(50));
        }
    }
}

/// Nobody but us starts anything or asks how it is.
fn as_podman_has_it(manifests: &Manifests, name: &str) -> Value {
    let mut all = manifests.of_kind("Deployment");
    let deployment = all.find(|one| one["metadata"]["name"] == "redis").unwrap();
    let mut pod = deployment["spec"]["template"]["spec"].clone();
    pod["restartPolicy"] = "Never".into();
    let container = pod["containers"][0].as_object_mut().unwrap();
    container.remove("readinessProbe");
    container.insert("imagePullPolicy".into(), "Never".into());
    json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name}, "spec": pod})
}

impl Drop for Redis {
    fn drop(&mut self) {
        // What is left over is no reason to fail.
        let _ =
            engine::command().args(["pod", "rm", "--force", "--time", "0", &self.name]).output();
    }
}
