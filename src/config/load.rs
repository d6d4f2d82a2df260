//! From the layers to a [`Config`], or to every mistake in them.

use std::{
    collections::BTreeMap,
    fmt, fs,
    io::{self, Read as _},
    path::{Path, PathBuf},
};

use serde::Deserialize;

use super::{
    Admin, AdminListen, Config,
    file::File,
    layers::{Node, Origin, Value},
    mending::{Mended, Mending},
    mistake::Mistake,
    otel,
    rows::{Change, changes, rows},
};

/// A configuration in force, and what `seawall check` prints of it.
#[derive(Debug, Clone)]
pub struct Loaded {
    /// What the program works with.
    pub config: Config,
    tree: Node,
}

/// Where a configuration comes from: it can be read again and again.
#[derive(Debug, Default, Clone)]
pub struct Source {
    /// None: defaults and overrides are all there is.
    pub file: Option<PathBuf>,
    /// Over the file, each time.
    pub overrides: Overrides,
}

/// What stands above the file.
#[derive(Debug, Default, Clone)]
pub struct Overrides {
    /// `--listen`.
    pub listen: Option<String>,
    /// `--backend`.
    pub backend: Option<String>,
    /// Where the command behind `--` listens.
    pub child: Option<String>,
    /// `SEAWALL_*`, name and value.
    pub environment: Vec<(String, String)>,
    /// `OTEL_*`, name and value.
    pub otel: Vec<(String, String)>,
}

/// Everything that is wrong with a configuration.
#[derive(Debug, thiserror::Error)]
pub struct Mistakes(pub Vec<Mistake>);

/// Reads the file (if any) and lays the overrides over it.
///
/// # Errors
/// Every mistake, with file and line, variable or option, and the nearest known key.
pub fn load(file: Option<&Path>, overrides: &Overrides) -> Result<Loaded, Mistakes> {
    let file = file.map(read).transpose().map_err(|mistake| Mistakes(vec![mistake]))?;
    assemble(file, overrides)
}

fn assemble(file: Option<Node>, overrides: &Overrides) -> Result<Loaded, Mistakes> {
    let mut mistakes = Vec::new();
    let mut user = Node::table(Origin::Default);
    if let Some(node) = file {
        user.lay_over(node);
    }
    for (name, value) in &overrides.environment {
        match from_variable(name, value) {
            Ok(node) => lay_over(&mut user, node),
            Err(mistake) => mistakes.push(mistake),
        }
    }
    for (option, key, inner, value) in [
        ("--listen", "listen", "address", &overrides.listen),
        ("--backend", "backend", "url", &overrides.backend),
        ("-- command", "backend", "url", &overrides.child),
    ] {
        if let Some(text) = value {
            let origin = Origin::CommandLine(option);
            let leaf = Node { origin: origin.clone(), value: Value::Scalar(text.clone().into()) };
            let mut table = Node::table(origin.clone());
            table.entries().insert(inner.into(), leaf);
            let mut root = Node::table(origin);
            root.entries().insert(key.into(), table);
            normalise(&mut user);
            lay_over(&mut user, root);
        }
    }
    let defaults = defaults();
    let mut tree = under(&defaults, user);
    otel::fill(&mut tree, &overrides.otel);
    read_tree(tree, &defaults, mistakes)
}

impl Source {
    /// Reads the file (if any) and lays the overrides over it.
    ///
    /// # Errors
    /// As [`load`].
    pub fn load(&self) -> Result<Loaded, Mistakes> {
        load(self.file.as_deref(), &self.overrides)
    }

