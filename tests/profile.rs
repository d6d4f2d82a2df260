//! The compiler that a release build is made with: told what seawall is busy with, where that is known for it.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use parking_lot::{Mutex, MutexGuard};
use tempfile::TempDir;

/// A process that one test starts has what another is writing open for a moment, and what is open for that cannot be run.
static ALONE: Mutex<()> = Mutex::new(());

const HOST: &str = "x86_64-unknown-linux-gnu";

/// A house with the wrapper, a profile for release 1.2.3 and this target, and a compiler that says what it is called with.
struct House(TempDir, #[allow(dead_code, reason = "held, not read")] MutexGuard<'static, ()>);

impl House {
    fn with_compiler(release: &str, host: &str) -> Self {
        let alone = ALONE.lock();
        let folder = tempfile::Builder::new().prefix("with a space").tempdir();
        let house = Self(folder.expect("a temporary folder"), alone);
        let wrapper = Path::new(env!("CARGO_MANIFEST_DIR")).join(".cargo/profiled-rustc");
        fs::copy(wrapper, house.file("profiled-rustc")).expect("the wrapper is there");
        fs::create_dir(house.file("profile")).expect("a folder for profiles");
        fs::write(house.profile(), "").expect("a profile");
        let compiler = format!(
            "#!/bin/sh\n[ \"$*\" = -vV ] && printf 'host: {host}\\nrelease: {release}\\n' && exit\n\
             printf '%s\\n' \"$@\"\n"
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
        self.file(&format!("profile/1.2.3-{HOST}.profdata"))
    }

    /// These arguments, and those that tell a compiler of the profile.
    fn with_profile(&self, arguments: &[&str]) -> Vec<String> {
        let used = format!("-Cprofile-use={}", self.profile().display());
        let told = [used.as_str(), "-Cllvm-args=-no-pgo-warn-mismatch"];
        [arguments, &told].concat().into_iter().map(str::to_owned).collect()
    }

    /// What the compiler was called with, an argument a line.
    fn called(&self, arguments: &[&str], counts: bool) -> Vec<String> {
        let mut command = Command::new(self.file("profiled-rustc"));
        command.arg(self.file("rustc")).args(arguments).env_remove("COUNT_FOR_PROFILE");
        command.envs(counts.then_some(("COUNT_FOR_PROFILE", "1")));
        let said = command.output().expect("the wrapper runs");
        assert!(said.status.success(), "{said:?}");
        String::from_utf8(said.stdout).expect("text").lines().map(str::to_owned).collect()
    }
}

#[test]
fn cargo_calls_the_compiler_by_it() {
    let house = Path::new(env!("CARGO_MANIFEST_DIR"));
    let config =
        fs::read_to_string(house.join(".cargo/config.toml")).expect("Cargo's configuration");
    let config: toml::Table = config.parse().expect("TOML");
    let wrapper = config["build"]["rustc-wrapper"].as_str().expect("a path");
    assert_eq!(wrapper, ".cargo/profiled-rustc");
    let mode = fs::metadata(house.join(wrapper)).expect("it is there").permissions().mode();
    assert_eq!(mode & 0o111, 0o111, "without it nothing is compiled");
}

const RELEASE: [&str; 4] = ["--crate-name", "a name", "-C", "opt-level=3"];

#[test]
fn a_compiler_whose_profile_is_there_is_given_it() {
    let house = House::with_compiler("1.2.3", HOST);
    assert_eq!(house.called(&RELEASE, false), house.with_profile(&RELEASE));
}

#[test]
fn another_release_of_the_compiler_is_called_as_it_is() {
    for release in ["1.2.4", "1.2.3-nightly", "1.2"] {
        assert_eq!(House::with_compiler(release, HOST).called(&RELEASE, false), RELEASE);
    }
}

#[test]
fn who_brings_a_profile_or_counts_is_left_alone() {
    let house = House::with_compiler("1.2.3", HOST);
    for own in ["-Cprofile-use=/own", "-Cprofile-generate=/own", "-Cinstrument-coverage"] {
        let arguments = [&RELEASE[..], &[own]].concat();
        assert_eq!(house.called(&arguments, false), arguments);
        assert_eq!(house.called(&arguments, true), arguments);
    }
}

const OTHER: &str = "aarch64-unknown-linux-gnu";

#[test]
fn what_is_built_for_another_target_has_no_profile() {
    let named = |target| [&RELEASE[..], &["--target", target, "-C", "strip=symbols"]].concat();
    let house = House::with_compiler("1.2.3", HOST);
    assert_eq!(house.called(&named(OTHER), false), named(OTHER));
    assert_eq!(house.called(&named(HOST), false), house.with_profile(&named(HOST)));
}

#[test]
fn on_another_machine_the_target_alone_has_it() {
    let named = [&RELEASE[..], &["--target", HOST]].concat();
    let house = House::with_compiler("1.2.3", OTHER);
    assert_eq!(house.called(&RELEASE, false), RELEASE);
    assert_eq!(house.called(&named, false), house.with_profile(&named));
}

#[test]
fn what_is_not_built_to_be_fast_has_no_profile() {
    let house = House::with_compiler("1.2.3", HOST);
    for arguments in [
        &["--crate-name", "a"][..],
        &["-C", "opt-level=s"],
        &["-C", "opt-level=0"],
        &["--print", "cfg"],
    ] {
        assert_eq!(house.called(arguments, false), arguments);
    }
}

#[test]
fn a_build_that_counts_is_told_to() {
    let house = House::with_compiler("1.2.3", HOST);
    for arguments in [&RELEASE[..], &[&RELEASE[..], &["--target", OTHER]].concat()] {
        let told = [arguments, &["-Cprofile-generate"]].concat();
        assert_eq!(house.called(arguments, true), told);
    }
}

#[test]
fn what_the_compiler_says_of_itself_is_its_own() {
    let house = House::with_compiler("1.2.3", HOST);
    let said = [format!("host: {HOST}"), "release: 1.2.3".to_owned()];
    assert_eq!(house.called(&["-vV"], false), said);
}
