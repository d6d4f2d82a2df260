//! What `docker/release` has made, judged as whoever downloads it would. `tests/run` has it made first.

use std::{collections::HashMap, fs, path::Path, process::Command};

use serde_json::Value;

use crate::{
    container::Container,
    engine::{self, docker, said},
};

#[test]
fn the_checksums_are_those_of_everything_that_is_published() {
    let Some(dist) = dist() else { return };
    said(Command::new("sha256sum").args(["--check", "--strict", "SHA256SUMS"]).current_dir(dist));
    let sums = fs::read_to_string(dist.join("SHA256SUMS")).expect("a file");
    let mut summed: Vec<_> = sums.lines().map(|line| line[66..].to_owned()).collect();
    summed.push("SHA256SUMS".to_owned());
    summed.sort();
    let mut there: Vec<_> = fs::read_dir(dist)
        .expect("a folder")
        .map(|entry| entry.expect("a file").file_name().into_string().expect("UTF-8"))
        .collect();
    there.sort();
    assert_eq!(summed, there);
    for end in [".tar.gz", ".deb", ".cdx.json"] {
        assert!(there.iter().any(|name| name.contains(VERSION) && name.ends_with(end)), "{end}");
    }
}

#[test]
fn the_archive_has_the_binary_of_the_image_and_what_goes_with_it() {
    let Some(dist) = dist() else { return };
    let folder = tempfile::tempdir().expect("a folder");
    let archive = only(dist, ".tar.gz");
    said(Command::new("tar").args(["-xzf", &archive, "-C"]).arg(folder.path()));
    let root = fs::read_dir(folder.path()).expect("a folder").next().expect("one").expect("there");
    let root = root.path();
    let name = root.file_name().expect("a name").to_string_lossy().into_owned();
    assert!(archive.ends_with(&format!("/{name}.tar.gz")), "{name}");
    let version = said(Command::new(root.join("seawall")).arg("--version"));
    assert_eq!(version, format!("seawall {VERSION}"));
    let of_image = folder.path().join("of-image");
    let container = docker(["create", "seawall"]);
    let copied = Command::new("docker")
        .args(["cp", &format!("{container}:/seawall"), &of_image.display().to_string()])
        .status();
    docker(["rm", &container]);
    assert!(copied.expect("docker is there").success());
    let is_same = fs::read(root.join("seawall")).expect("it") == fs::read(of_image).expect("it");
    assert!(is_same, "it is not what the tests of the image have run");
    for file in [
        "seawall.1",
        "completions/seawall.bash",
        "completions/_seawall",
        "completions/seawall.fish",
        "systemd/seawall.service",
        "systemd/seawall.socket",
        "systemd/proxy.toml",
        "proxy.toml",
        "README.md",
        "CHANGELOG.md",
        "LICENSE",
    ] {
        let is_empty = fs::read(root.join(file)).is_ok_and(|bytes| bytes.is_empty());
        assert!(root.join(file).exists() && !is_empty, "{file}");
    }
}

#[test]
fn the_bill_of_materials_is_valid_and_lists_what_is_built_in_and_no_more() {
    let Some(dist) = dist() else { return };
    let bill = only(dist, ".cdx.json");
    said(
        Command::new(concat!(
            env!("CARGO_MANIFEST_DIR"),
            "/target/backends/venv-release/bin/python"
        ))
        .args([concat!(env!("CARGO_MANIFEST_DIR"), "/tests/deploy/bill.py"), &bill]),
    );
    let text = fs::read_to_string(&bill).expect("a file");
    assert!(!text.contains(env!("CARGO_MANIFEST_DIR")), "it tells where it was made");
    let bill: Value = serde_json::from_str(&text).expect("JSON");
    assert_eq!(bill["metadata"]["component"]["version"], VERSION);
    let listed: HashMap<_, _> = bill["components"]
        .as_array()
        .expect("a list")
        .iter()
        .map(|one| (one["name"].as_str().expect("a name"), one["version"].as_str()))
        .collect();
    let lock = include_str!("../../Cargo.lock");
    for name in ["tokio", "hyper", "h2", "rustls", "ring", "tikv-jemallocator", "redis"] {
        let version = listed.get(name).copied().flatten().unwrap_or_else(|| panic!("no {name}"));
        assert!(lock.contains(&format!("name = \"{name}\"\nversion = \"{version}\"\n")), "{name}");
    }
    for name in ["proptest", "vt100", "windows-sys"] {
        assert!(!listed.contains_key(name), "{name} is not built in");
    }
}

