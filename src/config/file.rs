//! The mirror of the TOML: what the user wrote, read by serde, and its way to [`Config`].

use http::Method;
use serde::{Deserialize, Deserializer, de::Error as _};

use super::{
    Admin, Backend, Child, Client, Config, Drain, EarlyHints, Inspect, Join, Listen, Log,
    OnDisconnect, Replay, Route, Runtime, Spool, Trace, Tunnel, backend, mistake::Mistake, values,
};

#[derive(Debug, Deserialize)]
pub(super) struct File {
    listen: Vec<Listen>,
    backend: Vec<backend::Table>,
    route: Vec<RouteTable>,
    client: Client,
    spool: Spool,
    child: Child,
    join: Join,
    replay: Replay,
    tunnel: Tunnel,
    admin: Admin,
    inspect: Inspect,
    trace: Trace,
    log: Log,
    drain: Drain,
    runtime: Runtime,
}

#[derive(Debug, Deserialize)]
struct RouteTable {
    host: String,
    #[serde(deserialize_with = "path_prefix")]
    path: String,
    #[serde(deserialize_with = "methods")]
    methods: Vec<Method>,
    backend: String,
    #[serde(default)]
    on_disconnect: Option<OnDisconnect>,
    #[serde(default, deserialize_with = "values::optional_size")]
    max_body: Option<u64>,
    join: bool,
    replay: bool,
    early_hints: EarlyHints,
}

impl File {
    /// What needs more than one key to be judged is judged here.
    pub(super) fn into_config(self) -> Result<Config, Vec<Mistake>> {
        let mut mistakes = Vec::new();
        for (index, listen) in self.listen.iter().enumerate() {
            mistakes.extend(listen.mistakes().into_iter().map(|(key, bad)| Mistake {
                path: ["listen".into(), index.to_string()].into_iter().chain(key).collect(),
                ..Mistake::new(bad)
            }));
        }
        let mut backends: Vec<Backend> = Vec::new();
        for (index, table) in self.backend.into_iter().enumerate() {
            mistakes.extend(table.mistake().map(|mistake| {
                let table = ["backend".to_owned(), index.to_string()];
                Mistake { path: table.into_iter().chain(mistake.path).collect(), ..mistake }
            }));
            backends.push(table.into_backend());
        }
        for (index, backend) in backends.iter().enumerate() {
            if backends[..index].iter().any(|other| other.name == backend.name) {
                mistakes.push(Mistake {
                    path: vec!["backend".into(), index.to_string(), "name".into()],
                    ..Mistake::new(format_args!(
                        "two backends are called \"{}\"; give each its own name",
                        backend.name
                    ))
                });
            }
        }
        if self.admin.listen.is_exposed() && self.admin.token.is_none() {
            mistakes.push(Mistake {
                path: vec!["admin".into(), "listen".into()],
                ..Mistake::new(
                    "others can connect there, and would see everything: give admin.token as well, such as \
                     by SEAWALL_ADMIN__TOKEN, or listen on 127.0.0.1",
                )
            });
        }
        let mut routes = Vec::new();
        for (index, route) in self.route.into_iter().enumerate() {
            let named = backends.iter().position(|backend| backend.name == route.backend);
            if named.is_none() && !route.backend.is_empty() {
                mistakes.push(Mistake {
                    path: vec!["route".into(), index.to_string(), "backend".into()],
                    ..Mistake::new(format_args!("no [[backend]] is called \"{}\"", route.backend))
                });
            }
            routes.push(Route {
                host: (!route.host.is_empty()).then(|| route.host.to_ascii_lowercase()),
                path: route.path,
                methods: route.methods,
                backend: named.unwrap_or(0),
                on_disconnect: route.on_disconnect,
                max_body: route.max_body.unwrap_or(self.client.max_body),
                join: route.join,
                replay: route.replay,
                early_hints: route.early_hints,
            });
        }
        // Longest prefix first; among equals the narrower route, then the one written first.
        routes.sort_by_key(|route| {
            std::cmp::Reverse((route.path.len(), route.host.is_some(), !route.methods.is_empty()))
        });
        routes.push(Route {
            host: None,
            path: "/".into(),
            methods: Vec::new(),
            backend: 0,
            on_disconnect: None,
            max_body: self.client.max_body,
            join: false,
            replay: false,
            early_hints: EarlyHints::All,
        });
        if !mistakes.is_empty() {
            return Err(mistakes);
        }
        Ok(Config {
            listen: self.listen,
            backends,
            routes,
            client: self.client,
            spool: self.spool,
            child: self.child,
            join: self.join,
            replay: self.replay,
            tunnel: self.tunnel,
            admin: self.admin,
            inspect: self.inspect,
            trace: self.trace,
            log: self.log,
            drain: self.drain,
            runtime: self.runtime,
        })
    }
}

fn path_prefix<'de, D: Deserializer<'de>>(input: D) -> Result<String, D::Error> {
    let text = String::deserialize(input)?;
    if text.starts_with('/') {
        return Ok(text);
    }
    Err(D::Error::custom(format_args!("\"{text}\" must begin with \"/\"")))
}

fn methods<'de, D: Deserializer<'de>>(input: D) -> Result<Vec<Method>, D::Error> {
    Vec::<String>::deserialize(input)?
        .into_iter()
        .map(|name| {
            Method::from_bytes(name.as_bytes())
                .map_err(|_| D::Error::custom(format_args!("\"{name}\" is no method")))
        })
        .collect()
}
