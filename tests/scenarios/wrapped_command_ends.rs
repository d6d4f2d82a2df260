//! The end of the command behind `--`, and of all that came from it, whichever of us ends first.

use crate::harness::command::binary_under;
use crate::harness::{Backend, DEADLINE, Family, Seawall, kill, until};
use crate::wrapped_command::{is_line, sh, wrap, wrapping};

/// Says what it is told, and does nothing of it.
const STUBBORN: &str = "trap 'echo told INT' INT; trap 'echo told TERM' TERM; echo ready; while :; do sleep 0.01; done";
/// A child, one that left its group, one whose parent ended, one that is stopped; none listens to
/// reason.
const SPREAD: &str = "trap '' INT TERM; sleep 1000 & setsid sleep 1000 & \
    (setsid sleep 1000 & setsid sh -c 'kill -STOP $$; sleep 1000' &) ; \
    (sleep 1000 & exit); echo ready; while :; do sleep 0.01; done";

#[test]
fn it_serves_until_the_last_exchange_is_over() {
    for signal in ["TERM", "INT"] {
        let family = Family::new();
        let backend = Backend::start(|talk| {
            talk.hold("view")?;
            talk.answer("served")
        });
        let port = backend.port();
        let script = "trap 'echo told INT; exit' INT; echo ready; while :; do sleep 0.01; done";
        let mut seawall = wrap(&family, &["--port-of", &port], &sh(script));
        seawall.wait_for_log(|line| is_line(line, "sh | ready"));
        let mut client = seawall.client();
        client.get("/");
        backend.wait_held("view", 1);
        seawall.signal(signal);
        seawall.wait_not_listening();
        assert!(!seawall.log().iter().any(|line| is_line(line, "sh | told")));
        backend.release("view");
        assert_eq!(client.answer().text(), "served");
        assert_eq!(seawall.wait_exit(), Some(0));
        seawall.wait_for_log(|line| is_line(line, "sh | told INT"));
        backend.assert_unharmed();
        family.wait_gone(DEADLINE);
    }
}

#[test]
fn it_is_asked_by_sigint_then_by_sigterm_then_killed() {
    let family = Family::new();
    let mut seawall = wrap_with_grace(&family, "300ms", STUBBORN);
    seawall.signal("TERM");
    assert_eq!(seawall.wait_exit(), Some(0));
    seawall.wait_for_log(|line| is_line(line, "sh | told TERM"));
    let log = seawall.log();
    let told: Vec<&str> = log.iter().filter_map(|line| line.as_str()).collect();
    assert_eq!(told, ["sh | ready", "sh | told INT", "sh | told TERM"]);
    family.wait_gone(DEADLINE);
}

#[test]
fn a_second_signal_kills_it_at_once() {
    let family = Family::new();
    let mut seawall = wrap_with_grace(&family, "1h", STUBBORN);
    seawall.signal("INT");
    seawall.wait_for_log(|line| is_line(line, "sh | told INT"));
    seawall.signal("INT");
    seawall.wait_exit();
    family.wait_gone(DEADLINE);
}

#[test]
fn a_second_signal_during_the_drain_kills_it_at_once() {
    let family = Family::new();
    let backend = Backend::start(|talk| {
        talk.hold("view")?;
        talk.answer("served")
    });
    let port = backend.port();
    let mut command = wrapping(&["--port-of", &port], &sh(STUBBORN));
    let mut seawall = Seawall::spawn(family.mark(command.env("SEAWALL_CHILD__GRACE", "1h")));
    seawall.wait_for_log(|line| is_line(line, "sh | ready"));
    let mut client = seawall.client();
    client.get("/");
    backend.wait_held("view", 1);
    seawall.signal("INT");
    seawall.wait_not_listening();
    seawall.signal("INT");
    assert_eq!(seawall.wait_exit(), Some(3));
    family.wait_gone(DEADLINE);
}

#[test]
fn one_that_is_stopped_goes_on_to_its_end() {
    let family = Family::new();
    let script = "trap 'echo told INT; exit' INT; echo ready; kill -STOP $$";
    let mut command = wrapping(&[], &sh(script));
    let mut seawall = Seawall::spawn(family.mark(command.env("SEAWALL_CHILD__GRACE", "1h")));
    seawall.wait_for_log(|line| is_line(line, "sh | ready"));
    let pid = family.member("sh -c");
    until("it is stopped", || is_stopped(pid).then_some(()));
    seawall.signal("TERM");
    assert_eq!(seawall.wait_exit(), Some(0));
    seawall.wait_for_log(|line| is_line(line, "sh | told INT"));
    family.wait_gone(DEADLINE);
}

#[test]
fn one_that_is_stopped_outside_its_group_goes_on_to_its_end() {
    let family = Family::new();
    let script = "setsid sh -c 'trap \"echo told TERM; exit\" TERM; kill -STOP $$' & \
        echo ready; exec sleep 1000";
    let mut command = wrapping(&[], &sh(script));
    let mut seawall = Seawall::spawn(family.mark(command.env("SEAWALL_CHILD__GRACE", "1h")));
    seawall.wait_for_log(|line| is_line(line, "sh | ready"));
    until("one is stopped", || {
        family.members().iter().any(|(pid, _)| is_stopped(*pid)).then_some(())
    });
    seawall.signal("TERM");
    assert_eq!(seawall.wait_exit(), Some(0));
    seawall.wait_for_log(|line| is_line(line, "sh | told TERM"));
    family.wait_gone(DEADLINE);
}

