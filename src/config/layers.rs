//! A tree of settings in which every value knows where it comes from.
//!
//! Layers are laid over each other ([`Node::lay_over`]); the result is read by serde
//! (`reader`), so that each mistake names file and line, variable or option.

use std::{collections::BTreeMap, fmt};

use toml::de::{DeTable, DeValue};

use super::mistake::Mistake;

/// Where a value was written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Origin {
    /// Nowhere: the built-in default.
    Default,
    /// In the file, at this line.
    File {
        /// As it was given.
        name: String,
        /// From 1.
        line: usize,
    },
    /// In this environment variable.
    Environment(String),
    /// In this option of the command line.
    CommandLine(&'static str),
}

/// A value and where it was written.
#[derive(Debug, Clone)]
pub(super) struct Node {
    pub origin: Origin,
    pub value: Value,
}

#[derive(Debug, Clone)]
pub(super) enum Value {
    Scalar(toml::Value),
    Array(Vec<Node>),
    Table(BTreeMap<String, Node>),
}

impl Node {
    pub(super) fn table(origin: Origin) -> Self {
        Self { origin, value: Value::Table(BTreeMap::new()) }
    }

    /// Parses TOML text; `origin` is told the line of each value.
    pub(super) fn parse(text: &str, origin: &dyn Fn(usize) -> Origin) -> Result<Self, Mistake> {
        let line_of = |offset: usize| 1 + text[..offset].matches('\n').count();
        let table = DeTable::parse(text).map_err(|error| Mistake {
            origin: error.span().map(|span| origin(line_of(span.start))),
            path: Vec::new(),
            message: match error.span().and_then(|span| text.get(span)) {
                Some(key) if error.message() == "duplicate key" => twice(key),
                _ => error.message().to_owned(),
            },
        })?;
        let start = table.span().start;
        Ok(Self::of_table(table.into_inner(), start, &|offset| origin(line_of(offset))))
    }

    fn of_table(table: DeTable<'_>, start: usize, origin: &dyn Fn(usize) -> Origin) -> Self {
        let entries = table.into_iter().map(|(key, value)| {
            let at = key.span().start;
            (key.into_inner().into_owned(), Self::of_value(value.into_inner(), at, origin))
        });
        Self { origin: origin(start), value: Value::Table(entries.collect()) }
    }

    fn of_value(value: DeValue<'_>, start: usize, origin: &dyn Fn(usize) -> Origin) -> Self {
        let value = match value {
            DeValue::Table(table) => return Self::of_table(table, start, origin),
            DeValue::Array(items) => Value::Array(
                items
                    .into_iter()
                    .map(|item| {
                        let at = item.span().start;
                        Self::of_value(item.into_inner(), at, origin)
                    })
                    .collect(),
            ),
            DeValue::String(text) => Value::Scalar(toml::Value::String(text.into_owned())),
            DeValue::Boolean(flag) => Value::Scalar(toml::Value::Boolean(flag)),
            DeValue::Integer(number) => Value::Scalar(
                i64::from_str_radix(&number.as_str().replace('_', ""), number.radix())
                    .map_or_else(|_| toml::Value::String(number.to_string()), toml::Value::Integer),
            ),
            DeValue::Float(number) => Value::Scalar(
                number
                    .as_str()
                    .replace('_', "")
                    .parse()
                    .map_or_else(|_| toml::Value::String(number.to_string()), toml::Value::Float),
            ),
            DeValue::Datetime(date) => Value::Scalar(toml::Value::Datetime(date)),
        };
        Self { origin: origin(start), value }
    }

    /// Lays `upper` over this: tables key by key, a table over an array of tables over its first
    /// element, everything else in whole.
    pub(super) fn lay_over(&mut self, upper: Node) {
        match (&mut self.value, upper.value) {
            (Value::Table(lower), Value::Table(upper)) => {
                for (key, node) in upper {
                    match lower.get_mut(&key) {
                        Some(below) => below.lay_over(node),
                        None => drop(lower.insert(key, node)),
                    }
                }
            }
            (Value::Array(items), table @ Value::Table(_)) if !items.is_empty() => {
                items[0].lay_over(Node { origin: upper.origin, value: table });
            }
            (_, value) => *self = Node { origin: upper.origin, value },
        }
    }

    pub(super) fn entries(&mut self) -> &mut BTreeMap<String, Node> {
        if !matches!(self.value, Value::Table(_)) {
            self.value = Value::Table(BTreeMap::new());
        }
        match &mut self.value {
            Value::Table(entries) => entries,
            _ => unreachable!("made a table above"),
        }
    }

    /// The node at `path`, whose segments are keys and indices.
    pub(super) fn find(&self, path: &[String]) -> Option<&Node> {
        path.iter().try_fold(self, |node, segment| match &node.value {
            Value::Table(entries) => entries.get(segment),
            Value::Array(items) => items.get(segment.parse::<usize>().ok()?),
            Value::Scalar(_) => None,
        })
    }

    fn find_mut(&mut self, path: &[String]) -> Option<&mut Node> {
        path.iter().try_fold(self, |node, segment| match &mut node.value {
            Value::Table(entries) => entries.get_mut(segment),
            Value::Array(items) => items.get_mut(segment.parse::<usize>().ok()?),
            Value::Scalar(_) => None,
        })
    }

    /// Puts `instead` at `path`, or takes away what is there. False where nothing stood.
    pub(super) fn replace(&mut self, path: &[String], instead: Option<Node>) -> bool {
        let Some((last, parents)) = path.split_last() else { return false };
        let parent = self.find_mut(parents);
        match (parent.map(|node| &mut node.value), instead) {
            (Some(Value::Table(entries)), None) => entries.remove(last).is_some(),
            (Some(Value::Table(entries)), Some(node)) => {
                entries.insert(last.clone(), node).is_some()
            }
            (Some(Value::Array(items)), instead) => match last.parse::<usize>() {
                Ok(index) if index < items.len() => {
                    match instead {
                        Some(node) => items[index] = node,
                        None => drop(items.remove(index)),
                    }
                    true
                }
                _ => false,
            },
            _ => false,
        }
    }
}

impl fmt::Display for Origin {
    fn fmt(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Default => to.write_str("default"),
            Self::File { name, line } => write!(to, "{name}:{line}"),
            Self::Environment(name) => write!(to, "environment {name}"),
            Self::CommandLine(option) => write!(to, "command line {option}"),
        }
    }
}

/// The short form and the long one are not written side by side.
fn twice(key: &str) -> String {
    let inner = match key {
        "listen" => "address",
        "backend" => "url",
        _ => return format!("\"{key}\" is written twice"),
    };
    format!(
        "\"{key}\" is written twice; where it is a table, write {inner} = \"...\" in that, instead of \
         {key} = \"...\""
    )
}
