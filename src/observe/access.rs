//! The access log: one line per exchange, formatted and written by a thread of its own.
//!
//! The request's path only hands the record over, through a bounded channel. What finds it full
//! is not logged but counted, and the count is reported.

use std::{
    io::{self, Write as _},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
        mpsc::{Receiver, SyncSender, sync_channel},
    },
    time::{Duration, SystemTime},
};

use super::record::{Ended, Facts, Outcome, Stage};
use crate::runtime;

/// Lines waiting to be written; further ones are dropped and counted.
const WAITING: usize = 16 * 1024;
/// How long the writer gathers lines once the first has come: one write for many.
const GATHER: Duration = Duration::from_millis(5);
/// How long [`AccessLog::flush`] waits for a reader of our output that has stalled.
const FLUSH: Duration = Duration::from_secs(1);

/// Where records go; cloning gives another handle on the same.
#[derive(Debug, Clone)]
pub(crate) struct AccessLog {
    sender: Option<SyncSender<Message>>,
    dropped: Arc<AtomicU64>,
}

/// The form of a line.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Form {
    Json,
    Pretty,
}

#[derive(Debug)]
enum Message {
    Line(Box<Facts>, Outcome, SystemTime),
    Flush(SyncSender<()>),
}

impl AccessLog {
    /// A log that writes nothing.
    pub(crate) fn off() -> Self {
        Self { sender: None, dropped: Arc::default() }
    }

    /// Starts the writer.
    pub(crate) fn start(form: Form, to: impl io::Write + Send + 'static) -> Self {
        let (sender, receiver) = sync_channel(WAITING);
        let dropped = Arc::<AtomicU64>::default();
        let seen = dropped.clone();
        runtime::thread("access-log", move || write_lines(&receiver, form, to, &seen));
        Self { sender: Some(sender), dropped }
    }