    /// Where the admin pages are of a seawall that runs. If there are mistakes elsewhere, it has refused the
    /// file and goes on: whoever asks how it is must not take it for dead.
    ///
    /// # Errors
    /// As [`load`].
    pub fn admin(&self) -> Result<Admin, Mistakes> {
        let mistakes = match self.load() {
            Ok(loaded) => return Ok(loaded.config.admin),
            Err(mistakes) => mistakes,
        };
        let mut file = self.file.as_deref().and_then(|path| read(path).ok());
        if let Some(node) = &mut file {
            node.entries().retain(|table, _| table == "admin");
        }
        let mut overrides = self.overrides.clone();
        overrides.environment.retain(|(name, _)| name.starts_with("SEAWALL_ADMIN__"));
        match assemble(file, &overrides) {
            Ok(loaded) if loaded.config.admin.listen != AdminListen::Auto => {
                Ok(loaded.config.admin)
            }
            // Nothing that could be read says where.
            _ => Err(mistakes),
        }
    }
}

impl Loaded {
    /// The keys whose values differ from those of `before`.
    #[must_use]
    pub fn changes(&self, before: &Self) -> Vec<Change> {
        changes(&before.tree, &self.tree)
    }

    /// Each key with its value and where it was written, for `seawall check`.
    #[must_use]
    pub fn explain(&self) -> String {
        let rows = rows(&self.tree);
        let rows: Vec<_> = rows
            .iter()
            .map(|row| (format!("{} = {}", row.key, row.shown()), &row.origin))
            .collect();
        let width = rows.iter().map(|(text, _)| text.len()).max().unwrap_or(0).min(60);
        let lines = rows.into_iter().map(|(text, origin)| format!("{text:width$}  # {origin}"));
        lines.collect::<Vec<_>>().join("\n") + "\n"
    }
}

impl fmt::Display for Mistakes {
    fn fmt(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, mistake) in self.0.iter().enumerate() {
            if index > 0 {
                writeln!(to)?;
            }
            write!(to, "{mistake}")?;
        }
        Ok(())
    }
}

fn read(path: &Path) -> Result<Node, Mistake> {
    let name = path.display().to_string();
    let text = text(path)
        .map_err(|error| Mistake::new(format_args!("{name}: cannot be read: {error}")))?;
    let mut node = Node::parse(&text, &|line| Origin::File { name: name.clone(), line })?;
    normalise(&mut node);
    Ok(node)
}

/// What goes on for ever must not fill the memory of a process that serves.
fn text(path: &Path) -> io::Result<String> {
    let mut text = String::new();
    fs::File::open(path)?.take(LONGEST + 1).read_to_string(&mut text)?;
    match text.len() as u64 > LONGEST {
        true => Err(io::Error::other("it is longer than 16 MiB, so it is no configuration")),
        false => Ok(text),
    }
}

/// Bytes of a file.
const LONGEST: u64 = 16 * 1024 * 1024;

/// `SEAWALL_BACKEND__MAX_CONCURRENCY=1` becomes `backend.max_concurrency = 1`.
fn from_variable(name: &str, text: &str) -> Result<Node, Mistake> {
    let origin = Origin::Environment(name.to_owned());
    let path = name.trim_start_matches("SEAWALL_").to_ascii_lowercase();
    // A value that is TOML is taken as such, everything else is the text that it is; a secret is never
    // anything else, also where it happens to be a number.
    let toml = || Node::parse(&format!("value = {text}"), &|_| origin.clone()).ok();
    let value = (path != "admin__token")
        .then(toml)
        .flatten()
        .and_then(|mut node| node.entries().remove("value"))
        .unwrap_or_else(|| Node { origin: origin.clone(), value: Value::Scalar(text.into()) });
    let mut node = value;
    for key in path.rsplit("__") {
        if key.is_empty() {
            return Err(Mistake {
                origin: Some(origin),
                ..Mistake::new("names no key; write SEAWALL_TABLE__KEY")
            });
        }
        let mut table = Node::table(origin.clone());
        table.entries().insert(key.to_owned(), node);
        node = table;
    }
    shorthand(&mut node);
    Ok(node)
}