#[test]
fn sigint_means_something_to_it_even_where_we_were_started_in_the_background() {
    let family = Family::new();
    // As shells start what has an ampersand behind it.
    let mut command = binary_under("sh", &["-c", "trap '' INT QUIT; exec \"$0\" \"$@\""]);
    command.args(["--listen", "127.0.0.1:0", "--", "sleep", "1000"]);
    let mut seawall = Seawall::spawn(family.mark(command.env("SEAWALL_CHILD__GRACE", "1h")));
    seawall.signal("TERM");
    assert_eq!(seawall.wait_exit(), Some(0));
    family.wait_gone(DEADLINE);
}

#[test]
fn nobody_of_its_family_is_left_behind() {
    let family = Family::new();
    let mut seawall = wrap_with_grace(&family, "100ms", SPREAD);
    wait_spread(&family);
    seawall.signal("TERM");
    assert_eq!(seawall.wait_exit(), Some(0));
    // Not a moment later: whoever waited for us may start anew.
    assert_eq!(family.members(), []);
}

#[test]
fn nobody_of_its_family_survives_our_death() {
    for grace in ["100ms", "1s"] {
        let family = Family::new();
        let seawall = wrap_with_grace(&family, grace, SPREAD);
        wait_spread(&family);
        seawall.signal("KILL");
        family.wait_gone(DEADLINE);
    }
}

#[test]
fn a_family_without_its_keeper_is_ended_too_and_begins_anew() {
    let family = Family::new();
    let mut seawall = wrap_with_grace(&family, "100ms", SPREAD);
    wait_spread(&family);
    let before = family.members();
    kill(family.member("keeper keeper"), "KILL");
    seawall.wait_for_lines(2, |line| is_line(line, "sh | ready"));
    let survivors: Vec<_> =
        family.members().into_iter().filter(|member| before.contains(member)).collect();
    assert_eq!(survivors.len(), 1, "more than we: {survivors:?}");
    seawall.signal("TERM");
    assert_eq!(seawall.wait_exit(), Some(0));
    assert_eq!(family.members(), []);
}

#[test]
fn who_was_there_before_us_is_left_alone() {
    let family = Family::new();
    // As the entry point of a container may do it.
    let mut command =
        binary_under("sh", &["-c", "sleep 4321 & exec \"$0\" --listen 127.0.0.1:0 -- \"$@\""]);
    command.args(sh(SPREAD)).env("SEAWALL_CHILD__GRACE", "100ms");
    let mut seawall = Seawall::spawn(family.mark(&mut command));
    wait_spread(&family);
    let stranger = family.member("sleep 4321");
    kill(family.member("keeper keeper"), "KILL");
    seawall.wait_for_lines(2, |line| is_line(line, "sh | ready"));
    seawall.signal("TERM");
    assert_eq!(seawall.wait_exit(), Some(0));
    assert_eq!(family.members(), [(stranger, "sleep 4321".to_owned())]);
}

#[test]
fn the_keeper_is_not_moved_by_signals() {
    let family = Family::new();
    let mut seawall = wrap_with_grace(&family, "100ms", STUBBORN);
    let keeper = family.member("keeper keeper");
    for signal in ["INT", "TERM", "HUP", "QUIT"] {
        kill(keeper, signal);
    }
    seawall.signal("KILL");
    seawall.wait_exit();
    family.wait_gone(DEADLINE);
}

#[test]
fn run_once_its_exit_code_is_ours() {
    for (script, code) in
        [("exit 0", 0), ("exit 3", 3), ("exit 127", 127), ("kill -KILL $$", 137), ("kill $$", 143)]
    {
        let family = Family::new();
        let mut seawall = wrap(&family, &["--once"], &sh(script));
        assert_eq!(seawall.wait_exit(), Some(code), "{script}");
        family.wait_gone(DEADLINE);
    }
}

#[test]
fn run_once_it_is_not_started_again_and_its_last_lines_are_there() {
    let family = Family::new();
    let mut seawall = wrap(&family, &["--once"], &sh("echo one; echo two >&2; exit 1"));
    assert_eq!(seawall.wait_exit(), Some(1));
    let log = until("all is written", || {
        let log = seawall.log();
        (!log.is_empty()).then_some(log)
    });
    assert_eq!(log, ["sh | one"]);
    assert!(seawall.diagnostics().iter().any(|line| line == "sh | two"));
}

#[test]
fn run_once_and_ended_by_us_the_exit_code_says_how_that_went() {
    let family = Family::new();
    let mut seawall = wrap(&family, &["--once"], &sh("echo ready; exec sleep 1000"));
    seawall.wait_for_log(|line| is_line(line, "sh | ready"));
    seawall.signal("TERM");
    assert_eq!(seawall.wait_exit(), Some(0));
    family.wait_gone(DEADLINE);
}

fn wrap_with_grace(family: &Family, grace: &str, script: &str) -> Seawall {
    let mut command = wrapping(&[], &sh(script));
    let seawall = Seawall::spawn(family.mark(command.env("SEAWALL_CHILD__GRACE", grace)));
    seawall.wait_for_log(|line| is_line(line, "sh | ready"));
    seawall
}

/// Until the stopped one is stopped, too.
fn wait_spread(family: &Family) {
    until("the family is spread", || {
        let members = family.members();
        let sleepers = members.iter().filter(|(_, line)| line == "sleep 1000").count();
        let stopped = members.iter().any(|(pid, _)| is_stopped(*pid));
        (sleepers == 4 && stopped).then_some(())
    });
}

fn is_stopped(pid: u32) -> bool {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    stat.rsplit_once(')').is_some_and(|(_, rest)| rest.starts_with(" T"))
}
