//! A real systemd in namespaces of its own, with the units of `docker/systemd` and nothing else. What it
//! runs shares the network with the scene.

use std::fs;
use std::io::Read as _;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value;
use tempfile::TempDir;

use super::DEADLINE;

pub(crate) const UNITS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/docker/systemd");
const BINARY: &str = env!("CARGO_BIN_EXE_seawall");

/// What the units are ordered by; those of the machine have no place here.
const TARGETS: [&str; 8] = [
    "basic",
    "multi-user",
    "network-online",
    "nss-lookup",
    "scene",
    "shutdown",
    "sockets",
    "sysinit",
];

/// Becomes the first process: `/etc` and `/var` of the machine stay as they are, and the binary lies where
/// it is installed.
const BOOT: &str = r#"
set -e
mount --make-rprivate /
mount -t tmpfs tmpfs /run
mkdir /run/upper /run/work
mount -t overlay overlay -o lowerdir=/etc,upperdir=/run/upper,workdir=/run/work /etc
mkdir /etc/seawall
for folder in /var/lib /var/log; do
    mount -t tmpfs -o mode=755 tmpfs "$folder"
    mkdir -m 700 "$folder/private"
done
mount -t tmpfs -o mode=755 tmpfs /usr/local/sbin
touch /usr/local/sbin/seawall
mount --bind "$BINARY" /usr/local/sbin/seawall
# Those of the first version first, which lie within; then that of all of them.
grep -o ' /sys/fs/cgroup/[^ ]* ' /proc/self/mounts | while read -r group; do umount "$group"; done
umount /sys/fs/cgroup
mount -t cgroup2 cgroup2 /sys/fs/cgroup
exec env -i PATH="$PATH" container=scene SYSTEMD_UNIT_PATH="$UNITS" \
    /lib/systemd/systemd --system --unit=scene.target --show-status=no
"#;

pub(crate) struct Systemd {
    child: Child,
    folder: TempDir,
    group: PathBuf,
}

/// `seawall.service` and its socket, neither of them started but the socket.
pub(crate) struct Service<'a> {
    pub(crate) address: SocketAddr,
    systemd: &'a Systemd,
}

/// An order that systemd carries out.
pub(crate) struct Order(Child);

impl Systemd {
    /// None, and a word about it, for who may not make namespaces. Where CI says so, that is an error.
    pub(crate) fn start() -> Option<Self> {
        if !rustix::process::geteuid().is_root() {
            let required = std::env::var_os("TEST_ENGINE").is_some_and(|word| word == "required");
            assert!(!required, "a real systemd needs root");
            eprintln!("skipped: a real systemd needs root");
            return None;
        }
        assert!(
            Path::new("/lib/systemd/systemd").exists(),
            "these tests need systemd: apt-get install systemd"
        );
        let folder = tempfile::tempdir().unwrap();
        let units = folder.path().join("units");
        fs::create_dir(&units).unwrap();
        for target in TARGETS {
            let text = format!("[Unit]\nDescription={target}\n");
            fs::write(units.join(format!("{target}.target")), text).unwrap();
        }
        let name = folder.path().file_name().unwrap().to_string_lossy().into_owned();
        let group = groups().join(format!("seawall-{name}"));
        fs::create_dir(&group).unwrap();
        // Within the group before there is a namespace of groups, whose root it becomes.
        let script = "echo $$ > \"$GROUP/cgroup.procs\"; exec unshare --pid --fork --kill-child \
                      --mount --cgroup --ipc --uts --mount-proc sh -c \"$BOOT\"";
        let log = fs::File::create(folder.path().join("systemd.log")).unwrap();
        let child = Command::new("sh")
            .args(["-c", script])
            .envs([("BOOT", BOOT), ("BINARY", BINARY)])
            .env("UNITS", &units)
            .env("GROUP", &group)
            .stdin(Stdio::null())
            .stdout(log.try_clone().unwrap())
            .stderr(log)
            .spawn()
            .unwrap();
        let systemd = Self { child, folder, group };
        patiently("systemd runs", || {
            let pid = systemd.pid()?;
            let asked = within(pid, "systemctl").args(["is-active", "scene.target"]).output();
            asked.unwrap().status.success().then_some(())
        });
        Some(systemd)
    }

