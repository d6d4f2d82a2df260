//! `seawall top`: what runs, seen from a terminal.

use std::process::Command;

use crate::harness::command::{Said, binary, run_to_end};
use crate::harness::terminal::Terminal;
use crate::harness::{Backend, Client, Leave, Seawall, Site, until};

const ON: &str = "max_concurrency = 1\n[admin]\nlisten = \"127.0.0.1:0\"\n";

#[test]
fn the_screen_shows_what_runs_and_an_operator_ends_what_he_selects() {
    let backend = Backend::held();
    let seawall = Seawall::with(&backend, ON);
    let running = ask(&seawall, "/running");
    backend.wait_held("/running", 1);
    let mut queued = ask(&seawall, "/queued");
    let mut terminal = Terminal::run(&top(&seawall));
    let shown = terminal.wait_until("both", |text| {
        let line = |path: &str| text.lines().any(|line| line.contains(path));
        line("/running") && line("/queued")
    });
    assert!(
        shown.contains("2 connections, 2 exchanges run; 0 were finished for nobody"),
        "{shown}"
    );
    let line = |path: &str| shown.lines().find(|line| line.contains(path)).unwrap();
    assert!(line("/running").contains("waiting"), "{shown}");
    assert!(line("/queued").contains("queued"), "{shown}");
    let house = line("default");
    assert!(house.contains("up") && house.contains("██████████ 1/1"), "{shown}");
    assert!(house.contains("█░░░░░░░░░ 1/1024"), "{shown}");

    seawall.leave(running, Leave::Reset);
    let shown = terminal.wait_for("waiting *");
    assert!(shown.contains("1 of them without a client"), "{shown}");

    // The second one; first asked in vain, then in earnest.
    terminal.press("\x1b[B\x1b[Be");
    terminal.wait_for("end this exchange: GET /queued? y/n");
    terminal.press("n");
    terminal.wait_for("q quit");
    terminal.press("e");
    terminal.wait_for("end this exchange: GET /queued? y/n");
    terminal.press("y");
    assert_eq!(queued.answer().status(), 504);
    assert_eq!(seawall.line_of("/queued")["reason"], "ended by an operator");
    terminal.wait_until("one is left", |text| !text.contains("/queued"));

    terminal.press("q");
    assert_eq!(terminal.wait_exit(), Some(0));
    assert!(terminal.is_as_before());
    backend.release("/running");
}

#[test]
fn rows_can_be_filtered_and_sorted() {
    let backend = Backend::held();
    let seawall = Seawall::with(&backend, ON);
    let clients = ["/c", "/a", "/b"].map(|path| ask(&seawall, path));
    let mut terminal = Terminal::run(&top(&seawall));
    let order = |text: &str| {
        let lines = text.lines().filter_map(|line| line.split_once("GET"));
        lines.filter_map(|(_, rest)| rest.split_whitespace().next().map(str::to_owned)).collect()
    };
    let shows = |terminal: &Terminal, paths: &[&str]| {
        let what = format!("{paths:?}");
        terminal.wait_until(&what, |text| {
            let shown: Vec<String> = order(text);
            shown == paths
        });
    };
    shows(&terminal, &["/c", "/a", "/b"]);
    terminal.press("sss");
    terminal.wait_for("sort (path)");
    shows(&terminal, &["/a", "/b", "/c"]);
    terminal.press("/B\r");
    terminal.wait_for("filter (B)");
    shows(&terminal, &["/b"]);
    terminal.press("/\x7f\x1b");
    shows(&terminal, &["/a", "/b", "/c"]);
    // Ctrl-C ends it too.
    terminal.press("\x03");
    assert_eq!(terminal.wait_exit(), Some(0));
    drop(clients);
}

#[test]
fn it_waits_for_a_seawall_that_restarts() {
    let backend = Backend::held();
    let site = Site::new();
    let admin = format!("[admin]\nlisten = \"{}\"\n", site.address);
    let first = Seawall::with(&backend, &admin);
    let terminal = Terminal::run(&top(&first));
    terminal.wait_for("0 exchanges run");
    drop(first);
    terminal.wait_for("trying again");
    let again = Seawall::with(&backend, &admin);
    let _client = ask(&again, "/after");
    terminal.wait_for("/after");
    terminal.wait_for("1 exchange runs");
}

#[test]
fn one_look_is_text_for_scripts() {
    let backend = Backend::held();
    let seawall = Seawall::with(&backend, ON);
    let running = ask(&seawall, "/running");
    backend.wait_held("/running", 1);
    seawall.leave(running, Leave::Reset);
    let said = until("it is an orphan", || {
        let said = once(&seawall, &[]);
        said.out.contains("waiting *").then_some(said)
    });
    assert_eq!((said.code, said.err.as_str()), (Some(0), ""));
    let lines: Vec<_> = said.out.lines().collect();
    assert!(
        lines[0].contains("0 connections, 1 exchange runs, 1 of them without a client"),
        "{lines:?}"
    );
    assert!(lines[2].starts_with("backend  condition  slots  queue"), "{lines:?}");
    assert!(lines[3].starts_with("default  up         1/1    0/1024"), "{lines:?}");
    assert!(lines[6].ends_with("GET     /running"), "{lines:?}");
    assert!(!said.out.contains('\x1b'));
}

#[test]
fn the_token_is_shown_from_the_option_or_the_environment() {
    let backend = Backend::held();
    let seawall =
        Seawall::with(&backend, "[admin]\nlisten = \"127.0.0.1:0\"\ntoken = \"s3cret\"\n");
    let without = once(&seawall, &[]);
    assert_eq!(without.code, Some(1));
    assert!(without.err.contains("a token is needed: give admin.token by --token"), "{without:?}");
    assert_eq!(once(&seawall, &["--token", "s3cret"]).code, Some(0));
    assert_eq!(once(&seawall, &["--token", "wrong"]).code, Some(1));
    let by_variable = run_to_end(None, |command| {
        command.env("SEAWALL_ADMIN__TOKEN", "s3cret").args(["top", "--once", "--admin"]);
        command.arg(seawall.admin().to_string())
    });
    assert_eq!(by_variable.code, Some(0), "{by_variable:?}");
}

#[test]
fn where_there_is_no_terminal_or_nobody_to_ask_it_says_so() {
    let backend = Backend::held();
    let seawall = Seawall::with(&backend, ON);
    let said = run_to_end(None, |command| {
        command.args(["top", "--admin"]).arg(seawall.admin().to_string())
    });
    assert_eq!(said.code, Some(1));
    assert!(said.err.contains("top needs a terminal; --once prints one look as text"), "{said:?}");
    let nobody = Site::new();
    let said =
        run_to_end(None, |command| command.args(["top", "--once", "--admin"]).arg(nobody.url()));
    assert_eq!(said.code, Some(1));
    assert!(said.err.contains("cannot connect: Connection refused"), "{said:?}");
}

fn top(seawall: &Seawall) -> Command {
    let mut command = binary();
    command.args(["top", "--admin"]).arg(format!("http://{}", seawall.admin()));
    command
}

fn once(seawall: &Seawall, arguments: &[&str]) -> Said {
    run_to_end(None, |command| {
        command.args(["top", "--once", "--admin"]).arg(seawall.admin().to_string()).args(arguments)
    })
}

fn ask(seawall: &Seawall, path: &str) -> Client {
    let mut client = seawall.client();
    client.get(path);
    seawall.settle();
    client
}
