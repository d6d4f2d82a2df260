//! When there is no room left for the spool, for real: a disk of one megabyte, a folder that is
//! gone, a bound that is reached. The backend is unharmed, no client takes half for whole, and
//! seawall goes on.

use std::fs;
use std::process::{Command, Stdio};

use tempfile::TempDir;

use crate::harness::command::binary_under;
use crate::harness::{Backend, Client, Seawall, assert_same_bytes, pattern};

const SIZE: usize = 30_000_000;

#[test]
fn an_answer_for_which_the_disk_has_no_room_harms_nobody() {
    let Some(disk) = SmallDisk::mounted() else { return };
    let backend = big_or_small();
    let seawall = disk.seawall(&backend);
    a_slow_reader_is_served_or_told(&backend, &seawall);
}

#[test]
fn an_upload_for_which_the_disk_has_no_room_is_refused() {
    let Some(disk) = SmallDisk::mounted() else { return };
    let backend = big_or_small();
    let seawall = disk.seawall(&backend);
    a_big_upload_is_refused(&backend, &seawall);
}

#[test]
fn an_answer_beyond_the_bound_for_all_spools_harms_nobody() {
    let backend = big_or_small();
    let seawall = Seawall::with(&backend, BOUNDS);
    a_slow_reader_is_served_or_told(&backend, &seawall);
}

#[test]
fn an_upload_beyond_the_bound_for_all_spools_is_refused() {
    let backend = big_or_small();
    let seawall = Seawall::with(&backend, BOUNDS);
    a_big_upload_is_refused(&backend, &seawall);
}

#[test]
fn a_spool_folder_that_has_gone_harms_nobody() {
    let backend = big_or_small();
    let folder = tempfile::tempdir().unwrap();
    let seawall = Seawall::with(
        &backend,
        &format!("[spool]\nmemory = \"64KiB\"\ndir = \"{}\"", folder.path().display()),
    );
    assert_eq!(seawall.client().get("/small").answer().text(), "small");
    fs::remove_dir_all(folder.path()).unwrap();
    a_slow_reader_is_served_or_told(&backend, &seawall);
    a_big_upload_is_refused(&backend, &seawall);
}

#[test]
fn the_spools_room_is_given_back() {
    let backend = big_or_small();
    let seawall = Seawall::with(
        &backend,
        "[spool]\nmemory = \"64KiB\"\ntotal_memory = \"1MiB\"\ntotal_disk = \"40MB\"",
    );
    for _ in 0..4 {
        let mut slow = Client::with_small_window(seawall.address);
        slow.get("/big");
        backend.wait_answered("/big");
        backend.forget();
        assert_same_bytes(&slow.answer().body, &pattern(SIZE));
    }
    for _ in 0..4 {
        assert_eq!(seawall.client().post("/upload", &pattern(SIZE)).answer().text(), "small");
    }
    assert_eq!(seawall.client().get("/small").answer().text(), "small");
}

#[test]
fn what_is_in_the_spool_is_not_to_be_found_in_its_folder() {
    let backend = big_or_small();
    let folder = tempfile::tempdir().unwrap();
    let seawall =
        Seawall::with(&backend, &format!("[spool]\ndir = \"{}\"", folder.path().display()));
    let mut slow = Client::with_small_window(seawall.address);
    slow.get("/big");
    backend.wait_answered("/big");
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0);
    assert_same_bytes(&slow.answer().body, &pattern(SIZE));
}

const BOUNDS: &str =
    "[spool]\nmemory = \"64KiB\"\ntotal_memory = \"256KiB\"\ntotal_disk = \"1MiB\"";

fn big_or_small() -> Backend {
    Backend::start(|talk| {
        talk.answer(if talk.target() == "/big" { pattern(SIZE) } else { b"small".to_vec() })
    })
}

/// Whatever is done about a full spool, the client gets all of its answer or sees that it does not.
#[track_caller]
fn a_slow_reader_is_served_or_told(backend: &Backend, seawall: &Seawall) {
    let mut slow = Client::with_small_window(seawall.address);
    slow.get("/big");
    // Others go on meanwhile.
    assert_eq!(seawall.client().get("/small").answer().text(), "small");
    match slow.outcome() {
        Ok(answer) if answer.status() == 200 => assert_same_bytes(&answer.body, &pattern(SIZE)),
        Ok(refusal) => assert!(refusal.status() >= 500, "{}", refusal.status()),
        Err(broken) => assert!(broken.body.len() < SIZE),
    }
    backend.assert_unharmed();
    assert_eq!(seawall.client().get("/small").answer().text(), "small");
}

#[track_caller]
fn a_big_upload_is_refused(backend: &Backend, seawall: &Seawall) {
    let before = backend.exchanges().len();
    let mut client = seawall.client();
    client.send(format!("POST /upload HTTP/1.1\r\nHost: a\r\nContent-Length: {SIZE}\r\n\r\n"));
    let answer = client.try_send(pattern(SIZE)).answer();
    assert!([413, 500, 503, 507].contains(&answer.status()), "{answer:?}");
    assert!(answer.head.field("proxy-status").is_some(), "{answer:?}");
    assert_eq!(backend.exchanges().len(), before);
    assert_eq!(seawall.client().get("/small").answer().text(), "small");
}

/// A disk of one megabyte that only seawall sees, and that goes with it: a mount in a namespace of
/// its own.
struct SmallDisk {
    folder: TempDir,
    unshare: &'static str,
}

impl SmallDisk {
    /// `None`, with a word about it, where neither root nor a user namespace may mount.
    fn mounted() -> Option<Self> {
        let folder = tempfile::tempdir().unwrap();
        let may_mount = |unshare: &&str| {
            let mut trial = Command::new("unshare");
            trial
                .args([*unshare, "mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs"])
                .arg(folder.path());
            trial
                .stdout(Stdio::null())
                .stderr(Stdio::null())
                .status()
                .is_ok_and(|status| status.success())
        };
        let unshare = ["-m", "-rm"].into_iter().find(may_mount);
        if unshare.is_none() {
            eprintln!("skipped: a small disk cannot be mounted here");
        }
        Some(Self { folder, unshare: unshare? })
    }

    fn seawall(&self, backend: &Backend) -> Seawall {
        let script = "mount -t tmpfs -o size=1m tmpfs \"$SPOOL_FOLDER\" && exec \"$@\"";
        let mut command = binary_under("unshare", &[self.unshare, "sh", "-c", script, "sh"]);
        command.env("SPOOL_FOLDER", self.folder.path());
        let toml = format!(
            "listen = \"127.0.0.1:0\"\nbackend = \"{}\"\n[spool]\nmemory = \"64KiB\"\ndir = \"{}\"\n",
            backend.url(),
            self.folder.path().display(),
        );
        Seawall::start_as(&mut command, &toml)
    }
}
