//! `[[backend]]`: the servers behind, and the bounds that protect them.

use std::time::Duration;

use serde::{Deserialize, de::Error as _};

use super::{Url, mistake::Mistake, values};

/// One logical service behind seawall, and the bounds that protect it.
#[derive(Debug, Clone)]
pub struct Backend {
    /// How routes, log lines and refusals call it.
    pub name: String,
    /// Its servers: where they are dialled. Never empty.
    pub servers: Vec<Url>,
    /// Slots of each server: how many exchanges, and how many connections, it has at once.
    pub max_concurrency: usize,
    /// Requests that wait for a slot.
    pub queue: Queue,
    /// How long dialling may take, resolving included.
    pub connect_timeout: Duration,
    /// The age at which a kept connection is closed.
    pub idle: Duration,
    /// Requests that wait for it while it is away.
    pub hold: Hold,
    /// How often a name that stands for several servers is asked again.
    pub resolve: Duration,
    /// Whether clients come to the same of several servers again.
    pub sticky: Sticky,
    /// How each of several servers is asked how it is.
    pub health: Health,
    /// When one of several servers is asked no more for a while.
    pub eject: Eject,
    /// Path that is answered for it; empty for none.
    pub probe: String,
    /// Bounds for exchanges whose client left.
    pub orphan: Orphan,
    /// How long an endless response outlives its client.
    pub endless: Duration,
}

impl Backend {
    /// The first of its servers.
    #[must_use]
    pub fn url(&self) -> &Url {
        match self.servers.first() {
            Some(url) => url,
            None => unreachable!("never empty"),
        }
    }

    /// All of its servers, for people to see.
    #[must_use]
    pub fn urls(&self) -> String {
        let urls: Vec<_> = self.servers.iter().map(Url::to_string).collect();
        urls.join(", ")
    }
}

/// The waiting room before the slots.
#[derive(Debug, Clone, Copy, Deserialize)]
pub struct Queue {
    /// Requests waiting at once; the next is refused with 503.
    pub max: usize,
    /// Longest wait for a slot; then 503.
    #[serde(deserialize_with = "values::duration")]
    pub timeout: Duration,
}

/// The wait for a backend that is down or restarting.
#[derive(Debug, Clone, Copy, Deserialize)]
pub struct Hold {
    /// Longest wait of one request; then 502 or 504. Zero: nobody waits.
    #[serde(rename = "for", deserialize_with = "values::duration")]
    pub longest: Duration,
    /// Requests waiting at once; the next is refused at once.
    pub max: usize,
}

/// How clients come to the same of several servers again.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Sticky {
    /// They do not.
    Off,
    /// By a cookie that they are given.
    Cookie,
    /// By their address.
    Client,
}

/// How each of several servers is asked how it is.
#[derive(Debug, Clone, Deserialize)]
pub struct Health {
    /// Path that it answers when it is well; empty: nobody asks.
    #[serde(deserialize_with = "values::own_path")]
    pub path: String,
    /// How often.
    #[serde(deserialize_with = "values::duration")]
    pub interval: Duration,
    /// How long it may take; its answer is read to the end all the same.
    #[serde(deserialize_with = "values::duration")]
    pub timeout: Duration,
}

/// When one of several servers is put out, and for how long. One that nobody can connect to is at once.
#[derive(Debug, Clone, Copy, Deserialize)]
pub struct Eject {
    /// So many exchanges in a row that it has cut before their answers.
    #[serde(deserialize_with = "values::small_count")]
    pub after: u32,
    /// Until it is looked at again; twice as long each time that it is away still.
    #[serde(rename = "for", deserialize_with = "values::duration")]
    pub first: Duration,
    /// The longest such time.
    #[serde(deserialize_with = "values::duration")]
    pub max: Duration,
}

/// How long, and for how many bytes, an orphan is borne.
#[derive(Debug, Clone, Deserialize)]
pub struct Orphan {
    /// From the moment the client left.
    #[serde(deserialize_with = "values::duration")]
    pub max_duration: Duration,
    /// Bytes of the response discarded.
    #[serde(deserialize_with = "values::size")]
    pub max_bytes: u64,
}

/// What the user wrote.
#[derive(Debug, Deserialize)]
pub(super) struct Table {
    name: String,
    #[serde(default)]
    url: Option<Url>,
    servers: Vec<Url>,
    #[serde(deserialize_with = "values::count")]
    max_concurrency: usize,
    queue: Queue,
    #[serde(deserialize_with = "values::duration")]
    connect_timeout: Duration,
    #[serde(deserialize_with = "values::duration")]
    idle: Duration,
    hold: Hold,
    sticky: Sticky,
    health: Health,
    #[serde(deserialize_with = "values::duration")]
    resolve: Duration,
    eject: Eject,
    #[serde(deserialize_with = "values::own_path")]
    probe: String,
    orphan: Orphan,
    #[serde(deserialize_with = "values::duration")]
    endless: Duration,
}

impl Table {
    /// What can be judged once all of it is read.
    pub(super) fn mistake(&self) -> Option<Mistake> {
        let of_servers =
            |bad: &str| Mistake { path: vec!["servers".to_owned()], ..Mistake::new(bad) };
        if self.url.is_none() && self.servers.is_empty() {
            return Some(Mistake::missing_field("url"));
        }
        if self.url.is_some() && !self.servers.is_empty() {
            return Some(of_servers("there is url as well; write all servers here, and no url"));
        }
        let is_twice = |(index, url): &(usize, &Url)| self.servers[..*index].contains(url);
        let (_, url) = self.servers.iter().enumerate().find(is_twice)?;
        Some(of_servers(&format!("\"{url}\" is named twice; name each server once")))
    }

    pub(super) fn into_backend(self) -> Backend {
        Backend {
            name: self.name,
            servers: self.url.map_or(self.servers, |url| vec![url]),
            max_concurrency: self.max_concurrency,
            queue: self.queue,
            connect_timeout: self.connect_timeout,
            idle: self.idle,
            hold: self.hold,
            sticky: self.sticky,
            health: Health { interval: self.health.interval.max(SHORTEST), ..self.health },
            resolve: self.resolve.max(SHORTEST),
            eject: Eject { first: self.eject.first.max(SHORTEST), ..self.eject },
            probe: self.probe,
            orphan: self.orphan,
            endless: self.endless,
        }
    }
}

/// Names and servers are asked no more often, whatever is written: nobody is to be flooded by us.
const SHORTEST: Duration = Duration::from_millis(10);
