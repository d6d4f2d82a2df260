//! The standard variables of OpenTelemetry, where `[trace]` leaves room for them.
//!
//! They never switch tracing on by themselves: many platforms set them for everything that runs there.
//! `trace.otlp = "env"` takes the collector from them; names and headers that are left empty in the
//! file are taken from them as well.

use percent_encoding::percent_decode_str;

use super::layers::{Node, Origin, Value};

/// The word for `trace.otlp` by which they are asked.
const ENV: &str = "env";

/// Puts what the variables say in its place in the whole tree.
pub(super) fn fill(tree: &mut Node, variables: &[(String, String)]) {
    let find = |name: &'static str| {
        let mut set = variables.iter().filter(|(own, value)| own == name && !value.is_empty());
        set.next().map(|(_, value)| (name, value.as_str()))
    };
    let Some(trace) = tree.entries().get_mut("trace") else { return };
    let Value::Table(keys) = &mut trace.value else { return };
    if let Some(otlp) = keys.get_mut("otlp").filter(|node| is_text(node, ENV)) {
        let off = find("OTEL_SDK_DISABLED").is_some_and(|(_, is)| is.eq_ignore_ascii_case("true"));
        let base = || find("OTEL_EXPORTER_OTLP_ENDPOINT");
        let found = find("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT").or_else(base);
        match found.filter(|_| !off) {
            Some((name, url)) => *otlp = text(url.trim().to_owned(), name),
            None => otlp.value = Value::Scalar(String::new().into()),
        }
    }
    if let Some(name) = keys.get_mut("service_name").filter(|node| is_text(node, ""))
        && let Some((variable, value)) = find("OTEL_SERVICE_NAME")
    {
        *name = text(value.to_owned(), variable);
    }
    for (key, variables) in [
        ("headers", &["OTEL_EXPORTER_OTLP_TRACES_HEADERS", "OTEL_EXPORTER_OTLP_HEADERS"][..]),
        ("resource", &["OTEL_RESOURCE_ATTRIBUTES"]),
    ] {
        if let Some(list) = keys.get_mut(key).filter(|node| is_empty(node))
            && let Some((variable, value)) = variables.iter().find_map(|name| find(name))
        {
            *list = pairs(value, variable);
        }
    }
}

/// `name=value,name=value`, percent-encoded.
fn pairs(value: &str, variable: &str) -> Node {
    let items = value.split(',').filter(|pair| !pair.trim().is_empty());
    let items = items
        .map(|pair| text(percent_decode_str(pair).decode_utf8_lossy().into_owned(), variable))
        .collect();
    Node { origin: Origin::Environment(variable.to_owned()), value: Value::Array(items) }
}

fn text(text: String, variable: &str) -> Node {
    Node {
        origin: Origin::Environment(variable.to_owned()),
        value: Value::Scalar(toml::Value::String(text)),
    }
}

fn is_text(node: &Node, text: &str) -> bool {
    matches!(&node.value, Value::Scalar(toml::Value::String(own)) if own == text)
}

fn is_empty(node: &Node) -> bool {
    matches!(&node.value, Value::Array(items) if items.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn filled(trace: &str, variables: &[(&str, &str)]) -> String {
        let written = format!("[trace]\n{trace}");
        let mut tree = Node::parse(&written, &|_| Origin::Default).expect("TOML");
        let own = |(name, value): &(&str, &str)| ((*name).to_owned(), (*value).to_owned());
        fill(&mut tree, &variables.iter().map(own).collect::<Vec<_>>());
        format!("{:?}", tree.find(&["trace".into()]).expect("a table"))
    }

    const BASE: (&str, &str) = ("OTEL_EXPORTER_OTLP_ENDPOINT", "http://base:4318");

    #[test]
    fn variables_switch_nothing_on_unless_they_are_asked() {
        assert!(!filled("otlp = \"\"", &[BASE]).contains("base"));
        assert!(filled("otlp = \"env\"", &[BASE]).contains("http://base:4318"));
        let own = ("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "http://own/v1/traces");
        assert!(filled("otlp = \"env\"", &[BASE, own]).contains("http://own/v1/traces"));
        let off = ("OTEL_SDK_DISABLED", "true");
        for none in [&[][..], &[BASE, off]] {
            let filled = filled("otlp = \"env\"", none);
            assert!(!filled.contains("base") && !filled.contains("env\""), "{filled}");
        }
    }

    #[test]
    fn what_the_file_says_stays() {
        let variables = [
            ("OTEL_SERVICE_NAME", "theirs"),
            ("OTEL_EXPORTER_OTLP_HEADERS", "authorization=Bearer%20a,x=1"),
            ("OTEL_RESOURCE_ATTRIBUTES", "a=1"),
        ];
        let empty = filled("service_name = \"\"\nheaders = []\nresource = []", &variables);
        for part in ["theirs", "authorization=Bearer a", "x=1", "a=1"] {
            assert!(empty.contains(part), "{part} in {empty}");
        }
        let said = filled(
            "service_name = \"ours\"\nheaders = [\"k=v\"]\nresource = [\"b=2\"]",
            &variables,
        );
        for part in ["theirs", "Bearer", "a=1"] {
            assert!(!said.contains(part), "{part} in {said}");
        }
    }
}
