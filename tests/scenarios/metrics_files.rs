//! What Prometheus and Grafana are given: promtool finds no fault with it, and it asks for nothing that
//! is not there.

use std::collections::BTreeSet;
use std::fs;
use std::io::Write as _;
use std::path::Path;
use std::process::{Command, Stdio};

use serde_json::Value;

use crate::harness::{Backend, Seawall};

const DASHBOARD: &str = include_str!("../../docker/grafana/seawall.json");
const ALERTS: &str = include_str!("../../docker/prometheus/alerts.yml");

#[test]
fn promtool_finds_no_fault_with_the_metrics() {
    let seawall = seawall();
    // A refusal, so that every family has a sample.
    seawall.settle();
    let text = seawall.metrics().text;
    let said = promtool(&["check", "metrics"], &text);
    assert_eq!(said, "", "{text}");
    let wrong = text.replace("seawall_joins_total", "seawall_joins");
    assert_ne!(promtool(&["check", "metrics"], &wrong), "", "promtool looks at nothing");
}

#[test]
fn promtool_finds_no_fault_with_the_alerts_and_they_ask_for_what_is_there() {
    let folder = tempfile::tempdir().unwrap();
    check_rules(folder.path(), ALERTS);
    let known = known();
    let expressions = ALERTS.split("expr:").skip(1).map(|rest| rest.split("for:").next().unwrap());
    let named = expressions.flat_map(names).collect::<BTreeSet<_>>();
    assert!(named.len() > 8, "{named:?}");
    assert_eq!(named.difference(&known).collect::<Vec<_>>(), Vec::<&String>::new());
}

#[test]
fn the_dashboard_asks_for_what_is_there_in_proper_words() {
    let dashboard: Value = serde_json::from_str(DASHBOARD).unwrap();
    let expressions = expressions(&dashboard);
    let known = known();
    let named = expressions.iter().flat_map(|one| names(one)).collect::<BTreeSet<_>>();
    assert!(named.len() > 25, "{named:?}");
    assert_eq!(named.difference(&known).collect::<Vec<_>>(), Vec::<&String>::new());

    let folder = tempfile::tempdir().unwrap();
    let rules = expressions.iter().enumerate().map(|(number, one)| {
        let one = one.replace("$__rate_interval", "5m").replace("$__range", "1h");
        format!("  - record: panel:{number}\n    expr: {}\n", serde_json::to_string(&one).unwrap())
    });
    let rules = rules.collect::<String>();
    check_rules(folder.path(), &format!("groups:\n- name: panels\n  rules:\n{rules}"));
}

#[test]
fn the_dashboard_is_one_that_grafana_loads() {
    let dashboard: Value = serde_json::from_str(DASHBOARD).unwrap();
    assert!(dashboard["title"] == "seawall" && dashboard["uid"] == "seawall");
    assert!(dashboard["schemaVersion"].as_u64().unwrap() >= 36);
    // By file, it is loaded as it is: with no `__inputs` to be asked for.
    assert!(dashboard.get("__inputs").is_none() && dashboard["id"].is_null());
    let variables = dashboard["templating"]["list"].as_array().unwrap();
    let variables: Vec<_> = variables.iter().map(|one| one["name"].as_str().unwrap()).collect();
    assert_eq!(variables, ["datasource", "instance", "backend"]);
    let panels = dashboard["panels"].as_array().unwrap();
    let mut cells = BTreeSet::new();
    let mut ids = BTreeSet::new();
    for panel in panels {
        assert!(ids.insert(panel["id"].as_u64().unwrap()), "{panel}");
        assert_eq!(panel["datasource"]["uid"], "${datasource}", "{panel}");
        let at = |key: &str| panel["gridPos"][key].as_u64().unwrap();
        assert!(at("x") + at("w") <= 24, "{panel}");
        for x in at("x")..at("x") + at("w") {
            for y in at("y")..at("y") + at("h") {
                assert!(cells.insert((x, y)), "it lies over another: {panel}");
            }
        }
        for target in panel["targets"].as_array().unwrap() {
            assert!(target["refId"].is_string() && target["expr"].is_string(), "{panel}");
        }
    }
}

fn seawall() -> Seawall {
    let backend = Backend::start(|talk| talk.answer("well"));
    Seawall::with(&backend, "[admin]\nlisten = \"127.0.0.1:0\"\n")
}

/// The names that a query can ask for.
fn known() -> BTreeSet<String> {
    let families = seawall().metrics().families;
    let names = families.into_iter().flat_map(|(name, family)| {
        let parts = ["_bucket", "_sum", "_count"].map(|part| format!("{name}{part}"));
        if family.kind == "histogram" { parts.to_vec() } else { vec![name] }
    });
    names.collect()
}

fn expressions(value: &Value) -> Vec<String> {
    match value {
        Value::Object(object) => object
            .iter()
            .flat_map(|(key, value)| match (key.as_str(), value) {
                ("expr", Value::String(text)) => vec![text.clone()],
                ("definition", Value::String(text)) => {
                    let name = text.trim_start_matches("label_values(").split(',').next();
                    vec![name.unwrap().to_owned()]
                }
                _ => expressions(value),
            })
            .collect(),
        Value::Array(items) => items.iter().flat_map(expressions).collect(),
        _ => Vec::new(),
    }
}

/// The metrics of ours and of the process that an expression names.
fn names(expression: &str) -> Vec<String> {
    let words = expression.split(|char: char| !char.is_ascii_alphanumeric() && char != '_');
    let ours = words.filter(|word| word.starts_with("seawall_") || word.starts_with("process_"));
    ours.map(str::to_owned).collect()
}

#[track_caller]
fn check_rules(folder: &Path, rules: &str) {
    let file = folder.join("rules.yml");
    fs::write(&file, rules).unwrap();
    let said = promtool(&["check", "rules", file.to_str().unwrap()], "");
    assert_eq!(said, "", "{rules}");
}

/// What it complains of.
fn promtool(arguments: &[&str], input: &str) -> String {
    let mut promtool = Command::new("promtool")
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("promtool is needed: it is in Debian's package prometheus");
    promtool.stdin.take().unwrap().write_all(input.as_bytes()).unwrap();
    let output = promtool.wait_with_output().unwrap();
    match output.status.success() {
        true => String::new(),
        false => String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned(),
    }
}
