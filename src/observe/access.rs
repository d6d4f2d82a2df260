//! The access log: one line per exchange.

use std::{
    io::{self, IsTerminal as _},
    path::PathBuf,
    sync::{Arc, OnceLock},
    time::{Duration, SystemTime},
};

use parking_lot::Mutex;

use super::{
    diagnostics::is_pretty,
    line::{Clock, Form, json, pretty},
    log_file::LogFile,
    output::{Output, Sink},
    record::{Facts, Outcome},
};
use crate::config::{Access, Log};

/// How long lines are gathered once the first has come.
const GATHER: Duration = Duration::from_millis(20);

/// Where records go; cloning gives another handle on the same.
#[derive(Debug, Clone)]
pub(crate) struct AccessLog {
    shared: Option<Arc<Shared>>,
}

#[derive(Debug)]
struct Shared {
    form: Form,
    /// The part of the lines that is written where nothing went wrong; none where all are.
    sample: Option<f64>,
    /// Locked by who is writing to the output, and so by one at a time.
    clock: Mutex<Clock>,
    output: Arc<Output>,
    /// Why the process cuts all that is left, once it does.
    cut: OnceLock<&'static str>,
}

/// The file of the log cannot be opened.
#[derive(Debug, thiserror::Error)]
#[error(
    "log.access: cannot write to {}: {error}; name a file in a folder that is there and can be written",
    .path.display()
)]
pub struct NoAccessLog {
    path: PathBuf,
    error: io::Error,
}

impl AccessLog {
    /// A log that writes nothing.
    pub(crate) fn off() -> Self {
        Self { shared: None }
    }

    /// Opens it, and starts its writer.
    pub(crate) fn open(config: &Log) -> Result<Self, NoAccessLog> {
        let form = |terminal, coloured| match is_pretty(config.format, terminal) {
            true => Form::Pretty { coloured },
            false => Form::Json,
        };
        Ok(match &config.access {
            Access::Off => Self::off(),
            Access::Stdout => {
                // As https://no-color.org has it.
                let is_plain = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
                let form = form(io::stdout().is_terminal(), !is_plain);
                Self::start(form, config.sample, io::stdout())
            }
            Access::File(path) => {
                let file = LogFile::open(path);
                let file = file.map_err(|error| NoAccessLog { path: path.clone(), error })?;
                Self::start(form(false, false), config.sample, file)
            }
        })
    }

    fn start(form: Form, sample: f64, to: impl Sink) -> Self {
        let output = Output::start("access-log", GATHER, to);
        Self {
            shared: Some(Arc::new(Shared {
                form,
                sample: (sample < 1.0).then_some(sample),
                clock: Mutex::default(),
                output,
                cut: OnceLock::new(),
            })),
        }
    }

    pub(crate) fn write(&self, facts: &Facts, outcome: &Outcome) {
        let Some(shared) = &self.shared else { return };
        let sample = shared.sample.filter(|_| outcome.is_well());
        if sample.is_some_and(|part| fastrand::f64() >= part) {
            return;
        }
        shared.output.write(|text| {
            let mut clock = shared.clock.lock();
            let time = clock.format(SystemTime::now());
            match shared.form {
                Form::Json => json(text, time, facts, outcome, sample),
                Form::Pretty { coloured } => pretty(text, time, facts, outcome, coloured),
            }
        });
    }

    /// From here on, whoever is let go has not left, but was cut, for this reason.
    pub(crate) fn cut(&self, reason: &'static str) {
        if let Some(shared) = &self.shared {
            let _ = shared.cut.set(reason);
        }
    }

    pub(super) fn cut_reason(&self) -> Option<&'static str> {
        self.shared.as_ref()?.cut.get().copied()
    }

    /// Opens its file anew: the former one was moved.
    pub(crate) fn reopen(&self) {
        if let Some(shared) = &self.shared {
            shared.output.renew();
        }
    }

    /// How many lines its reader was too slow for.
    pub(crate) fn dropped(&self) -> u64 {
        self.shared.as_ref().map_or(0, |shared| shared.output.dropped())
    }

    /// Waits until all that was handed over is written. Blocks; for the end of the process.
    pub(crate) fn flush(&self) {
        if let Some(shared) = &self.shared {
            shared.output.flush();
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc::{Receiver, SyncSender, sync_channel};

    use http::{HeaderValue, Method, StatusCode};

    use super::*;
    use crate::observe::{
        books::Books,
        output::WAITING,
        record::{Ended, Record, Stage},
    };

    struct Output(SyncSender<Vec<u8>>);

    impl io::Write for Output {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            let _ = self.0.send(bytes.to_vec());
            Ok(bytes.len())
        }
        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    fn facts() -> Facts {
        Facts {
            id: HeaderValue::from_static("abc"),
            client: Some("127.0.0.1:5".into()),
            line: Some((Method::GET, "/a?b=%22".into())),
            began: tokio::time::Instant::now(),
        }
    }

    #[tokio::test]
    async fn the_last_holder_writes_one_line() {
        let (sender, output) = sync_channel(1);
        let log = AccessLog::start(Form::Json, 1.0, Output(sender));
        let visit =
            Record::open(&Books::new(log, crate::observe::recent::Recent::off(), None), facts());
        let exchange = visit.clone();
        visit.note(|outcome| outcome.left = Some(Stage::Waiting));
        drop(visit);
        exchange.note(|outcome| {
            outcome.ended = Some(Ended::Delivered);
            outcome.backend_status = Some(StatusCode::OK);
            outcome.discarded = 7;
        });
        drop(exchange);
        let line = output.recv_timeout(Duration::from_secs(10)).expect("a line");
        let line: serde_json::Value = serde_json::from_slice(&line).expect("JSON");
        assert_eq!(line["time"].as_str().map(str::len), Some("2026-01-02T03:04:05.678Z".len()));
        assert_eq!(line["ended"], "discarded");
        assert_eq!(line["left"], "waiting");
        assert_eq!(line["path"], "/a?b=%22");
        assert_eq!(line["status"], serde_json::Value::Null);
        assert_eq!(line["backend_status"], 200);
        assert_eq!(line["discarded_bytes"], 7);
    }

    #[test]
    fn a_stalled_output_costs_lines_and_not_requests() {
        struct Stalled(Receiver<()>);
        impl io::Write for Stalled {
            fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
                let _ = self.0.recv();
                Ok(bytes.len())
            }
            fn flush(&mut self) -> io::Result<()> {
                Ok(())
            }
        }
        let (release, stalled) = sync_channel(1);
        let log = AccessLog::start(Form::Json, 1.0, Stalled(stalled));
        // At least a hundred bytes each, and one buffer may be in the writer's hands.
        let books = Books::new(log.clone(), crate::observe::recent::Recent::off(), None);
        for _ in 0..=2 * WAITING / 100 {
            drop(Record::open(&books, facts()));
        }
        let shared = log.shared.as_ref().expect("started");
        assert!(shared.output.dropped() > 0);
        drop(release);
    }
}
