//! A tree of settings in which every value knows where it comes from.
//!
//! Layers are laid over each other ([`Node::lay_over`]); the result is read by serde through
//! [`Node`]'s own `Deserializer`, so that each mistake names file and line, variable or option.

use std::{collections::BTreeMap, fmt};

use serde::de::{
    self, DeserializeSeed, Deserializer, IntoDeserializer, Visitor,
    value::{SeqDeserializer, StrDeserializer},
};
use toml::de::{DeTable, DeValue};

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

/// One thing that is wrong in the configuration.
#[derive(Debug, Clone, thiserror::Error)]
#[error("{}{}{message}", .origin.as_ref().map(|o| format!("{o}: ")).unwrap_or_default(), at(.path))]
pub struct Mistake {
    /// Where it was written, if anywhere.
    pub origin: Option<Origin>,
    /// The key, innermost last.
    pub path: Vec<String>,
    /// What is wrong, and what to do.
    pub message: String,
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
            message: error.message().to_owned(),
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

    /// Puts `instead` at `path`, or takes away what is there. False where nothing stood.
    pub(super) fn replace(&mut self, path: &[String], instead: Option<Node>) -> bool {
        let Some((last, parents)) = path.split_last() else { return false };
        let parent = parents.iter().try_fold(self, |node, segment| match &mut node.value {
            Value::Table(entries) => entries.get_mut(segment),
            Value::Array(items) => items.get_mut(segment.parse::<usize>().ok()?),
            Value::Scalar(_) => None,
        });
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

impl Mistake {
    pub(super) fn new(message: impl fmt::Display) -> Self {
        Self { origin: None, path: Vec::new(), message: message.to_string() }
    }

    /// Called on the way out of each level: the innermost origin is the one that counts.
    fn within(mut self, segment: &str, node: &Node) -> Self {
        self.origin.get_or_insert_with(|| node.origin.clone());
        self.path.insert(0, segment.to_owned());
        self
    }
}

impl de::Error for Mistake {
    fn custom<T: fmt::Display>(message: T) -> Self {
        Self::new(message)
    }

    fn invalid_type(found: de::Unexpected<'_>, expected: &dyn de::Expected) -> Self {
        let found = match found {
            de::Unexpected::Seq => "a list".to_owned(),
            de::Unexpected::Map => "a table".to_owned(),
            found => found.to_string().replace('`', ""),
        };
        let expected = match expected.to_string().as_str() {
            "i64" => "a whole number".to_owned(),
            "a boolean" => "true or false".to_owned(),
            "a string" => "text in quotes".to_owned(),
            "a sequence" => "a list, in brackets".to_owned(),
            expected => expected.to_owned(),
        };
        Self::new(format_args!("{found} does not fit here; expected {expected}"))
    }

    fn unknown_field(field: &str, expected: &'static [&'static str]) -> Self {
        Self::new(format_args!("unknown key \"{field}\"{}", nearest(field, expected)))
    }

    fn unknown_variant(variant: &str, expected: &'static [&'static str]) -> Self {
        Self::new(format_args!("unknown value \"{variant}\"{}", nearest(variant, expected)))
    }

