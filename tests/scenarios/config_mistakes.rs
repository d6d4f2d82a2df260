//! Mistakes in the configuration, as a user meets them: every one with its place and what was
//! meant.

use crate::harness::command::{Said, run_to_end};

const BASE: &str = "listen = \"127.0.0.1:0\"\n[[backend]]\nurl = \"http://127.0.0.1:5000\"\n";

#[test]
fn a_misspelt_key_is_named_with_its_line_and_the_nearest_known_one() {
    for (settings, line, meant) in [
        ("max_concurency = 3", 4, "max_concurrency"),
        ("idle = \"1s\"\nconect_timeout = \"1s\"", 5, "connect_timeout"),
        ("orphan = { max_durations = \"1s\" }", 4, "max_duration"),
        ("[clients]\nwait = \"1s\"", 4, "client"),
        ("[client]\n\nhead_timeot = \"1s\"", 6, "head_timeout"),
        ("[[route]]\npath = \"/\"\non_disconect = \"cancel\"", 6, "on_disconnect"),
    ] {
        let said = check(settings);
        assert_eq!(said.code, Some(2), "{said:?}");
        assert!(said.all().contains(&format!("proxy.toml:{line}")), "{settings}: {said:?}");
        assert!(said.all().contains(meant), "{settings}: {said:?}");
    }
}

#[test]
fn a_value_that_is_none_is_named_with_its_line() {
    for settings in [
        "max_concurrency = 0",
        "max_concurrency = -1",
        "max_concurrency = \"many\"",
        "idle = \"soon\"",
        "idle = 5",
        "queue = { max = 1, timeout = \"1 parsec\" }",
        "orphan = { max_bytes = \"1 shelf\" }",
        // The clock would overflow.
        "hold = { for = \"200000000000000d\" }",
    ] {
        let said = check(settings);
        assert_eq!(said.code, Some(2), "{settings}: {said:?}");
        assert!(said.all().contains("proxy.toml:4"), "{settings}: {said:?}");
    }
    for settings in [
        "[[route]]\non_disconnect = \"panic\"",
        "[[route]]\npath = \"no slash\"",
        "[client]\ntrusted_proxies = [\"10.0.0.0/99\"]",
        "[log]\nformat = \"xml\"",
        "[log]\naccess = 1",
        "[log]\naccess = \"\"",
        "[log]\nsample = 1.5",
        "[log]\nsample = \"some\"",
        "[log]\nredact = [\"\"]",
        "[runtime]\nworkers = -1",
    ] {
        let said = check(settings);
        assert_eq!(said.code, Some(2), "{settings}: {said:?}");
        assert!(said.all().contains("proxy.toml:5"), "{settings}: {said:?}");
    }
}

#[test]
fn a_level_that_is_none_is_no_name_of_a_module_that_silences_all_others() {
    for (level, meant) in [
        ("inof", "\"inof\" is no level; did you mean \"info\"?"),
        ("", "\"\" is no level; expected one of \"off\", \"error\""),
        ("info,", "\"\" is no level"),
        ("info,seawall::backend", "\"seawall::backend\" is no level"),
        ("info,seawall::backend=verbose", "\"verbose\" is no level"),
        (
            "seawall::bakend=debug",
            "\"seawall::bakend\" is no module of seawall that says anything; did you mean \"backend\"?",
        ),
        ("info,=debug", "\"\" is no module; write a pair such as \"seawall::backend=debug\""),
    ] {
        let said = check(&format!("[log]\nlevel = \"{level}\""));
        assert_eq!(said.code, Some(2), "{level}: {said:?}");
        assert!(
            said.all().contains(&format!("proxy.toml:5: log.level: {meant}")),
            "{level}: {said:?}"
        );
    }
    for level in ["WARN", "off", "info, seawall::backend::send=trace,hyper=off", "seawall=debug"] {
        let said = check(&format!("[log]\nlevel = \"{level}\""));
        assert_eq!(said.code, Some(0), "{level}: {said:?}");
    }
}

#[test]
fn no_mistake_hides_another_and_none_is_told_twice() {
    let said = check(
        "max_concurency = 3\n[client]\nbody_stall = 12\nmax_head = \"64XB\"\n\
         [[route]]\npath = \"api\"\non_disconnect = { finish_for = \"soon\" }\nmethods = [\"GET\", \"A B\", 5]\n\
         [[backend]]\nname = \"second\"\nur = \"http://127.0.0.1:5001\"\n\
         [[backend]]\nname = \"third\"\nurl = \"ftp://127.0.0.1:5002\"\n\
         [[backend]]\nname = \"fourth\"\n[spool]\nmemory = -4\n[log]\nformat = \"xml\"\nidle = \"1s\"",
    );
    let all = said.all();
    for (line, meant) in [
        (4, "did you mean \"max_concurrency\"?"),
        (6, "client.body_stall: "),
        (7, "client.max_head: "),
        (9, "route.path: \"api\" must begin with \"/\""),
        (10, "route.on_disconnect.finish_for: "),
        (11, "route.methods[3]: integer 5 does not fit here"),
        (11, "\"A B\" is no method"),
        (14, "did you mean \"url\"?"),
        (17, "backend[3].url: \"ftp://127.0.0.1:5002\" cannot be dialled"),
        (18, "backend[4]: the key \"url\" is missing"),
        (21, "spool.memory: "),
        (23, "log.format: "),
        (24, "log.idle: unknown key \"idle\" here; it belongs in [[backend]]"),
    ] {
        let place = format!("proxy.toml:{line}: ");
        let told = all.lines().filter(|told| told.contains(&place) && told.contains(meant));
        assert_eq!(told.count(), 1, "{line} {meant}: {all}");
    }
    assert_eq!(all.trim().lines().count(), 13, "{all}");
}

