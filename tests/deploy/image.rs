//! The image alone.

use std::{fs, io::Write as _, os::unix::fs::PermissionsExt as _, process::Command};

use crate::{
    container::{Container, Log, known},
    engine::{self, docker},
};

#[test]
fn the_image_is_small_and_runs_as_nobody() {
    if !engine::is_there() {
        return;
    }
    let size: u64 = known("seawall", "{{.Size}}").parse().expect("bytes");
    assert!(size <= 12_000_000, "{size} bytes");
    assert_eq!(known("seawall", "{{.Config.User}}"), "65532:65532");
    assert_eq!(known("seawall", "{{.Config.Volumes}}"), "map[/tmp:{}]");
    assert_eq!(known("seawall", "{{.Config.Healthcheck.Test}}"), "[CMD /seawall health]");
    let version = r#"{{index .Config.Labels "org.opencontainers.image.version"}}"#;
    assert_eq!(known("seawall", version), env!("CARGO_PKG_VERSION"));
}

#[test]
fn the_image_is_healthy_on_a_root_file_system_that_is_read_only() {
    if !engine::is_there() {
        return;
    }
    let container = Container::run([
        "--read-only",
        "--cap-drop=ALL",
        "--security-opt=no-new-privileges",
        "--network=none",
        "--health-interval=1s",
        "seawall",
        "--backend=http://127.0.0.1:5000",
    ]);
    let filter = format!("container={}", container.0);
    // From the beginning, in case it was faster than this.
    let mut events = Command::new("docker");
    events.args(["events", "--since=0", "--filter", &filter, "--filter=event=health_status"]);
    Log::follow(&mut events).output.wait_for("health_status: healthy");

    docker(["exec", &container.0, "/seawall", "top", "--once"]);
    docker(["stop", "--time=40", &container.0]);
    assert_eq!(known(&container.0, "{{.State.ExitCode}}"), "0", "SIGTERM ends it in order");
    assert_eq!(docker(["diff", &container.0]), "", "written beside its volume");
}

#[test]
fn without_a_place_for_bodies_the_image_says_what_it_needs() {
    if !engine::is_there() {
        return;
    }
    let mut command = Command::new("docker");
    command.args([
        "run",
        "--rm",
        "--read-only",
        "--env=SEAWALL_SPOOL__DIR=/etc/seawall",
        "seawall",
    ]);
    let output = command.arg("--backend=http://127.0.0.1:5000").output().expect("docker is there");
    assert_eq!(output.status.code(), Some(1));
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(said.contains("spool.dir: cannot write to /etc/seawall"), "{said}");
}

#[test]
fn names_are_looked_up_whatever_the_system_says_of_that() {
    if !engine::is_there() {
        return;
    }
    // As in images of other systems, which name libraries that fit their own glibc alone.
    let mut configuration = tempfile::NamedTempFile::new().expect("a file");
    configuration.write_all(b"hosts: nowhere\n").expect("written");
    fs::set_permissions(configuration.path(), fs::Permissions::from_mode(0o644)).expect("readable");
    let mount = format!("--volume={}:/etc/nsswitch.conf:ro", configuration.path().display());
    let container = Container::run([&mount, "seawall", "--backend=http://127.0.0.1:5000"]);
    Log::of(&container.0).output.wait_for("\"listening\"");
    docker(["exec", &container.0, "/seawall", "health", "--admin=http://localhost:9099"]);
}