    pub(crate) fn write(&self, facts: Box<Facts>, outcome: Outcome) {
        let Some(sender) = &self.sender else { return };
        let line = Message::Line(facts, outcome, SystemTime::now());
        if sender.try_send(line).is_err() {
            self.dropped.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Waits until all that was handed over is written. Blocks; for the end of the process.
    pub(crate) fn flush(&self) {
        let Some(sender) = &self.sender else { return };
        let (done, wait) = sync_channel(1);
        if sender.try_send(Message::Flush(done)).is_ok() {
            // Where it does not come, the lines are lost and nobody is left to be told.
            let _ = wait.recv_timeout(FLUSH);
        }
    }
}

fn write_lines(from: &Receiver<Message>, form: Form, mut to: impl io::Write, dropped: &AtomicU64) {
    let mut text = Vec::new();
    let mut clock = Clock::default();
    let mut reported = 0;
    while let Ok(first) = from.recv() {
        if matches!(first, Message::Line(..)) {
            std::thread::sleep(GATHER);
        }
        let mut flushes = Vec::new();
        for message in std::iter::once(first).chain(from.try_iter().take(WAITING)) {
            match message {
                Message::Line(facts, outcome, at) => match form {
                    Form::Json => json(&mut text, clock.format(at), &facts, &outcome),
                    Form::Pretty => pretty(&mut text, clock.format(at), &facts, &outcome),
                },
                Message::Flush(done) => flushes.push(done),
            }
        }
        // Where the output is gone there is nobody to tell; serving goes on.
        let _ = to.write_all(&text).and_then(|()| to.flush());
        text.clear();
        drop(flushes);
        let lost = dropped.load(Ordering::Relaxed);
        if lost > reported {
            tracing::warn!(lines = lost - reported, total = lost, "access log lines were dropped");
            reported = lost;
        }
    }
}

/// Formats times of RFC 3339; what repeats within a second is formatted once.
#[derive(Debug, Default)]
struct Clock {
    second: u64,
    text: String,
}

impl Clock {
    fn format(&mut self, at: SystemTime) -> &str {
        let since = at.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        if since.as_secs() != self.second || self.text.is_empty() {
            self.second = since.as_secs();
            self.text = humantime::format_rfc3339_millis(at).to_string();
        }
        // `2026-01-02T03:04:05.678Z`
        let millis = format!("{:03}", since.subsec_millis());
        self.text.replace_range(20..23, &millis);
        &self.text
    }
}

/// One object a line. The names need no escaping, so that only values go through the serialiser:
/// this is the price of every request.
fn json(text: &mut Vec<u8>, time: &str, facts: &Facts, outcome: &Outcome) {
    let mut field = |name: &'static str, value: Value<'_>| {
        text.extend_from_slice(name.as_bytes());
        // Writing to memory does not fail, and no such value can refuse to be serialised.
        let _ = match value {
            Value::Text(value) => serde_json::to_writer(&mut *text, &value),
            Value::Status(value) => serde_json::to_writer(&mut *text, &value.map(|s| s.as_u16())),
            Value::Millis(value) => serde_json::to_writer(&mut *text, &millis(value)),
            Value::Bytes(value) => serde_json::to_writer(&mut *text, &value),
        };
    };
    field("{\"time\":", Value::Text(Some(time)));
    field(",\"id\":", Value::Text(facts.id.to_str().ok()));
    field(",\"client\":", Value::Text(facts.client.as_deref()));
    field(",\"method\":", Value::Text(facts.method()));
    field(",\"path\":", Value::Text(facts.path()));
    field(",\"status\":", Value::Status(outcome.status));
    field(",\"backend_status\":", Value::Status(outcome.backend_status));
    field(",\"ended\":", Value::Text(Some(outcome.ended().word())));
    field(",\"left\":", Value::Text(outcome.left.map(Stage::word)));
    field(",\"reason\":", Value::Text(outcome.reason));
    field(",\"queue_ms\":", Value::Millis(outcome.queue));
    field(",\"backend_ms\":", Value::Millis(outcome.backend));
    field(",\"client_ms\":", Value::Millis(outcome.visit));
    field(",\"delivered_bytes\":", Value::Bytes(outcome.delivered));
    field(",\"discarded_bytes\":", Value::Bytes(outcome.discarded));
    text.extend_from_slice(b"}\n");
}

enum Value<'a> {
    Text(Option<&'a str>),
    Status(Option<http::StatusCode>),
    Millis(Duration),
    Bytes(u64),
}

fn pretty(text: &mut Vec<u8>, time: &str, facts: &Facts, outcome: &Outcome) {
    let ended = outcome.ended();
    let colour = match ended {
        Ended::Delivered => 32,
        Ended::Discarded | Ended::Abandoned => 36,
        Ended::Refused => 33,
        Ended::Cut | Ended::Failed => 31,
    };
    let status = |status: Option<http::StatusCode>| status.map_or(0, |status| status.as_u16());
    // Writing to memory does not fail.
    let _ = write!(
        text,
        "{} {:03} \x1b[{colour}m{:<9}\x1b[0m {} {} {:.1} ms, {} B",
        time.get(11..23).unwrap_or(time),
        status(outcome.status),
        ended.word(),
        facts.method().unwrap_or("-"),
        facts.path().unwrap_or("-"),
        millis(outcome.visit),
        outcome.delivered,
    );
    if let Some(left) = outcome.left {
        let _ = write!(
            text,
            "; client left while {}; backend {:03} after {:.1} ms, {} B discarded",
            left.word(),
            status(outcome.backend_status),
            millis(outcome.backend),
            outcome.discarded,
        );
    }
    if outcome.queue >= Duration::from_millis(1) {
        let _ = write!(text, "; queued {:.1} ms", millis(outcome.queue));
    }
    if let Some(reason) = outcome.reason {
        let _ = write!(text, "; {reason}");
    }
    text.push(b'\n');
}

fn millis(duration: Duration) -> f64 {
    // Microseconds are enough.
    (duration.as_secs_f64() * 1e6).round() / 1e3
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc::SyncSender;

    use http::{HeaderValue, Method, StatusCode, Uri};

    use super::*;
    use crate::observe::record::Record;

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
            line: Some((Method::GET, Uri::from_static("http://host/a?b=%22"))),
            began: tokio::time::Instant::now(),
        }
    }

    #[tokio::test]
    async fn the_last_holder_writes_one_line() {
        let (sender, output) = sync_channel(1);
        let log = AccessLog::start(Form::Json, Output(sender));
        let visit = Record::open(&log, facts());
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
        let log = AccessLog::start(Form::Json, Stalled(stalled));
        let outcome = Record::open(&AccessLog::off(), facts());
        let mut sample = None;
        outcome.note(|outcome| sample = Some(outcome.clone()));
        let sample = sample.expect("an outcome");
        for _ in 0..3 * WAITING {
            log.write(Box::new(facts()), sample.clone());
        }
        assert!(log.dropped.load(Ordering::Relaxed) >= WAITING as u64 / 2);
        drop(release);
    }
}