    /// The units as they are, but for the port and where the output goes.
    pub(crate) fn install(&self, backend: &str, settings: &str) -> Service<'_> {
        for unit in ["seawall.service", "seawall.socket"] {
            fs::copy(Path::new(UNITS).join(unit), self.units().join(unit)).unwrap();
        }
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, free_port()));
        let service = Service { address, systemd: self };
        let place = format!("[Socket]\nListenStream=\nListenStream={address}\n");
        self.write("seawall.socket.d/place.conf", &place);
        let output = self.output();
        fs::write(&output, "").unwrap();
        let output = output.display();
        let output =
            format!("[Service]\nStandardOutput=append:{output}\nStandardError=append:{output}\n");
        self.write("seawall.service.d/output.conf", &output);
        service.configure(backend, settings);
        service.order(&["daemon-reload"]).wait();
        service.order(&["start", "seawall.socket"]).wait();
        service
    }

    fn units(&self) -> PathBuf {
        self.folder.path().join("units")
    }

    fn output(&self) -> PathBuf {
        self.folder.path().join("output")
    }

    fn write(&self, name: &str, text: &str) {
        let path = self.units().join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }

    /// Of the first process within, as it is known outside.
    fn pid(&self) -> Option<u32> {
        let own = self.child.id();
        let children = fs::read_to_string(format!("/proc/{own}/task/{own}/children")).ok()?;
        children.split_whitespace().next()?.parse().ok()
    }

    fn run(&self, program: &str, arguments: &[&str]) -> Output {
        within(self.pid().unwrap(), program).args(arguments).output().unwrap()
    }
}

impl Drop for Systemd {
    fn drop(&mut self) {
        if std::thread::panicking() {
            let read = |path| fs::read_to_string(path).unwrap_or_default();
            let log = read(self.folder.path().join("systemd.log"));
            eprintln!("systemd said:\n{log}\nthe service:\n{}", read(self.output()));
            if let Some(pid) = self.pid() {
                let status = within(pid, "systemctl").args(["status", "seawall.service"]).output();
                eprintln!("{}", String::from_utf8_lossy(&status.unwrap().stdout));
            }
        }
        // All within go with the first of them.
        let _ = self.child.kill();
        let _ = self.child.wait();
        // Each of them takes its time.
        let start = Instant::now();
        while !remove(&self.group) && start.elapsed() < DEADLINE {
            std::thread::sleep(Duration::from_millis(5));
        }
    }
}

impl Service<'_> {
    pub(crate) fn configure(&self, backend: &str, settings: &str) {
        let toml = fs::read_to_string(Path::new(UNITS).join("proxy.toml")).unwrap();
        let toml = toml.replace("http://127.0.0.1:5000", backend);
        // There may be others on this machine.
        let toml = toml.replace("127.0.0.1:9099", "127.0.0.1:0");
        let file = self.systemd.folder.path().join("proxy.toml");
        fs::write(&file, format!("{toml}\n{settings}")).unwrap();
        let copied =
            self.systemd.run("cp", &[&file.display().to_string(), "/etc/seawall/proxy.toml"]);
        assert!(copied.status.success(), "{copied:?}");
    }

    /// As `systemctl edit` would.
    pub(crate) fn drop_in(&self, text: &str) {
        self.systemd.write("seawall.service.d/scene.conf", text);
        self.order(&["daemon-reload"]).wait();
    }

    /// To `systemctl`.
    pub(crate) fn order(&self, arguments: &[&str]) -> Order {
        let mut command = within(self.systemd.pid().unwrap(), "systemctl");
        command.args(arguments).stdout(Stdio::piped()).stderr(Stdio::piped());
        Order(command.spawn().unwrap())
    }

    pub(crate) fn property(&self, name: &str) -> String {
        let said =
            self.systemd.run("systemctl", &["show", "--value", "-p", name, "seawall.service"]);
        String::from_utf8(said.stdout).unwrap().trim().to_owned()
    }

    /// It reads what it is told in its own time.
    #[track_caller]
    pub(crate) fn wait_for_property(&self, name: &str, matches: impl Fn(&str) -> bool) {
        patiently(&format!("{name} is as expected"), || {
            matches(&self.property(name)).then_some(())
        });
    }

    pub(crate) fn uid(&self) -> u32 {
        let process = format!("/proc/{}", self.property("MainPID"));
        let said = self.systemd.run("stat", &["-c", "%u", &process]);
        String::from_utf8(said.stdout).unwrap().trim().parse().unwrap()
    }

    pub(crate) fn open_files(&self) -> Vec<String> {
        let folder = format!("/proc/{}/fd", self.property("MainPID"));
        let said = self.systemd.run("ls", &["-l", &folder]);
        let said = String::from_utf8(said.stdout).unwrap();
        said.lines().filter_map(|line| Some(line.split_once(" -> ")?.1.to_owned())).collect()
    }

    /// Both of its streams.
    pub(crate) fn output(&self) -> String {
        fs::read_to_string(self.systemd.output()).unwrap()
    }

    #[track_caller]
    pub(crate) fn wait_for_line(&self, matches: impl Fn(&Value) -> bool) -> Value {
        patiently("there is such a line", || {
            let output = self.output();
            let mut lines = output.lines().filter_map(|line| serde_json::from_str(line).ok());
            lines.find(|line| matches(line))
        })
    }
}

