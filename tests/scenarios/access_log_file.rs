//! The access log in a file: others move it, remove it, truncate it and fill its disk, and no line is
//! lost or torn for that.

use std::fs;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _, symlink};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::thread;

use serde_json::Value;
use tempfile::TempDir;

use crate::harness::command::run_to_end;
use crate::harness::{Backend, Seawall, until};

#[test]
fn lines_go_to_the_end_of_the_file_and_nowhere_else() {
    let stage = Stage::new();
    fs::write(stage.file(), "{\"path\":\"/before\"}\n").unwrap();
    let (backend, mut seawall) = stage.seawall("");
    seawall.client().get("/one").answer();
    end(&mut seawall);
    assert_eq!(paths(&stage.file()), ["/before", "/one"]);
    assert!(seawall.log().is_empty());
    drop(backend);
}

#[test]
fn a_file_that_is_made_is_read_by_its_group_and_by_no_other() {
    let stage = Stage::new();
    let _started = stage.seawall("");
    let mode = stage.file().metadata().unwrap().permissions().mode();
    assert_eq!(mode & 0o137, 0, "{mode:o}");
    assert_eq!(mode & 0o600, 0o600, "{mode:o}");
}

#[test]
fn a_file_that_cannot_be_written_is_one_clear_line() {
    let toml = "listen = \"127.0.0.1:0\"\nbackend = \"http://127.0.0.1:5000\"\n[log]\naccess = \"/nonexistent/access.log\"\n";
    let said = run_to_end(Some(toml), |command| command);
    assert_eq!(said.code, Some(1), "{said:?}");
    assert!(said.err.contains("log.access: cannot write to /nonexistent/access.log"), "{said:?}");
    assert_eq!(said.err.trim().lines().count(), 1, "{said:?}");
}

#[test]
fn a_named_pipe_that_nobody_reads_does_not_hold_up_the_start() {
    let stage = Stage::new();
    assert!(Command::new("mkfifo").arg(stage.file()).status().unwrap().success());
    let toml = format!(
        "listen = \"127.0.0.1:0\"\nbackend = \"http://127.0.0.1:5000\"\n[log]\naccess = \"{}\"\n",
        stage.file().display()
    );
    let said = run_to_end(Some(&toml), |command| command);
    assert_eq!(said.code, Some(1), "{said:?}");
    assert!(said.err.contains("log.access: cannot write to"), "{said:?}");
}

#[test]
fn no_line_is_lost_or_torn_over_rotations_under_load() {
    const CLIENTS: usize = 4;
    const REQUESTS: usize = 400;
    let stage = Stage::new();
    let (_backend, mut seawall) = stage.seawall("");
    let rotated = |number: usize| stage.folder.path().join(format!("access.log.{number}"));
    let mut rotations = 0;
    thread::scope(|scope| {
        let running: Vec<_> = (0..CLIENTS)
            .map(|client| {
                let mut connection = seawall.client();
                scope.spawn(move || {
                    for number in 0..REQUESTS {
                        connection.get(&format!("/{client}/{number}")).answer();
                    }
                })
            })
            .collect();
        while running.iter().any(|client| !client.is_finished()) {
            mv(&stage.file(), &rotated(rotations));
            rotations += 1;
            seawall.signal("HUP");
            until("the file is there again", || stage.file().exists().then_some(()));
        }
    });
    end(&mut seawall);
    assert!(rotations > 3, "{rotations}");
    let mut found: Vec<String> =
        (0..rotations).flat_map(|number| paths(&rotated(number))).collect();
    found.extend(paths(&stage.file()));
    assert_eq!(found.len(), CLIENTS * REQUESTS);
    found.sort_unstable();
    found.dedup();
    assert_eq!(found.len(), CLIENTS * REQUESTS);
}

#[test]
fn a_file_that_was_moved_or_removed_without_a_word_is_opened_anew() {
    let stage = Stage::new();
    let (_backend, mut seawall) = stage.seawall("");
    let aside = stage.folder.path().join("access.log.1");
    let mut client = seawall.client();
    let mut sent = 0;
    let mut until_there = || {
        until("the file is there again", || {
            client.get("/").answer();
            sent += 1;
            stage.file().exists().then_some(())
        });
    };
    mv(&stage.file(), &aside);
    until_there();
    let inode = stage.file().metadata().unwrap().ino();
    fs::remove_file(stage.file()).unwrap();
    until_there();
    assert_ne!(stage.file().metadata().unwrap().ino(), inode);
    end(&mut seawall);
    // What went into the file that was removed is gone with it.
    assert!(paths(&aside).len() + paths(&stage.file()).len() <= sent);
    assert!(!paths(&stage.file()).is_empty());
}

#[test]
fn who_copies_the_file_and_truncates_it_is_served_as_well() {
    let stage = Stage::new();
    let (_backend, mut seawall) = stage.seawall("");
    seawall.client().get("/before").answer();
    until("the line is written", || (stage.file().metadata().unwrap().len() > 0).then_some(()));
    fs::File::options().write(true).open(stage.file()).unwrap().set_len(0).unwrap();
    seawall.client().get("/after").answer();
    end(&mut seawall);
    // Without a hole where the former lines were.
    assert_eq!(paths(&stage.file()), ["/after"]);
}

