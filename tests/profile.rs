//! The compiler that a release build is made with: told what seawall is busy with, where that is known for it.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use parking_lot::{Mutex, MutexGuard};
use tempfile::TempDir;

/// A process that one test starts has what another is writing open for a moment, and what is open for that cannot be run.
static ALONE: Mutex<()> = Mutex::new(());

/// A house with the wrapper, a profile for release 1.2.3, and a compiler that says what it is called with.
struct House(TempDir, #[allow(dead_code, reason = "held, not read")] MutexGuard<'static, ()>);

impl House {
    fn with_compiler(release: &str) -> Self {
        let alone = ALONE.lock();
        let house = Self(tempfile::tempdir().expect("a temporary folder"), alone);
        let wrapper = Path::new(env!("CARGO_MANIFEST_DIR")).join(".cargo/profiled-rustc");
        fs::copy(wrapper, house.file("profiled-rustc")).expect("the wrapper is there");
        fs::create_dir(house.file("profile")).expect("a folder for profiles");
        fs::write(house.profile(), "").expect("a profile");
        let compiler = format!(
            "#!/bin/sh\n[ \"$1\" = --version ] && echo 'rustc {release} (0 2026-01-01)' && exit\nprintf '%s\\n' \"$@\"\n"
        );
        fs::write(house.file("rustc"), compiler).expect("a compiler");
        fs::set_permissions(house.file("rustc"), fs::Permissions::from_mode(0o755))
            .expect("to make it run");
        house
    }

    fn file(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn profile(&self) -> PathBuf {
        self.file("profile/1.2.3.profdata")
    }

    /// What the compiler was called with, an argument a line.
    fn called(&self, arguments: &[&str], into: Option<&str>) -> Vec<String> {
        let mut command = Command::new(self.file("profiled-rustc"));
        command.arg(self.file("rustc")).args(arguments).env_remove("SEAWALL_PROFILE_INTO");
        command.envs(into.map(|into| ("SEAWALL_PROFILE_INTO", into)));
        let said = command.output().expect("the wrapper runs");
        assert!(said.status.success(), "{said:?}");
        String::from_utf8(said.stdout).expect("text").lines().map(str::to_owned).collect()
    }
}

const RELEASE: [&str; 4] = ["--crate-name", "a name", "-C", "opt-level=3"];

#[test]
fn a_compiler_whose_profile_is_there_is_given_it() {
    let house = House::with_compiler("1.2.3");
    let used = format!("-Cprofile-use={}", house.profile().display());
    assert_eq!(
        house.called(&RELEASE, None),
        [&RELEASE[..], &[&used, "-Cllvm-args=-no-pgo-warn-mismatch"]].concat()
    );
}

#[test]
fn another_release_of_the_compiler_is_called_as_it_is() {
    for release in ["1.2.4", "1.2.3-nightly", "1.2"] {
        assert_eq!(House::with_compiler(release).called(&RELEASE, None), RELEASE);
    }
}

#[test]
fn what_is_not_built_to_be_fast_has_no_profile() {
    let house = House::with_compiler("1.2.3");
    for arguments in
        [&["--crate-name", "a"][..], &["-C", "opt-level=s"], &["-C", "opt-level=0"], &["-vV"]]
    {
        assert_eq!(house.called(arguments, None), arguments);
    }
}

#[test]
fn a_build_that_counts_is_told_where_to() {
    let house = House::with_compiler("1.2.3");
    assert_eq!(
        house.called(&RELEASE, Some("/counts")),
        [&RELEASE[..], &["-Cprofile-generate=/counts"]].concat()
    );
}
