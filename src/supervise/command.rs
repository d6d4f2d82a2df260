//! The command behind `--`: which port it is to listen at, and how it is told.

use std::{ffi::OsString, fmt, io, net::TcpListener, num::NonZeroU16};

use super::servers::{self, Server, Told};

/// What stands for the port in the words of a command.
const PLACE: &str = "{port}";
/// Below the ports from which the kernel takes those of outgoing connections (32768 and up). In
/// there one of ours, dialling a child that does not listen yet, could be given the very port that
/// it dials, meet itself, and keep the child from its port.
const PORTS: std::ops::Range<u16> = 20_000..32_000;
/// So many are tried before the system is asked for any.
const TRIES: usize = 100;

/// A command, told where to listen.
#[derive(Debug, Clone)]
pub(crate) struct Command {
    words: Vec<OsString>,
    server: Option<Server>,
    host: String,
    port: u16,
    /// By more than `PORT`.
    told: bool,
}

/// Why there is no way to a command.
#[derive(Debug, thiserror::Error)]
pub(crate) enum NoWay {
    #[error("no port is free for the command: {0}")]
    Port(#[source] io::Error),
    #[error(
        "the command is told to listen at {0}, and only TCP ports can be dialled; leave that out"
    )]
    Elsewhere(String),
}

impl Command {
    /// Chooses a port, unless the command says one or insists on one (`port_of`).
    pub(crate) fn new(
        mut words: Vec<OsString>,
        port_of: Option<NonZeroU16>,
    ) -> Result<Self, NoWay> {
        let chosen = match port_of {
            Some(port) => port.get(),
            None => free_port().map_err(NoWay::Port)?,
        };
        let mut told = port_of.is_some();
        for word in &mut words {
            if let Some(text) = word.to_str().filter(|text| text.contains(PLACE)) {
                *word = text.replace(PLACE, &chosen.to_string()).into();
                told = true;
            }
        }
        let texts: Vec<String> =
            words.iter().map(|word| word.to_string_lossy().into_owned()).collect();
        let known = servers::recognise(&texts);
        told |= known.is_some();
        let server = known.map(|(server, _)| server);
        let mut command = Self { words, server, host: LOCAL.into(), port: chosen, told };
        let Some((server, own)) = known.filter(|_| port_of.is_none()) else { return Ok(command) };
        let told = server.told(&texts[own..]);
        if let Told::Elsewhere(place) = told {
            return Err(NoWay::Elsewhere(place));
        }
        if let Told::Tcp(Some(host), _) = &told {
            command.host = dialled_as(host);
        }
        match told {
            Told::Tcp(_, port @ 1..) => command.port = port,
            _ => {
                let (place, words) = server.tell(&texts[own..], chosen);
                let place = own + place.start..own + place.end;
                command.words.splice(place, words.into_iter().map(OsString::from));
            }
        }
        Ok(command)
    }

    pub(crate) fn words(&self) -> &[OsString] {
        &self.words
    }

    /// Where it can be dialled.
    pub(crate) fn url(&self) -> String {
        format!("http://{}:{}", self.host, self.port)
    }

    pub(crate) fn port(&self) -> u16 {
        self.port
    }

    /// Does anything but the variable tell it the port?
    pub(super) fn is_told(&self) -> bool {
        self.told
    }

    /// What its lines are marked with.
    pub(crate) fn name(&self) -> String {
        let program = || {
            let first = self.words.first().map(|word| word.to_string_lossy().into_owned());
            first.as_deref().and_then(|word| word.rsplit('/').next()).unwrap_or("child").to_owned()
        };
        self.server.map_or_else(program, |server| server.name().to_owned())
    }
}

impl fmt::Display for Command {
    fn fmt(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        let words: Vec<_> = self.words.iter().map(|word| word.to_string_lossy()).collect();
        to.write_str(&words.join(" "))
    }
}

const LOCAL: &str = "127.0.0.1";

/// Who listens everywhere listens here too.
fn dialled_as(host: &str) -> String {
    let bare = host.trim_start_matches('[').trim_end_matches(']');
    match bare {
        "" | "0" | "0.0.0.0" | "*" | "localhost" => LOCAL.into(),
        "::" => "[::1]".into(),
        _ if bare.contains(':') => format!("[{bare}]"),
        _ => bare.into(),
    }
}

