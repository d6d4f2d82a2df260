//! When the configuration is read again, and what becomes of one that is not valid.

use std::fs;
use std::os::unix::fs::symlink;
use std::os::unix::net::UnixDatagram;
use std::process::Command;

use crate::harness::command::{binary, run_to_end};
use crate::harness::{Backend, DEADLINE, Seawall, until};

const RELOADED: &str = "configuration reloaded";
const REFUSED: &str = "configuration refused; the one before stays in force";

#[test]
fn an_invalid_file_is_refused_in_the_words_of_check_until_it_is_mended() {
    let (old, new) = (answering("old"), answering("new"));
    let seawall = Seawall::start(&toml(&old, ""));
    let broken = toml(&new, "max_concurency = 3\n[client]\nbody_stall = 12");
    let refused = seawall.hang_up_over(&broken, REFUSED);
    assert_eq!(served(&seawall), "old");

    let said = run_to_end(Some(&broken), |command| command.arg("check"));
    let words: Vec<_> = said.err.lines().filter_map(|line| line.split(": ").nth(2)).collect();
    assert_eq!(words.len(), 2, "{said:?}");
    let told = until("both are told", || {
        let mut told = seawall.diagnostics();
        told.retain(|line| line["message"] == REFUSED);
        (told.len() == 2).then_some(told)
    });
    for (line, check) in told.iter().zip(said.err.lines()) {
        let error = line["error"].as_str().unwrap();
        let check = check.trim_start_matches("seawall: ");
        let own = seawall.file().display().to_string();
        assert_eq!(error.replace(&own, "proxy.toml"), check, "{refused}");
    }

    seawall.reload(&toml(&new, "max_concurrency = 3"));
    assert_eq!(served(&seawall), "new");
}

#[test]
fn a_file_without_end_is_refused_and_one_that_gives_nothing_holds_up_no_end() {
    let old = answering("old");
    let mut seawall = Seawall::start(&toml(&old, ""));
    let endless = "#".repeat(17 * 1024 * 1024);
    let said = seawall.hang_up_over(&endless, REFUSED);
    assert!(said["error"].as_str().unwrap().contains("longer than 16 MiB"), "{said}");
    assert_eq!(served(&seawall), "old");

    // A pipe into which nobody writes, as a file of a network whose server is away.
    fs::remove_file(seawall.file()).unwrap();
    assert!(Command::new("mkfifo").arg(seawall.file()).status().unwrap().success());
    seawall.signal("HUP");
    // Opened once it is read.
    let pipe = fs::File::options().write(true).open(seawall.file()).unwrap();
    assert_eq!(served(&seawall), "old");
    seawall.signal("TERM");
    assert_eq!(seawall.wait_exit(), Some(0));
    drop(pipe);
}

#[test]
fn what_cannot_be_put_in_force_is_refused_whole() {
    let (old, new) = (answering("old"), answering("new"));
    let seawall = Seawall::start(&toml(&old, ""));
    let taken = new.address;
    for (settings, words) in [
        (format!("[[listen]]\naddress = \"{taken}\""), "the address is taken"),
        ("[spool]\ndir = \"/nowhere/at/all\"".to_owned(), "spool.dir: cannot write"),
        ("[log]\nlevel = \"quiet,,=\"".to_owned(), "log.level: "),
        ("[[listen]]\naddress = \"systemd:web\"".to_owned(), "systemd:web"),
    ] {
        let listen = if settings.contains("[[listen]]") {
            "[[listen]]\naddress = \"127.0.0.1:0\"\n"
        } else {
            "listen = \"127.0.0.1:0\"\n"
        };
        let toml = format!("backend = \"{}\"\n{listen}{settings}", new.url());
        let said = seawall.hang_up_over(&toml, REFUSED);
        assert!(said["error"].as_str().unwrap().contains(words), "{said}");
        assert_eq!(served(&seawall), "old");
    }
}

#[test]
fn sighup_says_that_nothing_has_changed_and_where_there_is_no_file() {
    let backend = answering("served");
    let seawall = Seawall::start(&toml(&backend, ""));
    // A comment is no change.
    let same = format!("# once more\n{}", toml(&backend, ""));
    seawall.hang_up_over(&same, "SIGHUP: nothing has changed");

    let folder = tempfile::tempdir().unwrap();
    let mut command = binary();
    let url = backend.url();
    command.args(["--listen", "127.0.0.1:0", "--backend", &url]).current_dir(folder.path());
    let seawall = Seawall::spawn(&mut command);
    let none = "SIGHUP: there is no configuration file to read again; give --config";
    seawall.after(none, || seawall.signal("HUP"));
    assert_eq!(served(&seawall), "served");
}

