use std::{io::Write, time::Duration};

use super::*;
use crate::config::{Limit, OnDisconnect, Workers};

fn from_text(text: &str, overrides: &Overrides) -> Result<Loaded, Mistakes> {
    let mut file = tempfile::NamedTempFile::new().expect("a temporary file");
    file.write_all(text.as_bytes()).expect("written");
    load(Some(file.path()), overrides)
}

fn mistakes(text: &str) -> Vec<String> {
    let Err(Mistakes(found)) = from_text(text, &Overrides::default()) else {
        panic!("accepted: {text}")
    };
    // The name of the temporary file is of no interest.
    found
        .iter()
        .map(|mistake| {
            let text = mistake.to_string();
            match &mistake.origin {
                Some(Origin::File { name, .. }) => text.replace(name, "proxy.toml"),
                _ => text,
            }
        })
        .collect()
}

#[test]
fn two_lines_are_a_whole_file() {
    let text = "listen = \"127.0.0.1:9\"\nbackend = \"http://127.0.0.1:5000\"\n";
    let config = from_text(text, &Overrides::default()).expect("valid").config;
    assert_eq!(config.listen[0].address.to_string(), "127.0.0.1:9");
    assert_eq!(config.backends[0].url().to_string(), "http://127.0.0.1:5000/");
    assert_eq!(config.backends[0].max_concurrency, 32);
    assert_eq!(config.client.wait, Limit::Off);
    assert_eq!(config.runtime.workers, Workers::Auto);
    assert_eq!(config.routes.len(), 1);
}

#[test]
fn every_mistake_is_reported_with_its_line_and_the_nearest_key() {
    let text = "lisen = \"127.0.0.1:9\"\nbackend = \"http://127.0.0.1:5000\"\n[client]\n\
                head_timeot = \"1s\"\nbody_stall = \"soon\"\n[spool]\nmemory = -1\n";
    let found = mistakes(text);
    assert_eq!(found.len(), 4, "{found:#?}");
    assert!(found.iter().any(|line| line
        == "proxy.toml:4: client.head_timeot: unknown key \"head_timeot\"; did you mean \"head_timeout\"?"));
    assert!(found.iter().any(|line| line.starts_with("proxy.toml:1: lisen: unknown key")
        && line.contains("did you mean \"listen\"?")));
    assert!(found.iter().any(|line| line.starts_with("proxy.toml:5: client.body_stall: ")
        && line.contains("a duration such as")));
    assert!(found.iter().any(|line| line.starts_with("proxy.toml:7: spool.memory: ")));
}

#[test]
fn broken_toml_is_reported_with_its_line() {
    let found = mistakes("listen = \"127.0.0.1:9\"\nbackend = \n");
    assert_eq!(found.len(), 1);
    assert!(found[0].starts_with("proxy.toml:2: "), "{found:?}");
}

#[test]
fn a_backend_is_needed_and_the_message_says_how() {
    let found = mistakes("listen = \"127.0.0.1:9\"\n");
    assert_eq!(found.len(), 1);
    assert!(found[0].starts_with("no backend is named; write backend ="), "{found:?}");
}

#[test]
fn the_environment_lies_over_the_file_and_the_command_line_over_both() {
    let overrides = Overrides {
        listen: Some("127.0.0.1:7".into()),
        backend: None,
        child: None,
        environment: vec![
            ("SEAWALL_BACKEND__MAX_CONCURRENCY".into(), "1".into()),
            ("SEAWALL_LISTEN".into(), "127.0.0.1:8".into()),
            ("SEAWALL_CLIENT__WAIT".into(), "3s".into()),
        ],
        otel: Vec::new(),
    };
    let text = "listen = \"127.0.0.1:9\"\n[[backend]]\nurl = \"http://127.0.0.1:5000\"\n";
    let loaded = from_text(text, &overrides).expect("valid");
    assert_eq!(loaded.config.listen[0].address.to_string(), "127.0.0.1:7");
    assert_eq!(loaded.config.backends[0].max_concurrency, 1);
    assert_eq!(loaded.config.client.wait, Limit::At(Duration::from_secs(3)));
    let table = loaded.explain();
    let row = |key: &str| table.lines().find(|line| line.starts_with(key)).unwrap_or_default();
    assert!(
        row("backend[1].max_concurrency").ends_with("environment SEAWALL_BACKEND__MAX_CONCURRENCY")
    );
    assert!(row("listen[1].address").ends_with("command line --listen"));
    assert!(row("backend[1].url").contains(":3"), "{table}");
    assert!(row("client.idle").ends_with("default"));
}

#[test]
fn a_mistake_in_a_variable_names_the_variable() {
    let overrides = Overrides {
        environment: vec![("SEAWALL_BACKEND__MAX_CONCURENCY".into(), "1".into())],
        ..Overrides::default()
    };
    let text = "backend = \"http://127.0.0.1:5000\"\n";
    let Err(found) = from_text(text, &overrides) else { panic!("accepted") };
    let said = found.to_string();
    assert!(said.starts_with("environment SEAWALL_BACKEND__MAX_CONCURENCY: "), "{said}");
    assert!(said.ends_with("did you mean \"max_concurrency\"?"), "{said}");
}