#[test]
fn a_full_disk_is_told_once_and_lines_are_written_when_there_is_room_again() {
    let stage = Stage::new();
    symlink("/dev/full", stage.file()).unwrap();
    let (_backend, mut seawall) = stage.seawall("[client]\nmax_head = \"64KiB\"");
    let mut client = seawall.client();
    // More than memory is set aside for.
    let long = "a".repeat(20_000);
    let sent = 150;
    for number in 0..sent {
        assert_eq!(client.get(&format!("/{number}/{long}")).answer().text(), "served");
    }
    seawall.wait_for_diagnostic(STUCK);
    fs::remove_file(stage.file()).unwrap();
    seawall.wait_for_diagnostic("log.access: is written again");
    let dropped = seawall.wait_for_diagnostic("lines were dropped");
    end(&mut seawall);
    let told = seawall.diagnostics().iter().filter(|line| line["message"] == STUCK).count();
    assert_eq!(told, 1);
    let written = paths(&stage.file());
    let dropped = usize::try_from(dropped["total"].as_u64().unwrap()).unwrap();
    assert!(dropped > 0 && !written.is_empty());
    assert_eq!(written.len() + dropped, sent);
}

#[test]
fn a_line_for_which_there_was_half_the_room_is_written_to_its_end_later() {
    let stage = Stage::new();
    let (_backend, mut seawall) = stage.seawall("");
    limit_files(&seawall, "1000");
    let mut client = seawall.client();
    for number in 0..20 {
        assert_eq!(client.get(&format!("/{number}")).answer().text(), "served");
    }
    seawall.wait_for_diagnostic(STUCK);
    assert_eq!(stage.file().metadata().unwrap().len(), 1000);
    limit_files(&seawall, "unlimited");
    seawall.wait_for_diagnostic("log.access: is written again");
    end(&mut seawall);
    assert_eq!(
        paths(&stage.file()),
        (0..20).map(|number| format!("/{number}")).collect::<Vec<_>>()
    );
}

#[test]
fn a_line_for_which_there_was_half_the_room_is_whole_in_the_next_file() {
    let stage = Stage::new();
    let (_backend, mut seawall) = stage.seawall("");
    limit_files(&seawall, "1000");
    seawall.client().get(&format!("/{}", "a".repeat(2000))).answer();
    seawall.wait_for_diagnostic(STUCK);
    let aside = stage.folder.path().join("access.log.1");
    mv(&stage.file(), &aside);
    limit_files(&seawall, "unlimited");
    seawall.wait_for_diagnostic("log.access: is written again");
    end(&mut seawall);
    let lines =
        [paths(&stage.file()), lines_of(&aside).iter().filter_map(|line| path_of(line)).collect()]
            .concat();
    assert_eq!(lines.len(), 1);
}

#[test]
fn who_asks_by_a_signal_finds_the_file_before_there_is_a_line_for_it() {
    let stage = Stage::new();
    let (_backend, seawall) = stage.seawall("");
    fs::remove_file(stage.file()).unwrap();
    seawall.signal("HUP");
    until("the file is there again", || stage.file().exists().then_some(()));
}

#[test]
fn a_folder_that_has_gone_is_told_once_and_filled_again_when_it_is_back() {
    let stage = Stage::new();
    let (_backend, mut seawall) = stage.seawall("");
    let elsewhere = stage.folder.path().with_extension("moved");
    fs::rename(stage.folder.path(), &elsewhere).unwrap();
    for _ in 0..2 {
        seawall.signal("HUP");
        seawall.client().get("/meanwhile").answer();
    }
    seawall.wait_for_diagnostic(ASTRAY);
    let moved = elsewhere.join("access.log");
    until("both lines are written", || (paths(&moved).len() == 2).then_some(()));
    fs::create_dir(stage.folder.path()).unwrap();
    seawall.signal("HUP");
    until("the file is there again", || stage.file().exists().then_some(()));
    seawall.client().get("/again").answer();
    end(&mut seawall);
    assert_eq!(paths(&stage.file()), ["/again"]);
    let told = seawall.diagnostics().iter().filter(|line| line["message"] == ASTRAY).count();
    assert_eq!(told, 1);
    fs::remove_dir_all(elsewhere).unwrap();
}

const STUCK: &str = "log.access: cannot be written; trying on, and keeping as many lines as memory is set aside for";
const ASTRAY: &str = "log.access: cannot be opened anew; lines go on into the former file";

/// A folder for the log.
struct Stage {
    folder: TempDir,
}

impl Stage {
    fn new() -> Self {
        Self { folder: tempfile::tempdir().unwrap() }
    }

    fn file(&self) -> PathBuf {
        self.folder.path().join("access.log")
    }

    fn seawall(&self, settings: &str) -> (Backend, Seawall) {
        let backend = Backend::start(|talk| talk.answer("served"));
        let log = format!("[log]\naccess = \"{}\"\n{settings}", self.file().display());
        let seawall = Seawall::with(&backend, &log);
        (backend, seawall)
    }
}

/// Every line that there is to be is written then.
fn end(seawall: &mut Seawall) {
    seawall.signal("TERM");
    assert_eq!(seawall.wait_exit(), Some(0));
}

/// As who rotates logs does it.
fn mv(from: &Path, to: &Path) {
    assert!(Command::new("mv").args([from, to]).status().unwrap().success());
}

/// How long the files of a running process may become.
fn limit_files(seawall: &Seawall, bytes: &str) {
    seawall.limit("fsize", &format!("{bytes}:"));
}

/// The paths of all lines, each of which must be whole.
#[track_caller]
fn paths(file: &Path) -> Vec<String> {
    let lines = lines_of(file);
    lines.iter().map(|line| path_of(line).unwrap_or_else(|| panic!("no line: {line:?}"))).collect()
}

fn path_of(line: &str) -> Option<String> {
    let line: Value = serde_json::from_str(line).ok()?;
    Some(line["path"].as_str()?.to_owned())
}

fn lines_of(file: &Path) -> Vec<String> {
    let text = fs::read_to_string(file).unwrap();
    text.lines().map(str::to_owned).collect()
}
