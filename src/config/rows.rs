//! A tree of settings as rows, a key each: for people to see, and to be compared.

use std::collections::BTreeMap;

use super::{
    layers::{Node, Origin, Value},
    redis_url,
};

/// In which secrets may come, which are for us and for no child.
pub(crate) const SECRET_VARIABLES: [&str; 3] =
    ["SEAWALL_ADMIN__TOKEN", "SEAWALL_REPLAY__REDIS", "SEAWALL_TRACE__HEADERS"];

/// One key.
#[derive(Debug)]
pub(super) struct Row {
    /// As it is written, such as `backend[1].queue.max`.
    pub key: String,
    value: String,
    /// What is shown of fields.
    names: Option<String>,
    pub origin: Origin,
}

/// A key whose value is another than before. What is secret is not shown.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Change {
    /// Such as `backend[1].queue.max`.
    pub key: String,
    /// What it was; `None` where there was no such key.
    pub from: Option<String>,
    /// What it is; `None` where there is no such key any more.
    pub to: Option<String>,
}

/// Every key of it.
pub(super) fn rows(tree: &Node) -> Vec<Row> {
    let mut rows = Vec::new();
    add(tree, "", &mut rows);
    rows
}

/// The keys whose values differ.
pub(super) fn changes(before: &Node, after: &Node) -> Vec<Change> {
    let mut former: BTreeMap<String, Row> =
        rows(before).into_iter().map(|row| (row.key.clone(), row)).collect();
    let mut found = Vec::new();
    for row in rows(after) {
        let from = former.remove(&row.key);
        if from.as_ref().is_none_or(|from| from.value != row.value) {
            let from = from.map(|from| from.shown());
            found.push(Change { from, to: Some(row.shown()), key: row.key });
        }
    }
    let gone =
        former.into_values().map(|row| Change { from: Some(row.shown()), to: None, key: row.key });
    found.extend(gone);
    found
}

impl Row {
    /// Its value for people to see.
    pub(super) fn shown(&self) -> String {
        if let Some(names) = &self.names {
            return names.clone();
        }
        match self.key.as_str() {
            "replay.redis" => redis_url::masked(&self.value),
            "admin.token" if self.value != "\"\"" => "\"***\"".to_owned(),
            _ => self.value.clone(),
        }
    }
}

/// Of a list of fields, their names alone.
fn names(fields: &[Node]) -> String {
    let name = |field: &Node| match &field.value {
        Value::Scalar(toml::Value::String(text)) => {
            format!("\"{}=***\"", text.split('=').next().unwrap_or_default())
        }
        _ => String::new(),
    };
    format!("[{}]", fields.iter().map(name).collect::<Vec<_>>().join(", "))
}

fn add(node: &Node, key: &str, rows: &mut Vec<Row>) {
    let row = |value: String| Row {
        key: key.to_owned(),
        value,
        names: None,
        origin: node.origin.clone(),
    };
    match &node.value {
        Value::Scalar(value) => rows.push(row(value.to_string())),
        Value::Array(items) if items.iter().all(|item| matches!(item.value, Value::Scalar(_))) => {
            let texts: Vec<String> = items
                .iter()
                .map(|item| match &item.value {
                    Value::Scalar(value) => value.to_string(),
                    _ => String::new(),
                })
                .collect();
            let names = (key == "trace.headers").then(|| names(items));
            rows.push(Row { names, ..row(format!("[{}]", texts.join(", "))) });
        }
        Value::Array(items) => {
            for (index, item) in items.iter().enumerate() {
                add(item, &format!("{key}[{}]", index + 1), rows);
            }
        }
        Value::Table(entries) => {
            for (inner, item) in entries {
                let path = if key.is_empty() { inner.clone() } else { format!("{key}.{inner}") };
                add(item, &path, rows);
            }
        }
    }
}