/// The url of a backend and its servers are two ways to say the same: where one is written above the
/// other, that is what holds.
fn lay_over(user: &mut Node, upper: Node) {
    for (said, other) in [("url", "servers"), ("servers", "url")] {
        if upper.find(&["backend".to_owned(), said.to_owned()]).is_some() {
            let first = ["backend".to_owned(), "0".to_owned(), other.to_owned()];
            let only = ["backend".to_owned(), other.to_owned()];
            let _ = user.replace(&first, None) || user.replace(&only, None);
        }
    }
    user.lay_over(upper);
}

/// `listen = "…"` and `backend = "…"` are short for their tables.
fn shorthand(root: &mut Node) {
    for (key, inner) in [("listen", "address"), ("backend", "url")] {
        let Some(node) = root.entries().get_mut(key) else { continue };
        if matches!(node.value, Value::Scalar(_)) {
            let leaf = node.clone();
            node.value = Value::Table(BTreeMap::from([(inner.to_owned(), leaf)]));
        }
    }
}

/// A single table where several may stand becomes an array of one.
fn normalise(root: &mut Node) {
    shorthand(root);
    for key in ["listen", "backend", "route"] {
        let Some(node) = root.entries().get_mut(key) else { continue };
        if matches!(node.value, Value::Table(_)) {
            let only = node.clone();
            node.value = Value::Array(vec![only]);
        }
    }
}

fn defaults() -> Node {
    match Node::parse(include_str!("defaults.toml"), &|_| Origin::Default) {
        Ok(node) => node,
        Err(mistake) => unreachable!("the built-in defaults are tested: {mistake}"),
    }
}

/// The user's tree over the defaults; those of listener, backend and route lie under each.
fn under(defaults: &Node, mut user: Node) -> Node {
    normalise(&mut user);
    let mut tree = defaults.clone();
    for key in ["listen", "backend", "route"] {
        let template = tree.entries().remove(key);
        let template = template.unwrap_or_else(|| Node::table(Origin::Default));
        let written = user.entries().remove(key);
        let items = match written {
            Some(Node { value: Value::Array(items), .. }) => items
                .into_iter()
                .map(|item| {
                    let mut node =
                        Node { origin: item.origin.clone(), value: template.value.clone() };
                    node.lay_over(item);
                    node
                })
                .collect(),
            Some(other) => vec![other],
            None if key == "route" => Vec::new(),
            None => vec![template],
        };
        let node = Node { origin: Origin::Default, value: Value::Array(items) };
        tree.entries().insert(key.to_owned(), node);
    }
    tree.lay_over(user);
    tree
}

/// Reads the tree; each mistake is noted, mended, and reading begins anew, so that all mistakes are
/// found in one go.
fn read_tree(tree: Node, defaults: &Node, mut mistakes: Vec<Mistake>) -> Result<Loaded, Mistakes> {
    let mut mending = Mending::new(&tree, defaults);
    let file = loop {
        match File::deserialize(mending.tree()) {
            Ok(file) => break Some(file),
            Err(mistake) => match mending.mend(&mistake) {
                Mended::News(mistake) => mistakes.push(mistake),
                Mended::Beyond(mistake) => {
                    mistakes.push(mistake);
                    break None;
                }
            },
        }
    };
    let config = match file.map(File::into_config) {
        Some(Ok(config)) => Some(config),
        Some(Err(more)) => {
            mistakes.extend(more.into_iter().filter_map(|mistake| {
                let origin = origin_of(&tree, &mistake.path);
                mending.late(Mistake { origin, ..mistake })
            }));
            None
        }
        None => None,
    };
    match config {
        Some(config) if mistakes.is_empty() => Ok(Loaded { config, tree }),
        _ => {
            // In the order in which they are written.
            mistakes.sort_by_key(|mistake| match mistake.origin {
                Some(Origin::File { line, .. }) => line,
                _ => usize::MAX,
            });
            Err(Mistakes(mistakes))
        }
    }
}

/// Of the key itself, or of what it stands in.
fn origin_of(tree: &Node, path: &[String]) -> Option<Origin> {
    let found = (1..=path.len()).rev().find_map(|length| tree.find(&path[..length]));
    found.map(|node| node.origin.clone())
}

#[cfg(test)]
mod tests;