#[test]
fn environment_and_command_line_stay_over_the_file() {
    let (named, in_file) = (answering("named"), answering("in the file"));
    let mut command = binary();
    command.args(["--backend", &named.url()]).env("SEAWALL_CLIENT__MAX_BODY", "3B");
    let seawall = Seawall::start_as(&mut command, &toml(&in_file, ""));
    seawall.reload(&toml(&in_file, "idle = \"1s\"\n[client]\nmax_body = \"1B\""));
    assert_eq!(seawall.client().post("/", b"123").answer().text(), "named");
    assert_eq!(seawall.client().post("/", b"1234").answer().status(), 413);
}

#[test]
fn a_file_that_an_editor_replaces_is_read_without_a_signal() {
    let (old, new) = (answering("old"), answering("new"));
    let seawall = Seawall::start(&toml(&old, ""));
    let beside = seawall.file().with_extension("swp");
    seawall.after(RELOADED, || {
        fs::write(&beside, toml(&new, "")).unwrap();
        fs::rename(&beside, seawall.file()).unwrap();
    });
    assert_eq!(served(&seawall), "new");
    // A mistake is told once, and mended as soon as the file changes again.
    let mistake = toml(&old, "max_concurency = 3");
    seawall.after(REFUSED, || fs::write(seawall.file(), mistake).unwrap());
    seawall.after(RELOADED, || fs::write(seawall.file(), toml(&old, "")).unwrap());
    assert_eq!(served(&seawall), "old");
    let told = seawall.diagnostics().iter().filter(|line| line["message"] == REFUSED).count();
    assert_eq!(told, 1);
}

#[test]
fn a_mounted_map_whose_link_leads_elsewhere_is_read_again() {
    let (old, new) = (answering("old"), answering("new"));
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    // As a kubelet mounts a ConfigMap: the file leads by `..data` to the folder of its version.
    for (version, backend) in [("..1", &old), ("..2", &new)] {
        fs::create_dir(at(version)).unwrap();
        fs::write(at(version).join("proxy.toml"), toml(backend, "")).unwrap();
    }
    symlink("..1", at("..data")).unwrap();
    symlink("..data/proxy.toml", at("proxy.toml")).unwrap();
    let seawall = Seawall::spawn(binary().arg("--config").arg(at("proxy.toml")));
    assert_eq!(served(&seawall), "old");
    seawall.after(RELOADED, || {
        symlink("..2", at("..data_tmp")).unwrap();
        fs::rename(at("..data_tmp"), at("..data")).unwrap();
        fs::remove_dir_all(at("..1")).unwrap();
    });
    assert_eq!(served(&seawall), "new");
}

#[test]
fn the_service_manager_is_told_when_it_begins_and_when_it_is_over() {
    let folder = tempfile::tempdir().unwrap();
    let manager = UnixDatagram::bind(folder.path().join("notify")).unwrap();
    manager.set_read_timeout(Some(DEADLINE)).unwrap();
    let hear = || {
        let mut room = [0; 4096];
        let len = manager.recv(&mut room).unwrap();
        String::from_utf8_lossy(&room[..len]).into_owned()
    };
    let (old, new) = (answering("old"), answering("new"));
    let mut command = binary();
    command.env("NOTIFY_SOCKET", folder.path().join("notify"));
    let seawall = Seawall::start_as(&mut command, &toml(&old, ""));
    let ready = hear();
    assert!(ready.starts_with("READY=1\n"), "{ready}");
    let mut last = 0;
    for toml in [toml(&new, ""), "listen = 5".to_owned(), toml(&old, ""), toml(&old, "")] {
        fs::write(seawall.file(), toml).unwrap();
        seawall.signal("HUP");
        let told = hear();
        let micros = told.strip_prefix("RELOADING=1\nMONOTONIC_USEC=").unwrap();
        let micros: u64 = micros.lines().next().unwrap().parse().unwrap();
        assert!(micros > last, "{told}");
        last = micros;
        assert_eq!(hear(), ready);
    }
}

fn answering(text: &'static str) -> Backend {
    Backend::start(move |talk| talk.answer(text))
}

/// Over a new connection.
fn served(seawall: &Seawall) -> String {
    seawall.client().get("/").answer().text()
}

fn toml(backend: &Backend, settings: &str) -> String {
    let url = backend.url();
    format!("listen = \"127.0.0.1:0\"\n[[backend]]\nurl = \"{url}\"\n{settings}")
}