impl Order {
    /// Until it is carried out.
    #[track_caller]
    pub(crate) fn wait(self) {
        let mut child = self.0;
        let status = patiently("it is carried out", || child.try_wait().unwrap());
        let mut said = String::new();
        child.stderr.take().unwrap().read_to_string(&mut said).unwrap();
        assert!(status.success(), "{said}");
    }

    #[track_caller]
    pub(crate) fn ends_well(self) -> bool {
        let mut child = self.0;
        patiently("it is carried out", || child.try_wait().unwrap()).success()
    }
}

/// Longer than others wait: each step is several programs, and a whole system has to start.
#[track_caller]
pub(crate) fn patiently<T>(what: &str, mut ask: impl FnMut() -> Option<T>) -> T {
    let start = Instant::now();
    loop {
        if let Some(answer) = ask() {
            return answer;
        }
        assert!(start.elapsed() < DEADLINE * 3, "waited in vain until {what}");
        std::thread::sleep(Duration::from_millis(10));
    }
}

/// As seen from within, the network aside.
fn within(pid: u32, program: &str) -> Command {
    let mut command = Command::new("nsenter");
    command.args(["--target", &pid.to_string(), "--mount", "--pid", "--", program]);
    command
}

/// What `systemd-analyze` finds wrong with the units.
pub(crate) fn verify() -> String {
    let folder = tempfile::tempdir().unwrap();
    let units = ["seawall.service", "seawall.socket"].map(|unit| {
        let text = fs::read_to_string(Path::new(UNITS).join(unit)).unwrap();
        // It is not installed here.
        let text = text.replace("=seawall ", &format!("={BINARY} "));
        let path = folder.path().join(unit);
        fs::write(&path, text).unwrap();
        path
    });
    let said = Command::new("systemd-analyze").args(["verify", "--man=no"]).args(&units).output();
    let said = said.unwrap();
    let (ended, said) = (said.status, String::from_utf8(said.stderr).unwrap());
    assert!(ended.success(), "systemd-analyze: {ended}\n{said}");
    // Units of the machine are none of ours.
    said.lines().filter(|line| line.contains("seawall")).collect::<Vec<_>>().join("\n")
}

/// Of the service, as `systemd-analyze` reckons: from 0, none, to 10.
pub(crate) fn exposure() -> f64 {
    let unit = Path::new(UNITS).join("seawall.service");
    let said = Command::new("systemd-analyze")
        .args(["security", "--offline=true", "--no-pager"])
        .arg(unit)
        .env("NO_COLOR", "1")
        .output()
        .unwrap();
    let said = String::from_utf8(said.stdout).unwrap();
    let level =
        said.lines().find_map(|line| line.split_once("Overall exposure level")?.1.split_once(": "));
    let level = level.unwrap_or_else(|| panic!("{said}")).1;
    level.split_whitespace().next().unwrap().parse().unwrap()
}

/// One that the system gives to nobody who asks for any.
pub(crate) fn free_port() -> u16 {
    let mut ports = std::iter::repeat_with(|| fastrand::u16(20_000..32_000));
    ports.find(|port| TcpListener::bind((Ipv4Addr::LOCALHOST, *port)).is_ok()).unwrap()
}

/// Where control groups of the second version are.
fn groups() -> PathBuf {
    let mounts = fs::read_to_string("/proc/self/mounts").unwrap();
    let mut mounts = mounts.lines().map(|line| line.split(' ').collect::<Vec<_>>());
    let mount = mounts.find(|mount| mount[2] == "cgroup2");
    PathBuf::from(mount.expect("these tests need a mounted cgroup2")[1])
}

/// A tree of control groups; false as long as somebody is in there.
fn remove(group: &Path) -> bool {
    let Ok(entries) = fs::read_dir(group) else { return true };
    for entry in entries.flatten().filter(|entry| entry.path().is_dir()) {
        remove(&entry.path());
    }
    fs::remove_dir(group).is_ok()
}