    fn missing_field(field: &'static str) -> Self {
        Self::new(format_args!("the key \"{field}\" is missing"))
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

impl<'de> Deserializer<'de> for &Node {
    type Error = Mistake;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Mistake> {
        let read = match &self.value {
            Value::Scalar(toml::Value::String(text)) => visitor.visit_str(text),
            Value::Scalar(toml::Value::Integer(number)) => visitor.visit_i64(*number),
            Value::Scalar(toml::Value::Float(number)) => visitor.visit_f64(*number),
            Value::Scalar(toml::Value::Boolean(flag)) => visitor.visit_bool(*flag),
            Value::Scalar(other) => visitor.visit_string(other.to_string()),
            Value::Array(items) => {
                visitor.visit_seq(SeqDeserializer::new(items.iter().enumerate().map(Item)))
            }
            Value::Table(entries) => {
                visitor.visit_map(Entries { rest: entries.iter(), value: None })
            }
        };
        read.map_err(|mut mistake| {
            mistake.origin.get_or_insert_with(|| self.origin.clone());
            mistake
        })
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Mistake> {
        visitor.visit_some(self)
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(
        self,
        _name: &'static str,
        visitor: V,
    ) -> Result<V::Value, Mistake> {
        visitor.visit_newtype_struct(self)
    }

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        _name: &'static str,
        variants: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Mistake> {
        match &self.value {
            Value::Scalar(toml::Value::String(text)) => {
                visitor.visit_enum(StrDeserializer::<Mistake>::new(text))
            }
            _ => Err(Mistake::new(format_args!("expected one of {}", list(variants)))),
        }
        .map_err(|mut mistake| {
            mistake.origin.get_or_insert_with(|| self.origin.clone());
            mistake
        })
    }

    fn deserialize_struct<V: Visitor<'de>>(
        self,
        _name: &'static str,
        fields: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Mistake> {
        if let Value::Table(entries) = &self.value {
            let unknown = entries.iter().find(|(key, _)| !fields.contains(&key.as_str()));
            if let Some((key, node)) = unknown {
                let mistake = <Mistake as de::Error>::unknown_field(key, fields);
                return Err(mistake.within(key, node));
            }
        } else {
            // serde would name our struct.
            let mut mistake =
                Mistake::new(format_args!("expected a table with some of {}", list(fields)));
            mistake.origin = Some(self.origin.clone());
            return Err(mistake);
        }
        self.deserialize_any(visitor)
    }

    serde::forward_to_deserialize_any! {
        bool i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 char str string bytes byte_buf unit
        unit_struct seq tuple tuple_struct map identifier ignored_any
    }
}

/// The entries of a table, each mistake in them told its key.
struct Entries<'a> {
    rest: std::collections::btree_map::Iter<'a, String, Node>,
    value: Option<(&'a str, &'a Node)>,
}

impl<'de> de::MapAccess<'de> for Entries<'_> {
    type Error = Mistake;

    fn next_key_seed<K: DeserializeSeed<'de>>(
        &mut self,
        seed: K,
    ) -> Result<Option<K::Value>, Mistake> {
        let Some((key, node)) = self.rest.next() else { return Ok(None) };
        self.value = Some((key, node));
        seed.deserialize(StrDeserializer::<Mistake>::new(key))
            .map(Some)
            .map_err(|mistake| mistake.within(key, node))
    }

    fn next_value_seed<V: DeserializeSeed<'de>>(&mut self, seed: V) -> Result<V::Value, Mistake> {
        let (key, node) = self.value.take().ok_or_else(|| Mistake::new("value before its key"))?;
        seed.deserialize(node).map_err(|mistake| mistake.within(key, node))
    }
}

struct Item<'a>((usize, &'a Node));

impl IntoDeserializer<'_, Mistake> for Item<'_> {
    type Deserializer = Self;
    fn into_deserializer(self) -> Self {
        self
    }
}

impl<'de> Deserializer<'de> for Item<'_> {
    type Error = Mistake;
    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Mistake> {
        let Self((index, node)) = self;
        node.deserialize_any(visitor).map_err(|mistake| mistake.within(&index.to_string(), node))
    }
    fn deserialize_struct<V: Visitor<'de>>(
        self,
        name: &'static str,
        fields: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Mistake> {
        let Self((index, node)) = self;
        node.deserialize_struct(name, fields, visitor)
            .map_err(|mistake| mistake.within(&index.to_string(), node))
    }
    serde::forward_to_deserialize_any! {
        bool i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 char str string bytes byte_buf option
        unit unit_struct newtype_struct seq tuple tuple_struct map enum identifier ignored_any
    }
}

fn nearest(word: &str, known: &'static [&'static str]) -> String {
    let near = known
        .iter()
        .map(|key| (strsim::damerau_levenshtein(word, key), key))
        .filter(|(distance, key)| *distance <= 1 + key.len() / 3)
        .min();
    match near {
        Some((_, key)) => format!("; did you mean \"{key}\"?"),
        None => format!("; expected one of {}", list(known)),
    }
}

fn list(words: &[&str]) -> String {
    words.iter().map(|word| format!("\"{word}\"")).collect::<Vec<_>>().join(", ")
}

/// The path as the user writes it: `backend.queue.max: `, indices as `route[1]`.
fn at(path: &[String]) -> String {
    if path.is_empty() {
        return String::new();
    }
    let mut text = String::new();
    for segment in path {
        match segment.parse::<usize>() {
            // Tables are counted from 1 by people, and the only one needs no number.
            Ok(0) => {}
            Ok(index) => text = format!("{text}[{}]", index + 1),
            Err(_) if text.is_empty() => text.clone_from(segment),
            Err(_) => text = format!("{text}.{segment}"),
        }
    }
    text + ": "
}