#[test]
fn routes_are_sorted_longest_prefix_first_and_end_in_one_for_all() {
    let text = "backend = \"http://127.0.0.1:5000\"\n[[route]]\npath = \"/a\"\n\
                on_disconnect = \"cancel\"\n[[route]]\npath = \"/a/b\"\n\
                on_disconnect = { finish_for = \"30s\" }\n";
    let routes = from_text(text, &Overrides::default()).expect("valid").config.routes;
    let paths: Vec<&str> = routes.iter().map(|route| route.path.as_str()).collect();
    assert_eq!(paths, ["/a/b", "/a", "/"]);
    assert_eq!(routes[0].on_disconnect, Some(OnDisconnect::FinishFor(Duration::from_secs(30))));
}

#[test]
fn a_route_to_no_backend_is_a_mistake() {
    let found = mistakes("backend = \"http://127.0.0.1:5000\"\n[[route]]\nbackend = \"api\"\n");
    assert_eq!(found, ["proxy.toml:3: route.backend: no [[backend]] is called \"api\""]);
}

#[test]
fn a_backend_that_cannot_be_dialled_is_a_mistake() {
    for url in ["127.0.0.1:5000", "https://example.org", "http://h/path", "ftp://h"] {
        let found = mistakes(&format!("backend = \"{url}\"\n"));
        assert!(found[0].contains("http://127.0.0.1:5000"), "{url}: {found:?}");
    }
}

#[test]
fn the_example_file_says_the_defaults_and_says_them_all() {
    let example = concat!(env!("CARGO_MANIFEST_DIR"), "/proxy.toml");
    let values = |loaded: Loaded| -> Vec<String> {
        let table = loaded.explain();
        let value = |line: &str| line.split("  #").next().unwrap_or_default().trim_end().to_owned();
        table.lines().map(value).filter(|line| !line.starts_with("route")).collect()
    };
    let example = load(Some(example.as_ref()), &Overrides::default()).expect("valid");
    assert_eq!(example.config.routes.len(), 2);
    let defaults = from_text("backend = \"http://127.0.0.1:5000\"\n", &Overrides::default());
    assert_eq!(values(example), values(defaults.expect("valid")));
    // What is not written there is in none of the values above, so it must be in the comments.
    let text = include_str!("../../../proxy.toml");
    for line in include_str!("../defaults.toml").lines() {
        let key = line.split([' ', '=']).next().unwrap_or_default();
        assert!(text.contains(key), "{key} is missing in proxy.toml");
    }
}

#[test]
fn a_command_is_the_first_backend_whatever_is_written() {
    let overrides = Overrides { child: Some("http://127.0.0.1:9".into()), ..Overrides::default() };
    for text in ["", "backend = \"http://127.0.0.1:5000\"\n", "[backend]\nmax_concurrency = 1\n"] {
        let loaded = from_text(text, &overrides).unwrap_or_else(|found| panic!("{found}"));
        assert_eq!(loaded.config.backends[0].url().to_string(), "http://127.0.0.1:9/");
        assert!(loaded.explain().contains("# command line -- command"), "{}", loaded.explain());
    }
}

#[test]
fn servers_stand_in_the_place_of_a_url() {
    let text = "[[backend]]\nservers = [\"http://127.0.0.1:1\", \"unix:/run/a\"]\n";
    let config = from_text(text, &Overrides::default()).expect("valid").config;
    assert_eq!(config.backends[0].urls(), "http://127.0.0.1:1/, unix:/run/a");
    let over = Overrides { backend: Some("http://127.0.0.1:2".to_owned()), ..Overrides::default() };
    let config = from_text(text, &over).expect("the upper one holds").config;
    assert_eq!(config.backends[0].urls(), "http://127.0.0.1:2/");
    let variable = ("SEAWALL_BACKEND__SERVERS".to_owned(), "[\"http://127.0.0.1:3\"]".to_owned());
    let over = Overrides { environment: vec![variable], ..Overrides::default() };
    let config = from_text("backend = \"http://127.0.0.1:1\"", &over).expect("valid").config;
    assert_eq!(config.backends[0].urls(), "http://127.0.0.1:3/");
    for (servers, bad) in [
        ("url = \"http://a\"\nservers = [\"http://b\"]", "there is url as well"),
        ("servers = [\"http://a\", \"http://a\"]", "is named twice"),
        ("servers = [\"ftp://a\"]", "cannot be dialled"),
        ("servers = []", "url = \"http://127.0.0.1:5000\""),
    ] {
        let found = mistakes(&format!("[[backend]]\n{servers}"));
        assert!(found.len() == 1 && found[0].contains(bad), "{servers}: {found:?}");
    }
}