/// Free a moment ago; it cannot be held for a server that is to bind it itself.
fn free_port() -> io::Result<u16> {
    let bind = |port| TcpListener::bind((LOCAL, port));
    let tried = (0..TRIES).find_map(|_| bind(fastrand::u16(PORTS)).ok());
    let listener = tried.map_or_else(|| bind(0), Ok)?;
    Ok(listener.local_addr()?.port())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn command(line: &str) -> Command {
        let words = line.split(' ').map(OsString::from).collect();
        Command::new(words, None).expect("a way")
    }

    /// Takes `line` with `more` behind it, and dials the chosen port.
    #[track_caller]
    fn told(line: &str, more: &str) {
        let command = command(line);
        let port = command.port.to_string();
        assert_eq!(command.to_string(), format!("{line}{}", more.replace('#', &port)));
        assert!(command.is_told() && PORTS.contains(&command.port), "{line}");
        assert_eq!(command.url(), format!("http://127.0.0.1:{port}"));
    }

    /// Takes the line as it is, and dials what it says.
    #[track_caller]
    fn insists(line: &str, url: &str) {
        let command = command(line);
        assert_eq!((command.to_string().as_str(), command.url().as_str()), (line, url));
    }

    #[track_caller]
    fn unknown(line: &str) {
        let command = command(line);
        assert!(!command.is_told() && command.to_string() == line, "{command}");
    }

    #[test]
    fn flask_is_told_by_its_flag() {
        for line in [
            "flask run",
            "flask run --debug",
            ".venv/bin/flask --app x run",
            "flask -A run --debug run",
            "python -m flask run",
            "/usr/bin/python3.11 -u -m flask --app=x run -h localhost",
            "python3 -Wignore -X dev -um flask run",
            "python .venv/bin/flask run",
            "uv run flask run",
            "uv run --with flask -m flask run",
            "poetry run python -m flask run",
            "env FLASK_APP=x FLASK_RUN_PORT=1 flask run",
            "flask run --port 0",
        ] {
            told(line, " --port #");
        }
        insists("flask run --port 5001", "http://127.0.0.1:5001");
        insists("flask run -p5001 --host=0.0.0.0", "http://127.0.0.1:5001");
        insists("flask run -p 5001 -h ::", "http://[::1]:5001");
        insists("flask run -p 5001 -h 192.168.0.5", "http://192.168.0.5:5001");
        unknown("flask routes");
        unknown("flask --app run shell");
    }

    #[test]
    fn uvicorn_is_told_by_its_flag() {
        told("uvicorn app:app", " --port #");
        told("python3 -m uvicorn app:app --reload", " --port #");
        insists("uvicorn app:app --port=9000", "http://127.0.0.1:9000");
        insists("uvicorn --port 9000 --host :: app:app", "http://[::1]:9000");
    }

    #[test]
    fn gunicorn_is_told_where_to_bind() {
        told("gunicorn app:app", " --bind 127.0.0.1:#");
        told("python -m gunicorn -w 4 app:app", " --bind 127.0.0.1:#");
        insists("gunicorn -b :9000 app:app", "http://127.0.0.1:9000");
        insists("gunicorn -b unix:/x --bind=[::1]:9000 app:app", "http://[::1]:9000");
        insists("gunicorn -b 0.0.0.0 app:app", "http://127.0.0.1:8000");
        insists("gunicorn -b127.0.0.2:9000 app:app", "http://127.0.0.2:9000");
    }

    #[test]
    fn http_server_is_told_by_its_place_and_kept_from_the_network() {
        told("python -m http.server", " --bind 127.0.0.1 #");
        told("python3 -um http.server -d 8000", " --bind 127.0.0.1 #");
        told("python3 -mhttp.server --bind 0.0.0.0", " #");
        insists("python -m http.server 8000", "http://127.0.0.1:8000");
        insists("python -m http.server -b ::1 --directory x 8000", "http://[::1]:8000");
        let any = command("python -m http.server 0");
        let words = format!("python -m http.server --bind 127.0.0.1 {}", any.port);
        assert_eq!(any.to_string(), words);
    }

    #[test]
    fn django_is_told_by_its_place() {
        told("python manage.py runserver", " #");
        told("./manage.py runserver --settings x.y --noreload -v 2", " #");
        told("django-admin runserver --pythonpath=.", " #");
        told("python -m django runserver", " #");
        told("coverage run manage.py runserver", " #");
        insists("python manage.py runserver 8001", "http://127.0.0.1:8001");
        insists("python manage.py runserver 0:8001 --noreload", "http://127.0.0.1:8001");
        insists("python manage.py runserver [::1]:8001", "http://[::1]:8001");
        let six = command("python manage.py runserver -6");
        assert_eq!(six.url(), format!("http://[::1]:{}", six.port));
        unknown("python manage.py migrate");
    }

    #[test]
    fn everything_else_has_the_variable_and_the_place() {
        unknown("node server.js");
        unknown("python app.py");
        unknown("python -c flask run");
        unknown("uv run --with flask app.py");
        unknown("sh -c flask");
        let words = ["php", "-S", "127.0.0.1:{port}"].map(OsString::from).to_vec();
        let php = Command::new(words, None).expect("a way");
        assert_eq!(php.words[2].to_str(), Some(&*format!("127.0.0.1:{}", php.port)));
        assert_eq!(php.name(), "php");
    }

    #[test]
    fn what_insists_on_a_port_is_dialled_there_and_told_nothing() {
        let words = || ["flask", "run"].map(OsString::from).to_vec();
        let command = Command::new(words(), NonZeroU16::new(7000)).expect("a way");
        assert_eq!((command.to_string().as_str(), command.port), ("flask run", 7000));
    }

    #[test]
    fn a_server_without_a_port_is_refused() {
        for line in ["gunicorn -b unix:/x app:app", "uvicorn app:app --uds /x"] {
            let words = line.split(' ').map(OsString::from).collect();
            assert!(matches!(Command::new(words, None), Err(NoWay::Elsewhere(_))), "{line}");
        }
    }
}
