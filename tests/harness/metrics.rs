//! What `/metrics` says, in the Prometheus text format.

use std::collections::{BTreeMap, BTreeSet};

use super::{Answer, Client, Seawall};

/// What is said of the metrics at one moment.
#[derive(Debug)]
pub(crate) struct Metrics {
    pub(crate) text: String,
    /// By name, with `_total`, and without the suffixes of a histogram.
    pub(crate) families: BTreeMap<String, Family>,
    samples: Vec<Sample>,
}

#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Family {
    pub(crate) kind: String,
    pub(crate) help: String,
    /// Those that its samples have.
    pub(crate) labels: BTreeSet<String>,
}

#[derive(Debug)]
struct Sample {
    name: String,
    labels: Vec<(String, String)>,
    value: f64,
}

impl Seawall {
    /// A page of the admin listener, for who says these lines besides.
    pub(crate) fn admin_page(&self, path: &str, fields: &str) -> Answer {
        let mut client = Client::connect(([127, 0, 0, 1], self.admin().port()).into());
        client.send(format!("GET {path} HTTP/1.1\r\nHost: localhost\r\n{fields}\r\n"));
        client.answer()
    }

    pub(crate) fn metrics(&self) -> Metrics {
        Metrics::read(self.admin_page("/metrics", "").text())
    }
}

impl Metrics {
    fn read(text: String) -> Self {
        let mut families: BTreeMap<String, Family> = BTreeMap::new();
        let mut samples = Vec::new();
        for line in text.lines() {
            let comment = |begin: &str| line.strip_prefix(begin)?.split_once(' ');
            if let Some((name, help)) = comment("# HELP ") {
                families.entry(name.to_owned()).or_default().help.push_str(help);
            } else if let Some((name, kind)) = comment("# TYPE ") {
                families.entry(name.to_owned()).or_default().kind.push_str(kind);
            } else {
                let sample = Sample::read(line);
                let stem = ["_bucket", "_sum", "_count"]
                    .iter()
                    .find_map(|end| sample.name.strip_suffix(end))
                    .filter(|stem| families.contains_key(*stem));
                let family = families.get_mut(stem.unwrap_or(&sample.name));
                let family = family.unwrap_or_else(|| panic!("of no family: {line}"));
                let names = sample.labels.iter().map(|(name, _)| name.clone());
                family.labels.extend(names.filter(|name| name != "le"));
                samples.push(sample);
            }
        }
        Self { text, families, samples }
    }

    /// The sum of the samples of this name that have these labels.
    #[track_caller]
    pub(crate) fn value(&self, name: &str, labels: &[(&str, &str)]) -> f64 {
        let has = |sample: &Sample, label: &(&str, &str)| {
            sample.labels.iter().any(|(name, value)| (name.as_str(), value.as_str()) == *label)
        };
        let found = self
            .samples
            .iter()
            .filter(|sample| sample.name == name && labels.iter().all(|label| has(sample, label)));
        found.map(|sample| sample.value).sum()
    }
}

impl Sample {
    fn read(line: &str) -> Self {
        let (name, value) = line.rsplit_once(' ').unwrap();
        let (name, labels) = name.split_once('{').unwrap_or((name, "}"));
        let labels = labels.strip_suffix('}').unwrap().split_terminator(',').map(|label| {
            let (name, value) = label.split_once('=').unwrap();
            (name.to_owned(), value.trim_matches('"').to_owned())
        });
        Self { name: name.to_owned(), labels: labels.collect(), value: value.parse().unwrap() }
    }
}
