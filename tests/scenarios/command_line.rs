//! seawall from its user's side: arguments, environment, a port that is taken, a folder that cannot
//! be written.

use std::net::TcpListener;

use crate::harness::command::{binary, run_to_end};
use crate::harness::{Backend, Seawall, Site};

#[test]
fn a_command_typed_without_what_goes_before_it_is_understood() {
    let said = run_to_end(None, |command| command.args(["flask", "run"]));
    assert_eq!(said.code, Some(2));
    assert!(said.err.contains("seawall -- flask run"), "{said:?}");
    let said = run_to_end(None, |command| command.arg("--lisen"));
    assert!(said.err.contains("--listen") && !said.err.contains("flask run"), "{said:?}");
}

#[test]
fn two_arguments_are_a_whole_configuration() {
    let backend = Backend::start(|talk| talk.answer("served"));
    let folder = tempfile::tempdir().unwrap();
    let mut command = binary();
    command.current_dir(folder.path()).args([
        "--listen",
        "127.0.0.1:0",
        "--backend",
        &backend.url(),
    ]);
    let seawall = Seawall::spawn(&mut command);
    assert_eq!(seawall.client().get("/").answer().text(), "served");
}

#[test]
fn run_is_what_is_done_when_nothing_is_said() {
    let backend = Backend::start(|talk| talk.answer("served"));
    let folder = tempfile::tempdir().unwrap();
    let toml = format!("listen = \"127.0.0.1:0\"\nbackend = \"{}\"\n", backend.url());
    std::fs::write(folder.path().join("proxy.toml"), toml).unwrap();
    for arguments in [&[][..], &["run"]] {
        let seawall = Seawall::spawn(binary().current_dir(folder.path()).args(arguments));
        assert_eq!(seawall.client().get("/").answer().text(), "served");
    }
}

#[test]
fn the_environment_overrules_the_file_and_the_command_line_both() {
    let wrong = Site::new();
    let backend = Backend::start(|talk| {
        talk.hold("view")?;
        talk.answer("served")
    });
    let toml = format!(
        "listen = \"127.0.0.1:0\"\n[[backend]]\nurl = \"{}\"\nmax_concurrency = 9",
        wrong.url()
    );
    let mut command = binary();
    command.env("SEAWALL_BACKEND__MAX_CONCURRENCY", "1").env("SEAWALL_BACKEND__URL", wrong.url());
    let seawall = Seawall::start_as(command.args(["--backend", &backend.url()]), &toml);
    let mut clients = [seawall.client(), seawall.client(), seawall.client()];
    for client in &mut clients {
        client.get("/");
    }
    backend.wait_held("view", 1);
    seawall.settle();
    backend.release("view");
    for client in &mut clients {
        assert_eq!(client.answer().text(), "served");
    }
    assert_eq!(backend.most_held_at_once(), 1);
}

#[test]
fn a_port_that_is_taken_is_one_clear_line() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let said = run_to_end(None, |command| {
        command.args(["--listen", &address, "--backend", "http://127.0.0.1:5000"])
    });
    assert_eq!(said.code, Some(1), "{said:?}");
    assert!(said.err.contains(&address), "{said:?}");
    assert_eq!(said.err.trim().lines().count(), 1, "{said:?}");
}

#[test]
fn a_spool_folder_that_is_not_there_is_one_clear_line() {
    let toml = "listen = \"127.0.0.1:0\"\nbackend = \"http://127.0.0.1:5000\"\n[spool]\ndir = \"/nonexistent/spool\"\n";
    let said = run_to_end(Some(toml), |command| command);
    assert!(matches!(said.code, Some(1 | 2)), "{said:?}");
    assert!(said.err.contains("/nonexistent/spool"), "{said:?}");
    assert_eq!(said.err.trim().lines().count(), 1, "{said:?}");
}

#[test]
fn whoever_listens_says_where() {
    let backend = Backend::start(|talk| talk.answer("served"));
    let seawall = Seawall::before(&backend);
    let lines = seawall.diagnostics();
    let listening = lines.iter().find(|line| line["message"] == "listening").unwrap();
    assert_eq!(listening["address"], seawall.address.to_string());
    assert_eq!(listening["level"], "INFO");
}