#[test]
fn the_package_is_installed_upgraded_removed_and_purged_as_debian_wants_it() {
    let Some(dist) = dist() else { return };
    let debian = Debian::boot();
    debian.takes(&only(dist, ".deb"), "/package.deb");
    debian.copy_of_package("/older.deb", "s/^Version:.*/Version: 0.0.1/", "");
    debian.copy_of_package("/newer.deb", "s/^Version:.*/Version: 99.0/", "# of the new version");
    debian.does("dpkg -i /older.deb");
    assert_eq!(
        debian.says("systemctl is-enabled seawall.service seawall.socket || true"),
        "disabled\ndisabled"
    );
    assert_eq!(debian.says("systemctl is-active seawall.socket || true"), "inactive");
    assert_eq!(
        debian.says("systemd-analyze verify --man=no seawall.service seawall.socket 2>&1"),
        ""
    );

    debian.does("systemctl enable --now seawall.socket seawall.service && seawall health");
    debian.does("echo '# by the administrator' >> /etc/seawall/proxy.toml");
    for (package, version) in [("/package.deb", VERSION), ("/newer.deb", "99.0")] {
        let (process, socket) = (debian.says(PROCESS), debian.says(SOCKET));
        debian.does(&format!("dpkg --force-confold -i {package}"));
        assert_ne!(debian.says(PROCESS), process, "the old version serves on");
        assert_eq!(debian.says(SOCKET), socket, "somebody may have been refused");
        assert!(debian.says("dpkg -s seawall").contains(&format!("Version: {version}")));
        debian.does("seawall health && grep -q administrator /etc/seawall/proxy.toml");
    }
    debian.does("grep -q 'of the new version' /etc/seawall/proxy.toml.dpkg-dist");

    debian.does("dpkg -r seawall");
    assert_eq!(
        debian.says("systemctl is-active seawall.socket seawall.service || true"),
        "inactive\ninactive"
    );
    assert_eq!(debian.says("find /etc/systemd /usr/lib/systemd -name 'seawall*'"), "");
    debian.does("grep -q administrator /etc/seawall/proxy.toml");
    debian.does("dpkg -P seawall");
    assert_eq!(debian.says("find / -xdev -not -path '/proc/*' -name '*seawall*'"), "");
}

#[test]
fn where_systemd_does_not_run_the_package_comes_and_goes_as_well() {
    let Some(dist) = dist() else { return };
    // As when an image of a machine is made.
    let debian = Debian(Container::run(["--network=none", "seawall-test/systemd", "sleep", "600"]));
    debian.takes(&only(dist, ".deb"), "/package.deb");
    debian.does("dpkg -i /package.deb && systemctl enable seawall.socket seawall.service");
    assert_ne!(debian.says("find /etc/systemd -name 'seawall*'"), "");
    debian.does("dpkg -P seawall");
    assert_eq!(debian.says("find / -xdev -not -path '/proc/*' -name '*seawall*'"), "");
}

/// Where there is a release of this kind of machine; else the test is to return.
fn dist() -> Option<&'static Path> {
    let dist = Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/target/dist"));
    if !engine::is_there() {
        return None;
    }
    if !dist.join("SHA256SUMS").exists() {
        engine::skip("there is no release in target/dist, by docker/release");
        return None;
    }
    Some(dist)
}

fn only(dist: &Path, end: &str) -> String {
    let files = fs::read_dir(dist).expect("a folder").map(|entry| entry.expect("a file").path());
    let mut found: Vec<_> = files.map(|path| path.display().to_string()).collect();
    found.retain(|path| path.ends_with(end));
    assert_eq!(found.len(), 1, "{found:?}");
    found.remove(0)
}

/// A machine with Debian.
struct Debian(Container);

impl Debian {
    /// With systemd as its first process, until everything has been started.
    fn boot() -> Self {
        let debian = Self(Container::run([
            "--network=none",
            "--cap-add=SYS_ADMIN",
            "--security-opt=seccomp=unconfined",
            "--security-opt=apparmor=unconfined",
            "--tmpfs=/run",
            "--tmpfs=/run/lock",
            "--tmpfs=/tmp",
            "--tmpfs=/sys/fs/cgroup",
            "--env=container=docker",
            "seawall-test/systemd",
        ]));
        // The one part of the unit that a container has no means for.
        debian.does(
            "mkdir -p /run/systemd/system/seawall.service.d
             printf '[Service]\nPrivateUsers=no\n' > /run/systemd/system/seawall.service.d/test.conf",
        );
        debian.does("for n in $(seq 100); do systemctl is-system-running --wait && exit; sleep 0.1; done; exit 1");
        debian
    }

    fn takes(&self, file: &str, to: &str) {
        said(Command::new("docker").args(["cp", file, &format!("{}:{to}", self.0.0)]));
    }

    /// The package as another version has it, by a change of its control file, and perhaps of its configuration.
    fn copy_of_package(&self, to: &str, change: &str, line: &str) {
        self.does(&format!(
            "rm -rf /copy && dpkg-deb -R /package.deb /copy && sed -i '{change}' /copy/DEBIAN/control
             [ -z '{line}' ] || echo '{line}' >> /copy/etc/seawall/proxy.toml
             rm -f /copy/DEBIAN/md5sums && dpkg-deb -b /copy {to} && rm -rf /copy"
        ));
    }

    /// A line of shell, in order.
    fn does(&self, line: &str) {
        self.says(line);
    }

    fn says(&self, line: &str) -> String {
        docker(["exec", &self.0.0, "sh", "-ec", line])
    }
}

const VERSION: &str = env!("CARGO_PKG_VERSION");
const PROCESS: &str = "systemctl show --property MainPID seawall.service";
/// Since when it listens.
const SOCKET: &str = "systemctl show --property ActiveEnterTimestampMonotonic seawall.socket";
