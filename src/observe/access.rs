//! The access log: one line per exchange.

use std::{
    cell::RefCell,
    io::{self, IsTerminal as _},
    path::PathBuf,
    sync::{
        Arc, OnceLock,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    time::{Duration, SystemTime},
};

use arc_swap::ArcSwapOption;

use super::{
    diagnostics::is_pretty,
    line::{Clock, Form, json, pretty},
    log_file::LogFile,
    output::{Output, Sink, Stdout},
    record::{Facts, Outcome},
};
use crate::config::{Access, Log};

thread_local! {
    /// Of each worker, so that none waits for another.
    static CLOCK: RefCell<Clock> = RefCell::default();
}

/// How long lines are gathered once the first has come.
const GATHER: Duration = Duration::from_millis(20);

/// Where records go; cloning gives another handle on the same.
#[derive(Debug, Clone)]
pub(crate) struct AccessLog {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    /// None where nothing is written.
    current: ArcSwapOption<Open>,
    /// The part of the lines that is written where nothing went wrong, as the bits of its number.
    sample: AtomicU64,
    /// Why the process cuts all that is left, once it does.
    cut: OnceLock<&'static str>,
}

/// An access log that is written.
#[derive(Debug)]
struct Open {
    to: Access,
    form: Form,
    output: Arc<Output>,
}

/// What is to be written from now on. Nothing has changed yet.
#[derive(Debug)]
pub(crate) struct Change {
    sample: f64,
    to: To,
}

#[derive(Debug)]
enum To {
    TheSame,
    Other(Option<Arc<Open>>),
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
    #[cfg(any(test, feature = "fuzzing", feature = "steps"))]
    pub(crate) fn off() -> Self {
        Self::over(1.0, None)
    }

    /// Opens it, and starts its writer.
    pub(crate) fn open(config: &Log) -> Result<Self, NoAccessLog> {
        Ok(Self::over(config.sample, Open::new(config)?))
    }

    /// Opens what this configuration names, if that is something else.
    pub(crate) fn prepare(&self, config: &Log) -> Result<Change, NoAccessLog> {
        let before = self.shared.current.load();
        let before = before.as_ref().map_or(&Access::Off, |open| &open.to);
        let to = match before == &config.access {
            true => To::TheSame,
            false => To::Other(Open::new(config)?),
        };
        Ok(Change { sample: config.sample, to })
    }

    /// What was written to the former place by now is there soon.
    pub(crate) fn change(&self, Change { sample, to }: Change) {
        self.shared.sample.store(sample.to_bits(), Relaxed);
        if let To::Other(open) = to {
            self.shared.current.store(open);
        }
    }

    fn over(sample: f64, open: Option<Arc<Open>>) -> Self {
        let (current, sample) = (ArcSwapOption::new(open), AtomicU64::new(sample.to_bits()));
        Self { shared: Arc::new(Shared { current, sample, cut: OnceLock::new() }) }
    }

    pub(crate) fn write(&self, facts: &Facts, outcome: &Outcome) {
        let open = self.shared.current.load();
        let Some(open) = &*open else { return };
        let sample = self.shared.sample().filter(|_| outcome.is_well());
        if sample.is_some_and(|part| fastrand::f64() >= part) {
            return;
        }
        open.output.write(|text| {
            CLOCK.with_borrow_mut(|clock| {
                let time = clock.format(SystemTime::now());
                match open.form {
                    Form::Json => json(text, time, facts, outcome, sample),
                    Form::Pretty { coloured } => pretty(text, time, facts, outcome, coloured),
                }
            });
        });
    }

    /// From here on, whoever is let go has not left, but was cut, for this reason.
    pub(crate) fn cut(&self, reason: &'static str) {
        let _ = self.shared.cut.set(reason);
    }

    pub(super) fn cut_reason(&self) -> Option<&'static str> {
        self.shared.cut.get().copied()
    }

    /// Opens its file anew: the former one was moved.
    pub(crate) fn reopen(&self) {
        if let Some(open) = &*self.shared.current.load() {
            open.output.renew();
        }
    }

    /// How many lines its reader was too slow for.
    pub(crate) fn dropped(&self) -> u64 {
        self.shared.current.load().as_ref().map_or(0, |open| open.output.dropped())
    }

    /// Waits until all that was handed over is written. Blocks; for the end of the process.
    pub(crate) fn flush(&self) {
        if let Some(open) = self.shared.current.load_full() {
            open.output.flush();
        }
    }
}

impl Shared {
    /// None where all are written.
    fn sample(&self) -> Option<f64> {
        Some(f64::from_bits(self.sample.load(Relaxed))).filter(|part| *part < 1.0)
    }
}

impl Open {
    fn new(config: &Log) -> Result<Option<Arc<Self>>, NoAccessLog> {
        let form = |terminal, coloured| match is_pretty(config.format, terminal) {
            true => Form::Pretty { coloured },
            false => Form::Json,
        };
        Ok(match &config.access {
            Access::Off => None,
            Access::Stdout => {
                // As https://no-color.org has it.
                let is_plain = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
                let form = form(io::stdout().is_terminal(), !is_plain);
                Some(Self::start(&config.access, form, Stdout::open()))
            }
            Access::File(path) => {
                let file = LogFile::open(path);
                let file = file.map_err(|error| NoAccessLog { path: path.clone(), error })?;
                Some(Self::start(&config.access, form(false, false), file))
            }
        })
    }

    fn start(to: &Access, form: Form, sink: impl Sink) -> Arc<Self> {
        let output = Output::start("access-log", GATHER, sink);
        Arc::new(Self { to: to.clone(), form, output })
    }
}

impl Drop for Open {
    /// Nobody can have a line for it any more.
    fn drop(&mut self) {
        self.output.end();
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc::{Receiver, SyncSender, sync_channel};

    use http::{Method, StatusCode};

    use super::*;
    use crate::observe::{
        books::Books,
        output::WAITING,
        record::{Ended, Record, Stage},
    };
    use crate::request_id::RequestId;

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
            id: RequestId::from_static("abc"),
            client: Some("127.0.0.1:5".into()),
            line: Some((Method::GET, "/a?b=%22".into())),
            began: tokio::time::Instant::now(),
        }
    }

    #[tokio::test]
    async fn the_last_holder_writes_one_line() {
        let (sender, output) = sync_channel(1);
        let log =
            AccessLog::over(1.0, Some(Open::start(&Access::Stdout, Form::Json, Output(sender))));
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
        let log =
            AccessLog::over(1.0, Some(Open::start(&Access::Stdout, Form::Json, Stalled(stalled))));
        // At least a hundred bytes each, and one buffer may be in the writer's hands.
        let books = Books::new(log.clone(), crate::observe::recent::Recent::off(), None);
        for _ in 0..=2 * WAITING / 100 {
            drop(Record::open(&books, facts()));
        }
        let open = log.shared.current.load_full().expect("started");
        assert!(open.output.dropped() > 0);
        drop(release);
    }
}
