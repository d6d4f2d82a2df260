//! The servers whose ways with ports are known: how they are recognised, where they are told to
//! listen, and how to tell them.

use std::ops::Range;

/// A server that does not go by `PORT` alone.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Server {
    Flask,
    Django,
    Uvicorn,
    Gunicorn,
    /// Python's `http.server`.
    Files,
}

/// What a command line says of where its server listens.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Told {
    Nothing,
    /// The host, where one is given, and the port; 0 is any.
    Tcp(Option<String>, u16),
    /// Something that has no port.
    Elsewhere(String),
}

/// Programs that run what stands behind them, options of their own in between.
const RUNNERS: [&str; 13] = [
    "uv",
    "poetry",
    "pipenv",
    "pdm",
    "hatch",
    "rye",
    "env",
    "nice",
    "nohup",
    "stdbuf",
    "coverage",
    "ddtrace-run",
    "opentelemetry-instrument",
];

/// Finds the server in a command, and where its own arguments begin.
pub(super) fn recognise(words: &[String]) -> Option<(Server, usize)> {
    let runner = words.first().is_some_and(|word| RUNNERS.contains(&base(word)));
    if !runner {
        return program(words, 0);
    }
    (1..words.len()).find_map(|at| match words[at].as_str() {
        "-m" => module(words.get(at + 1)?, words, at + 2),
        _ => program(words, at),
    })
}

fn program(words: &[String], at: usize) -> Option<(Server, usize)> {
    let name = base(words.get(at)?);
    let version = name.strip_prefix("python").or_else(|| name.strip_prefix("pypy"));
    match version {
        Some(version) if version.bytes().all(|byte| byte.is_ascii_digit() || byte == b'.') => {
            python(words, at + 1)
        }
        _ => script(name, words, at + 1),
    }
}

/// Behind the interpreter: its options, then a script or a module.
fn python(words: &[String], mut at: usize) -> Option<(Server, usize)> {
    loop {
        let word = words.get(at)?;
        at += 1;
        let Some(letters) = word.strip_prefix('-').filter(|rest| !rest.is_empty()) else {
            return script(base(word), words, at);
        };
        if letters.starts_with('-') {
            at += usize::from(letters == "-check-hash-based-pycs");
            continue;
        }
        // Letters may stand together; the rest of the word, or the next, is the value of these.
        let Some(valued) = letters.find(['m', 'c', 'W', 'X']) else { continue };
        let (letter, rest) = letters[valued..].split_at(1);
        match (letter, rest) {
            ("m", "") => return module(words.get(at)?, words, at + 1),
            ("m", name) => return module(name, words, at),
            ("c", _) => return None,
            (_, rest) => at += usize::from(rest.is_empty()),
        }
    }
}

fn module(name: &str, words: &[String], own: usize) -> Option<(Server, usize)> {
    match name {
        "http.server" => Some((Server::Files, own)),
        "gunicorn.app.wsgiapp" => Some((Server::Gunicorn, own)),
        _ => script(name, words, own),
    }
}

fn script(name: &str, words: &[String], own: usize) -> Option<(Server, usize)> {
    match name {
        "flask" => flask_run(words, own).map(|own| (Server::Flask, own)),
        "uvicorn" => Some((Server::Uvicorn, own)),
        "gunicorn" => Some((Server::Gunicorn, own)),
        // manage.py by whatever name, and django-admin.
        _ => (words.get(own)? == "runserver").then_some((Server::Django, own + 1)),
    }
}

/// `flask [options] run`: where what follows `run` begins.
fn flask_run(words: &[String], mut at: usize) -> Option<usize> {
    loop {
        let word = words.get(at)?.as_str();
        at += 1;
        match word {
            "run" => return Some(at),
            "-A" | "--app" | "-e" | "--env-file" => at += 1,
            _ if word.starts_with('-') => {}
            _ => return None,
        }
    }
}

fn base(word: &str) -> &str {
    word.rsplit('/').next().unwrap_or(word)
}

