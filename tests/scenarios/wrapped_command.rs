//! The command behind `--`: how it is told its port, what becomes of its output, how it is started
//! again.

use std::io::Read as _;
use std::process::Command;
use std::time::Duration;

use serde_json::Value;

use crate::harness::command::{binary, binary_under, run_to_end};
use crate::harness::{Backend, Family, Seawall, until};

#[test]
fn it_finds_its_port_in_the_variable_and_in_its_arguments() {
    let family = Family::new();
    let seawall = wrap(&family, &[], &sh("echo port $PORT {port}; exec sleep 1000"));
    let line = seawall.wait_for_log(|line| is_line(line, "sh | port "));
    let ports: Vec<u16> =
        line.as_str().unwrap().split(' ').skip(3).map(|port| port.parse().unwrap()).collect();
    assert_eq!(ports.len(), 2);
    assert_eq!(ports[0], ports[1]);
    // Out of the range from which the system takes ports for connections of its own.
    assert!((20_000..32_000).contains(&ports[0]), "{ports:?}");
    let told = seawall.diagnostics();
    assert!(
        told.iter().any(|line| line["port"] == ports[0] && line["level"] == "INFO"),
        "{told:?}"
    );
}

#[test]
fn it_is_told_no_secret_of_ours() {
    let family = Family::new();
    let script = "echo \"told [${SEAWALL_ADMIN__TOKEN-}] [${SEAWALL_TRACE__HEADERS-}] \
                  [${SEAWALL_REPLAY__REDIS-}] [$SEAWALL_LOG__LEVEL]\"; exec sleep 1000";
    let mut command = wrapping(&[], &sh(script));
    command.env("SEAWALL_ADMIN__TOKEN", "s3cret").env("SEAWALL_LOG__LEVEL", "info");
    command.env("SEAWALL_TRACE__HEADERS", "[\"authorization=s3cret\"]");
    command.env("SEAWALL_REPLAY__REDIS", "redis://:s3cret@127.0.0.1:9");
    let seawall = Seawall::spawn(family.mark(&mut command));
    let line = seawall.wait_for_log(|line| is_line(line, "sh | told"));
    assert_eq!(line, "sh | told [] [] [] [info]");
}

#[test]
fn it_is_the_backend_over_what_the_file_says() {
    let family = Family::new();
    let folder = tempfile::tempdir().unwrap();
    let backend = Backend::start(|talk| talk.answer("served"));
    let toml = "listen = \"127.0.0.1:0\"\nbackend = \"http://127.0.0.1:1\"\n";
    std::fs::write(folder.path().join("proxy.toml"), toml).unwrap();
    let mut command = binary();
    let port = backend.port();
    command.current_dir(folder.path()).args(["run", "--port-of", &port, "--", "sleep", "1000"]);
    let seawall = Seawall::spawn(family.mark(&mut command));
    assert_eq!(seawall.client().get("/").answer().text(), "served");
}

#[test]
fn check_shows_where_it_would_listen_and_does_not_run_it() {
    let said = run_to_end(None, |command| {
        command.args(["check", "--port-of", "7000", "--", "touch", "ran"])
    });
    assert_eq!(said.code, Some(0), "{said:?}");
    let line = said.out.lines().find(|line| line.contains("url")).unwrap();
    assert!(line.contains("http://127.0.0.1:7000") && line.contains("-- command"), "{line}");
}

#[test]
fn both_of_its_streams_are_passed_on_marked_to_the_last_byte() {
    let family = Family::new();
    let script = "echo out; echo err >&2; printf 'no end'; exec sleep 1000";
    let mut seawall = wrap(&family, &[], &sh(script));
    seawall.wait_for_log(|line| is_line(line, "sh | out"));
    seawall.signal("TERM");
    assert_eq!(seawall.wait_exit(), Some(0));
    seawall.wait_for_log(|line| is_line(line, "sh | no end"));
    until("its other stream is passed on", || {
        seawall.diagnostics().iter().any(|line| line == "sh | err").then_some(())
    });
}

#[test]
fn no_line_is_lost_however_many_come_at_once() {
    let family = Family::new();
    let count = 100_000;
    let mut seawall = wrap(
        &family,
        &["--once"],
        &["seq".into(), "1000000".into(), (1_000_000 + count).to_string()],
    );
    assert_eq!(seawall.wait_exit(), Some(0));
    seawall.wait_for_log(|line| is_line(line, &format!("seq | {}", 1_000_000 + count)));
    let lines = seawall.log();
    let numbers = lines.iter().filter_map(|line| line.as_str()?.strip_prefix("seq | "));
    let numbers: Vec<usize> = numbers.map(|number| number.parse().unwrap()).collect();
    assert!(numbers.iter().copied().eq(1_000_000..=1_000_000 + count), "{}", numbers.len());
}