#[test]
fn the_short_form_beside_the_long_one_is_explained() {
    let toml = "listen = \"127.0.0.1:0\"\nbackend = \"http://127.0.0.1:5000\"\n[backend]\nmax_concurrency = 1\n";
    let said = run_to_end(Some(toml), |command| command.arg("check"));
    assert_eq!(said.code, Some(2));
    let told = said.all();
    assert!(told.contains("proxy.toml:3: \"backend\" is written twice; "), "{told}");
    assert!(told.contains("write url = "), "{told}");
}

#[test]
fn all_mistakes_are_told_at_once() {
    let said = check("max_concurency = 3\nidel = \"1s\"\n[client]\nwiat = \"1s\"");
    assert_eq!(said.code, Some(2));
    for (line, meant) in [(4, "max_concurrency"), (5, "idle"), (7, "wait")] {
        assert!(
            said.all().contains(&format!("proxy.toml:{line}")) && said.all().contains(meant),
            "{said:?}"
        );
    }
}

#[test]
fn a_file_that_is_no_toml_is_named_with_its_line() {
    let said = check("max_concurrency = \n");
    assert_eq!(said.code, Some(2));
    assert!(said.all().contains("proxy.toml:4"), "{said:?}");
}

#[test]
fn what_is_missing_is_named() {
    for (toml, missing) in [
        ("listen = \"127.0.0.1:0\"", "backend"),
        ("listen = \"127.0.0.1:0\"\n[[backend]]\nmax_concurrency = 1", "backend"),
    ] {
        let said = run_to_end(Some(toml), |command| command.arg("check"));
        assert_eq!(said.code, Some(2), "{said:?}");
        assert!(said.all().contains(missing), "{toml}: {said:?}");
    }
}

#[test]
fn addresses_that_are_none_are_named() {
    for toml in [
        "listen = \"nowhere\"\nbackend = \"http://127.0.0.1:5000\"",
        "listen = \"127.0.0.1:99999\"\nbackend = \"http://127.0.0.1:5000\"",
        "listen = \"127.0.0.1:0\"\n\nbackend = \"127.0.0.1 5000\"",
        "listen = \"127.0.0.1:0\"\n\nbackend = \"ftp://127.0.0.1:5000\"",
    ] {
        let said = run_to_end(Some(toml), |command| command.arg("check"));
        assert_eq!(said.code, Some(2), "{toml}: {said:?}");
        let line = if toml.starts_with("listen = \"127.0.0.1:0\"") { 3 } else { 1 };
        assert!(said.all().contains(&format!("proxy.toml:{line}")), "{toml}: {said:?}");
    }
}

#[test]
fn a_run_with_mistakes_says_the_same_and_does_not_start() {
    let said = run_to_end(Some(&format!("{BASE}max_concurency = 3")), |command| command);
    assert_eq!(said.code, Some(2));
    assert!(
        said.all().contains("proxy.toml:4") && said.all().contains("max_concurrency"),
        "{said:?}"
    );
}

#[test]
fn a_file_that_is_not_there_is_one_clear_line() {
    for arguments in [&["check"][..], &[], &["--config", "other.toml"]] {
        let said = run_to_end(None, |command| command.args(arguments));
        assert_eq!(said.code, Some(2), "{said:?}");
        let file = if arguments.len() > 1 { "other.toml" } else { "proxy.toml" };
        assert!(said.all().contains(file), "{said:?}");
        assert!(!said.all().contains("panicked"), "{said:?}");
    }
}

#[test]
fn a_mistake_in_the_environment_names_the_variable() {
    for (name, value) in
        [("SEAWALL_BACKEND__MAX_CONCURRENCY", "many"), ("SEAWALL_CLIENT__WIAT", "1s")]
    {
        let said = run_to_end(Some(BASE), |command| command.arg("check").env(name, value));
        assert_eq!(said.code, Some(2), "{said:?}");
        assert!(said.all().contains(name), "{said:?}");
    }
}

#[test]
fn an_unknown_argument_is_a_mistake_of_usage() {
    for argument in ["--lisen", "chekc"] {
        let said = run_to_end(Some(BASE), |command| command.arg(argument));
        assert_eq!(said.code, Some(2), "{said:?}");
        assert!(said.all().contains(argument), "{said:?}");
    }
}

#[test]
fn what_is_in_order_is_printed_with_where_each_value_comes_from() {
    let said = run_to_end(Some(&format!("{BASE}max_concurrency = 7")), |command| {
        command.arg("check").env("SEAWALL_CLIENT__WAIT", "9s")
    });
    assert_eq!(said.code, Some(0), "{said:?}");
    let line = |key: &str| {
        said.out
            .lines()
            .find(|line| line.contains(key))
            .unwrap_or_else(|| panic!("{key}: {said:?}"))
    };
    assert!(
        line("max_concurrency").contains('7') && line("max_concurrency").contains("proxy.toml:4"),
        "{said:?}"
    );
    assert!(said.out.contains("SEAWALL_CLIENT__WAIT"), "{said:?}");
    assert!(line("connect_timeout").contains("default"), "{said:?}");
}

fn check(settings: &str) -> Said {
    run_to_end(Some(&format!("{BASE}{settings}")), |command| command.arg("check"))
}