impl Server {
    /// As its lines are marked.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Flask => "flask",
            Self::Django => "django",
            Self::Uvicorn => "uvicorn",
            Self::Gunicorn => "gunicorn",
            Self::Files => "http.server",
        }
    }

    /// What its own arguments say of where it listens.
    pub(super) fn told(self, own: &[String]) -> Told {
        match self {
            Self::Flask => flags(own, &["--host", "-h"], &["--port", "-p"], &[]),
            Self::Uvicorn => flags(own, &["--host"], &["--port"], &["--uds", "--fd"]),
            Self::Gunicorn => binds(&values(own, &["--bind", "-b"])),
            Self::Files => {
                let host = values(own, &["--bind", "-b"]).pop();
                match self.positional(own).and_then(|at| own[at.start].parse().ok()) {
                    Some(port) => Told::Tcp(host, port),
                    None => host.map_or(Told::Nothing, |host| Told::Tcp(Some(host), 0)),
                }
            }
            Self::Django => {
                let v6 = own.iter().any(|word| word == "-6" || word == "--ipv6");
                let host = v6.then(|| "::1".to_owned());
                let address = self.positional(own).map(|at| own[at.start].as_str());
                match address.map(split) {
                    Some((given, Some(port))) => Told::Tcp(given.or(host), port),
                    _ => host.map_or(Told::Nothing, |host| Told::Tcp(Some(host), 0)),
                }
            }
        }
    }

    /// The words that tell it to listen at this port, and the place in its own arguments that they
    /// take. A flag that is given twice counts as it stands last.
    pub(super) fn tell(self, own: &[String], port: u16) -> (Range<usize>, Vec<String>) {
        let end = own.len()..own.len();
        match self {
            Self::Flask | Self::Uvicorn => (end, vec!["--port".into(), port.to_string()]),
            Self::Gunicorn => (end, vec!["--bind".into(), format!("127.0.0.1:{port}")]),
            Self::Django => (self.positional(own).unwrap_or(end), vec![port.to_string()]),
            Self::Files => {
                let mut words = vec![port.to_string()];
                // Left alone it would listen to the whole network, past us.
                if values(own, &["--bind", "-b"]).is_empty() {
                    words.splice(0..0, ["--bind".to_owned(), "127.0.0.1".to_owned()]);
                }
                (self.positional(own).unwrap_or(end), words)
            }
        }
    }

    /// The first word that is neither an option nor the value of one.
    fn positional(self, own: &[String]) -> Option<Range<usize>> {
        let valued: &[&str] = match self {
            Self::Django => &["--settings", "--pythonpath", "--verbosity", "-v"],
            _ => &[
                "--bind",
                "-b",
                "--directory",
                "-d",
                "--protocol",
                "-p",
                "--tls-cert",
                "--tls-key",
                "--tls-password-file",
            ],
        };
        let mut at = 0;
        while let Some(word) = own.get(at) {
            if !word.starts_with('-') {
                return Some(at..at + 1);
            }
            at += 1 + usize::from(valued.contains(&word.as_str()));
        }
        None
    }
}

fn flags(own: &[String], hosts: &[&str], ports: &[&str], elsewhere: &[&str]) -> Told {
    let host = values(own, hosts).pop();
    if let Some(place) = host.as_ref().filter(|host| host.starts_with("unix:")) {
        return Told::Elsewhere(place.clone());
    }
    if let Some(place) = values(own, elsewhere).pop() {
        return Told::Elsewhere(format!("{} {place}", elsewhere.join(" or ")));
    }
    match (host, values(own, ports).pop().and_then(|port| port.parse().ok())) {
        (None, None) => Told::Nothing,
        (host, port) => Told::Tcp(host, port.unwrap_or(0)),
    }
}

/// gunicorn listens at every address that it is given; one of them is enough.
fn binds(given: &[String]) -> Told {
    let elsewhere = |bind: &&String| bind.starts_with("unix:") || bind.starts_with("fd://");
    match given.iter().find(|bind| !elsewhere(bind)) {
        Some(bind) => {
            let (host, port) = split(bind.strip_prefix("tcp://").unwrap_or(bind));
            // gunicorn's own default for an address without a port.
            Told::Tcp(host.or_else(|| port.is_none().then(|| bind.clone())), port.unwrap_or(8000))
        }
        None => given.first().map_or(Told::Nothing, |bind| Told::Elsewhere(bind.clone())),
    }
}

/// `host:port`, `[host]:port`, `:port` or `port`.
fn split(address: &str) -> (Option<String>, Option<u16>) {
    let (host, port) = address.rsplit_once(':').unwrap_or(("", address));
    (Some(host.to_owned()).filter(|host| !host.is_empty()), port.parse().ok())
}

/// The values of an option, in its spellings, in order.
fn values(own: &[String], names: &[&str]) -> Vec<String> {
    let mut found = Vec::new();
    for (at, word) in own.iter().enumerate() {
        for name in names {
            let value = match word.strip_prefix(name) {
                Some("") => own.get(at + 1).map(String::as_str),
                Some(rest) if name.starts_with("--") => rest.strip_prefix('='),
                Some(rest) => Some(rest.strip_prefix('=').unwrap_or(rest)),
                None => None,
            };
            found.extend(value.map(str::to_owned));
        }
    }
    found
}