#[test]
fn its_last_lines_are_waited_for_where_our_output_is_read_slowly() {
    let family = Family::new();
    let mut command = wrapping(&["--once"], &["seq".into(), "50000".into()]);
    let (mut slowly, stdout) = std::io::pipe().unwrap();
    let mut seawall = family.mark(command.stdout(stdout)).spawn().unwrap();
    drop(command);
    let (mut all, mut piece) = (Vec::new(), [0; 4096]);
    while let Ok(length @ 1..) = slowly.read(&mut piece) {
        all.extend_from_slice(&piece[..length]);
        std::thread::sleep(Duration::from_millis(1));
    }
    let text = String::from_utf8(all).unwrap();
    assert_eq!(text.lines().filter(|line| line.starts_with("seq | ")).count(), 50_000);
    assert_eq!(seawall.wait().unwrap().code(), Some(0));
}

#[test]
fn it_is_not_held_up_by_who_does_not_read_our_output() {
    let family = Family::new();
    let folder = tempfile::tempdir().unwrap();
    let done = folder.path().join("done");
    let script = format!("seq 1 1000000; touch {}; exec sleep 1000", done.display());
    let mut command = binary();
    command.current_dir(folder.path()).args(["--listen", "127.0.0.1:0", "--"]).args(sh(&script));
    // Nobody reads this end, and it stays open.
    let (unread, stdout) = std::io::pipe().unwrap();
    let mut seawall = family.mark(command.stdout(stdout)).spawn().unwrap();
    until("it has written all", || done.exists().then_some(()));
    seawall.kill().unwrap();
    seawall.wait().unwrap();
    drop(unread);
}

#[test]
fn python_is_asked_not_to_keep_its_output_back_unless_the_user_has_a_wish() {
    for (wish, expected) in [(None, "1"), (Some("x"), "x")] {
        let family = Family::new();
        let mut command = wrapping(&[], &sh("echo is $PYTHONUNBUFFERED; exec sleep 1000"));
        command.env_remove("PYTHONUNBUFFERED");
        if let Some(wish) = wish {
            command.env("PYTHONUNBUFFERED", wish);
        }
        let seawall = Seawall::spawn(family.mark(&mut command));
        seawall.wait_for_log(|line| is_line(line, &format!("sh | is {expected}")));
    }
}

#[test]
fn it_has_the_limits_that_we_were_started_with() {
    let family = Family::new();
    let mut command = Command::new("sh");
    let script = format!(
        "ulimit -Sn 123; exec {} --listen 127.0.0.1:0 -- sh -c 'ulimit -Sn; exec sleep 1000'",
        env!("CARGO_BIN_EXE_seawall")
    );
    let seawall = Seawall::spawn(family.mark(command.args(["-c", &script])));
    seawall.wait_for_log(|line| is_line(line, "sh | 123"));
}

#[test]
fn it_is_started_again_when_it_dies() {
    let family = Family::new();
    let backend = Backend::start(|talk| talk.answer("served"));
    let port = backend.port();
    let seawall = wrap(&family, &["--port-of", &port], &sh("echo life; exec sleep 1000"));
    for life in 1..=4 {
        seawall.wait_for_lines(life, |line| is_line(line, "sh | life"));
        until("it sleeps", || {
            let members = family.members();
            let (pid, _) = members.iter().find(|(_, line)| line == "sleep 1000")?;
            crate::harness::kill(*pid, "KILL");
            Some(())
        });
        until("its end is told", || {
            let told = seawall.diagnostics();
            let ends = told.iter().filter(|line| line["ended"] == "SIGKILL");
            (ends.count() == life).then_some(())
        });
    }
    let told = seawall.diagnostics();
    let pauses: Vec<&str> = told.iter().filter_map(|line| line["pause"].as_str()).collect();
    assert_eq!(pauses, ["100ms", "200ms", "400ms", "800ms"]);
    // What is not out of reach is served, whatever is thought of the child.
    assert_eq!(seawall.client().get("/").answer().text(), "served");
}

#[test]
fn what_it_leaves_behind_when_it_dies_does_not_meet_its_next_life() {
    let family = Family::new();
    let script = "sleep 1234 & setsid sleep 1234 & echo life; sleep 0.2";
    let seawall = wrap(&family, &[], &sh(script));
    seawall.wait_for_lines(3, |line| is_line(line, "sh | life"));
    let sleepers = || family.members().iter().filter(|(_, line)| line == "sleep 1234").count();
    assert!(sleepers() <= 2, "{:?}", family.members());
}

