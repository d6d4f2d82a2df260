//! `seawall health`: what a container's health check runs.

use std::net::TcpListener;
use std::time::{Duration, Instant};

use crate::harness::command::{Said, run_to_end};
use crate::harness::{Backend, Seawall, Site, until};

#[test]
fn the_exit_code_says_whether_all_is_well_and_a_line_says_why_not() {
    let site = Site::new();
    let seawall = Seawall::at(&site, "[admin]\nlisten = \"127.0.0.1:0\"\ntoken = \"s3cret\"\n");
    let admin = seawall.admin().to_string();
    let health = |arguments: &[&str]| health(None, &[&["--admin", &admin], arguments].concat());
    let said = health(&[]);
    assert_eq!((said.code, said.out.as_str(), said.err.as_str()), (Some(0), "ok\n", ""));
    let said = health(&["--ready"]);
    assert_eq!((said.code, said.out.as_str()), (Some(1), ""));
    let why = "seawall: 503 Service Unavailable: not ready: backend default: Backend refused the \
               connection\n";
    assert_eq!(said.err, why);
    let _backend = site.open(|talk| talk.answer("well"));
    let said = until("it is ready", || {
        let said = health(&["--ready"]);
        (said.code == Some(0)).then_some(said)
    });
    assert_eq!(said.out, "ready\n");
}

#[test]
fn the_place_is_that_of_the_configuration_and_its_environment() {
    let backend = Backend::start(|talk| talk.answer("well"));
    // As it may be in a container: everywhere, with a token.
    let everywhere = "[admin]\nlisten = \"0.0.0.0:0\"\ntoken = \"s3cret\"\n";
    let seawall = Seawall::with(&backend, everywhere);
    let place = format!("0.0.0.0:{}", seawall.admin().port());
    let toml = everywhere.replace("0.0.0.0:0", &place);
    assert_eq!(health(Some(&toml), &[]).code, Some(0));
    let said = run_to_end(None, |command| {
        let command = command.env("SEAWALL_ADMIN__LISTEN", &place);
        command.env("SEAWALL_ADMIN__TOKEN", "s3cret").arg("health")
    });
    assert_eq!((said.code, said.out.as_str()), (Some(0), "ok\n"), "{said:?}");
}

#[test]
fn a_file_that_a_running_seawall_refuses_does_not_make_it_ill() {
    let backend = Backend::start(|talk| talk.answer("well"));
    let seawall = Seawall::with(&backend, "[admin]\nlisten = \"127.0.0.1:0\"\n");
    let place = seawall.admin();
    let toml = format!("[admin]\nlisten = \"{place}\"\n");
    for mistake in ["[drian]\n", "[drain]\ndelay = 5\n", "[[route]]\nbackend = \"other\"\n"] {
        let said = health(Some(&format!("{toml}{mistake}")), &[]);
        assert_eq!((said.code, said.out.as_str()), (Some(0), "ok\n"), "{said:?}");
    }
    // Where nothing says where it is, there is nobody to ask.
    let said = health(Some("[drian]\n"), &[]);
    assert_eq!(said.code, Some(2));
    assert!(said.err.contains("did you mean \"drain\"?"), "{said:?}");
}

#[test]
fn who_cannot_be_asked_is_not_well() {
    let off = health(Some("[admin]\nlisten = \"off\"\n"), &[]);
    assert_eq!(off.code, Some(1));
    assert!(off.err.contains("admin.listen is \"off\""), "{off:?}");
    let chosen = health(Some("[admin]\nlisten = \"127.0.0.1:0\"\n"), &[]);
    assert_eq!(chosen.code, Some(1));
    assert!(chosen.err.contains("give it by --admin"), "{chosen:?}");
    let wrong = health(Some("[admin]\nlisen = \"off\"\n"), &[]);
    assert_eq!(wrong.code, Some(2));

    // Somebody accepts, and says nothing.
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let place = silent.local_addr().unwrap().to_string();
    let started = Instant::now();
    let said = health(None, &["--admin", &place]);
    assert_eq!(said.code, Some(1));
    assert_eq!(said.err, format!("seawall: http://{place}: no answer within 2 s\n"));
    assert!(started.elapsed() < Duration::from_secs(5), "a supervisor would have given up");
    drop(silent);
    let said = health(None, &["--admin", &place]);
    assert!(said.err.contains("cannot connect: Connection refused"), "{said:?}");
}

#[test]
fn who_answers_has_no_say_in_what_the_terminal_does() {
    let other = Backend::start(|talk| talk.answer_with("500 Oh", "", "\u{1b}[2J\u{9b}1mpwned\r\n"));
    let place = other.address.to_string();
    let said = health(None, &["--admin", &place]);
    assert_eq!(said.err, "seawall: 500 Internal Server Error: [2J1mpwned\n");
}

fn health(toml: Option<&str>, arguments: &[&str]) -> Said {
    run_to_end(toml, |command| {
        if toml.is_some() {
            command.env_remove("SEAWALL_ADMIN__LISTEN");
        }
        command.arg("health").args(arguments)
    })
}
