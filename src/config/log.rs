//! The words of `[log]`: where the access log goes, which levels hold where.

use std::{fmt, path::PathBuf};

use serde::{
    Deserialize, Deserializer,
    de::{self, Visitor},
};
use tracing::level_filters::LevelFilter;

use super::mistake::nearest;

/// Where the access log goes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Access {
    /// Nowhere.
    Off,
    /// To standard output.
    Stdout,
    /// To the end of this file.
    File(PathBuf),
}

impl<'de> Deserialize<'de> for Access {
    fn deserialize<D: Deserializer<'de>>(input: D) -> Result<Self, D::Error> {
        struct Reader;
        impl Visitor<'_> for Reader {
            type Value = Access;
            fn expecting(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
                to.write_str("true, false, or a file such as \"/var/log/seawall/access.log\"")
            }
            fn visit_bool<E: de::Error>(self, wanted: bool) -> Result<Access, E> {
                Ok(if wanted { Access::Stdout } else { Access::Off })
            }
            fn visit_str<E: de::Error>(self, text: &str) -> Result<Access, E> {
                match text {
                    "" | "-" => Err(E::invalid_value(de::Unexpected::Str(text), &self)),
                    // Nobody means a file by these.
                    "off" => Ok(Access::Off),
                    "stdout" => Ok(Access::Stdout),
                    file => Ok(Access::File(file.into())),
                }
            }
        }
        input.deserialize_any(Reader)
    }
}

/// A part of the whole.
pub(super) fn part<'de, D: Deserializer<'de>>(input: D) -> Result<f64, D::Error> {
    let part = f64::deserialize(input)?;
    if (0.0..=1.0).contains(&part) {
        return Ok(part);
    }
    Err(de::Error::custom(format_args!("{part} is out of range; write a number from 0.0 to 1.0")))
}

/// Names in a query, which are looked for in lower case.
pub(super) fn names<'de, D: Deserializer<'de>>(input: D) -> Result<Vec<String>, D::Error> {
    let names = Vec::<String>::deserialize(input)?;
    match names.iter().any(String::is_empty) {
        true => {
            Err(de::Error::custom("a name is empty; write one such as \"token\", or \"*\" for all"))
        }
        false => Ok(names.iter().map(|name| name.to_lowercase()).collect()),
    }
}

/// A level, and pairs of module and level, between commas. What is none of these would be taken for
/// the name of a module, and silence all others.
pub(super) fn level<'de, D: Deserializer<'de>>(input: D) -> Result<String, D::Error> {
    let text = String::deserialize(input)?;
    let parts: Vec<&str> = text.split(',').map(str::trim).collect();
    for part in &parts {
        check_level(part).map_err(de::Error::custom)?;
    }
    Ok(parts.join(","))
}

fn check_level(part: &str) -> Result<(), String> {
    let (module, level) = match part.split_once('=') {
        Some((module, level)) => (Some(module), level),
        None => (None, part),
    };
    if level.is_empty() || level.parse::<LevelFilter>().is_err() {
        return Err(format!("\"{level}\" is no level{}", nearest(level, LEVELS)));
    }
    let Some(module) = module else { return Ok(()) };
    let mut path = module.split("::");
    match (path.next(), path.next()) {
        (Some("seawall"), Some(name)) if !MODULES.contains(&name) => Err(format!(
            "\"{module}\" is no module of seawall that says anything{}",
            nearest(name, MODULES)
        )),
        _ if module.is_empty() || !module.chars().all(is_of_path) => Err(format!(
            "\"{module}\" is no module; write a pair such as \"seawall::backend=debug\""
        )),
        _ => Ok(()),
    }
}

fn is_of_path(char: char) -> bool {
    char.is_ascii_alphanumeric() || char == '_' || char == ':'
}

const LEVELS: &[&str] = &["off", "error", "warn", "info", "debug", "trace"];

/// Those that say something.
const MODULES: &[&str] = &[
    "admin",
    "backend",
    "exchange",
    "front",
    "headers",
    "listen",
    "notify",
    "observe",
    "proxy",
    "reload",
    "replay",
    "server",
    "spool",
    "supervise",
];

#[cfg(test)]
mod tests {
    use std::{collections::BTreeSet, fs, path::Path};

    use super::*;

    #[test]
    fn the_modules_that_may_be_named_are_those_that_say_something() {
        let root = Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/src"));
        let mut folders = vec![root.to_owned()];
        let mut found = BTreeSet::new();
        while let Some(folder) = folders.pop() {
            for entry in fs::read_dir(folder).expect("a folder") {
                let path = entry.expect("an entry").path();
                if path.is_dir() {
                    folders.push(path);
                } else if says_something(&fs::read_to_string(&path).expect("a source")) {
                    let inner = path.strip_prefix(root).expect("within").with_extension("");
                    let module = inner.iter().next().expect("a name").to_string_lossy();
                    found.insert(module.into_owned());
                }
            }
        }
        let listed = MODULES.iter().map(|&name| name.to_owned()).collect();
        assert_eq!(found, listed, "extend MODULES in config/log.rs");
        for module in MODULES {
            let text = include_str!("../../proxy.toml");
            assert!(text.contains(module), "{module} is missing in proxy.toml, at log.level");
        }
    }

    fn says_something(source: &str) -> bool {
        let events = ["error!(", "warn!(", "info!(", "debug!(", "trace!("];
        events.iter().any(|event| source.contains(&format!("tracing::{event}")))
    }
}