#[test]
fn where_both_write_to_one_file_each_line_is_whole_and_none_is_missing() {
    const LINES: usize = 20_000;
    const REQUESTS: usize = 1000;
    let (family, folder) = (Family::new(), tempfile::tempdir().unwrap());
    let out = folder.path().join("out");
    let backend = Backend::start(|talk| talk.answer("served"));
    let mut command =
        binary_under("sh", &["-c", &format!("exec \"$@\" > '{}'", out.display()), "sh"]);
    let (port, script) = (backend.port(), format!("seq {LINES}; echo done; exec sleep 1000"));
    let ours = ["run", "--listen", "127.0.0.1:0", "--port-of", &port, "--", "sh", "-c", &script];
    let mut seawall = Seawall::spawn(family.mark(command.args(ours)));
    let mut client = seawall.client();
    for number in 0..REQUESTS {
        client.get(&format!("/{number}")).answer();
    }
    until("the command has said all", || {
        std::fs::read_to_string(&out).unwrap().contains("sh | done\n").then_some(())
    });
    seawall.signal("TERM");
    assert_eq!(seawall.wait_exit(), Some(0));
    let text = std::fs::read_to_string(&out).unwrap();
    let (theirs, ours): (Vec<_>, Vec<_>) = text.lines().partition(|line| line.starts_with("sh | "));
    let said: Vec<usize> = theirs.iter().filter_map(|line| line[5..].parse().ok()).collect();
    assert!(said.iter().copied().eq(1..=LINES), "{} lines of the command", said.len());
    let paths = ours.iter().map(|line| serde_json::from_str::<Value>(line).expect(line));
    let expected = (0..REQUESTS).map(|number| Value::from(format!("/{number}")));
    assert!(paths.map(|line| line["path"].clone()).eq(expected), "{} lines of ours", ours.len());
}

#[test]
fn a_crash_loop_is_told_by_its_last_lines() {
    let family = Family::new();
    let script = "echo first; seq 1 17; echo 'a <b> & \"c\"' >&2; exit 3";
    let seawall = wrap(&family, &[], &sh(script));
    let page = |accept: &str| {
        let answer = seawall.client().get_with("/", &format!("Accept: {accept}\r\n")).answer();
        assert_eq!(answer.status(), 502, "{answer:?}");
        answer.text()
    };
    let problem: Value = until("it counts as a crash loop", || {
        let problem: Value = serde_json::from_str(&page("application/json")).unwrap();
        problem["output"].is_array().then_some(problem)
    });
    let lines: Vec<&str> =
        problem["output"].as_array().unwrap().iter().map(|line| line.as_str().unwrap()).collect();
    assert!(lines.contains(&"a <b> & \"c\"") && lines.contains(&"17"), "{lines:?}");
    assert_eq!(lines.last(), Some(&"[exit code 3]"));
    assert_eq!(lines.len(), 20);

    let html = page("text/html");
    assert!(html.contains("<pre") && html.contains("a &lt;b&gt; &amp; "), "{html}");
    assert!(!html.contains("<b>"), "{html}");
    let text = page("text/plain");
    assert!(text.contains("a <b> & \"c\"\n") && text.contains("[exit code 3]"), "{text}");
    seawall.wait_for_log(|line| {
        line["status"] == 502
            && line["ended"] == "failed"
            && line["reason"] == "Backend keeps ending"
    });
}

#[test]
fn a_command_and_another_backend_are_a_mistake() {
    let said = run_to_end(None, |command| {
        command.args(["--backend", "http://127.0.0.1:5000", "--", "flask", "run"])
    });
    assert_eq!(said.code, Some(2), "{said:?}");
    assert!(said.err.contains("--port-of") && said.err.trim().lines().count() == 1, "{said:?}");
}

#[test]
fn what_cannot_be_dialled_is_a_mistake() {
    let said =
        run_to_end(None, |command| command.args(["--", "gunicorn", "-b", "unix:/x", "app:app"]));
    assert_eq!(said.code, Some(2), "{said:?}");
    assert!(said.err.contains("unix:/x") && said.err.trim().lines().count() == 1, "{said:?}");
}

#[test]
fn a_command_that_is_not_there_is_one_clear_line() {
    let said = run_to_end(None, |command| {
        command.args(["--listen", "127.0.0.1:0", "--", "no-such-command", "x"])
    });
    assert_eq!(said.code, Some(127), "{said:?}");
    assert_eq!(said.all().trim(), "seawall: no-such-command: command not found");
}

#[test]
fn a_command_that_cannot_be_run_is_one_clear_line() {
    let said =
        run_to_end(None, |command| command.args(["--listen", "127.0.0.1:0", "--", "/dev/null"]));
    assert_eq!(said.code, Some(126), "{said:?}");
    assert!(said.all().trim().starts_with("seawall: /dev/null: cannot be started: "), "{said:?}");
    assert_eq!(said.all().trim().lines().count(), 1, "{said:?}");
}

pub(crate) fn sh(script: &str) -> Vec<String> {
    ["sh", "-c", script].map(str::to_owned).into()
}

pub(crate) fn wrapping(options: &[&str], child: &[String]) -> Command {
    let mut command = binary();
    command.args(["--listen", "127.0.0.1:0"]).args(options).arg("--").args(child);
    command.current_dir(std::env::temp_dir());
    command
}

pub(crate) fn wrap(family: &Family, options: &[&str], child: &[String]) -> Seawall {
    Seawall::spawn(family.mark(&mut wrapping(options, child)))
}

pub(crate) fn is_line(line: &Value, begin: &str) -> bool {
    line.as_str().is_some_and(|line| line.starts_with(begin))
}
