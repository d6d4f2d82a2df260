//! The access log: one line per exchange, formatted and written by a thread of its own.
//!
//! The request's path only hands the record over, through a bounded channel. What finds it full
//! is not logged but counted, and the count is reported.

use std::{
    fmt::Write as _,
    io,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
        mpsc::{Receiver, SyncSender, sync_channel},
    },
    time::{Duration, SystemTime},
};

use serde::Serialize;

use super::record::{Facts, Outcome};
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
    Line(Box<(Facts, Outcome, SystemTime)>),
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

    pub(crate) fn write(&self, facts: Facts, outcome: Outcome) {
        let Some(sender) = &self.sender else { return };
        let line = Box::new((facts, outcome, SystemTime::now()));
        if sender.try_send(Message::Line(line)).is_err() {
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
    let mut text = String::new();
    let mut reported = 0;
    while let Ok(first) = from.recv() {
        if matches!(first, Message::Line(_)) {
            std::thread::sleep(GATHER);
        }
        let mut flushes = Vec::new();
        for message in std::iter::once(first).chain(from.try_iter().take(WAITING)) {
            match message {
                Message::Line(line) => {
                    let (facts, outcome, at) = *line;
                    format_line(&mut text, form, &facts, &outcome, at);
                }
                Message::Flush(done) => flushes.push(done),
            }
        }
        // Where the output is gone there is nobody to tell; serving goes on.
        let _ = to.write_all(text.as_bytes()).and_then(|()| to.flush());
        text.clear();
        drop(flushes);
        let lost = dropped.load(Ordering::Relaxed);
        if lost > reported {
            tracing::warn!(lines = lost - reported, total = lost, "access log lines were dropped");
            reported = lost;
        }
    }
}

/// The fields in the order in which they are written.
#[derive(Debug, Serialize)]
struct Line<'a> {
    time: String,
    id: &'a str,
    client: Option<std::net::SocketAddr>,
    method: Option<&'a str>,
    path: Option<&'a str>,
    status: Option<u16>,
    backend_status: Option<u16>,
    ended: &'static str,
    left: Option<&'static str>,
    reason: Option<&'static str>,
    queue_ms: f64,
    backend_ms: f64,
    client_ms: f64,
    delivered_bytes: u64,
    discarded_bytes: u64,
}

fn format_line(text: &mut String, form: Form, facts: &Facts, outcome: &Outcome, at: SystemTime) {
    let line = Line {
        time: humantime::format_rfc3339_millis(at).to_string(),
        id: facts.id.to_str().unwrap_or(""),
        client: facts.client,
        method: facts.line.as_ref().map(|(method, _)| method.as_str()),
        path: facts.line.as_ref().map(|(_, uri)| uri.path_and_query().map_or("*", |p| p.as_str())),
        status: outcome.status.map(|status| status.as_u16()),
        backend_status: outcome.backend_status.map(|status| status.as_u16()),
        ended: outcome.ended().word(),
        left: outcome.left.map(super::record::Stage::word),
        reason: outcome.reason,
        queue_ms: millis(outcome.queue),
        backend_ms: millis(outcome.backend),
        client_ms: millis(outcome.visit),
        delivered_bytes: outcome.delivered,
        discarded_bytes: outcome.discarded,
    };
    match form {
        Form::Json => {
            // Writing to memory does not fail, and nothing in a line can refuse to be serialised.
            text.push_str(&serde_json::to_string(&line).unwrap_or_default());
        }
        Form::Pretty => pretty(text, &line),
    }
    text.push('\n');
}

fn pretty(text: &mut String, line: &Line<'_>) {
    let status = line.status.map_or_else(|| "---".to_owned(), |status| status.to_string());
    let colour = match line.ended {
        "delivered" => "32",
        "discarded" | "abandoned" => "36",
        "refused" => "33",
        _ => "31",
    };
    let time = line.time.get(11..23).unwrap_or(&line.time);
    // Writing to memory does not fail.
    let _ = write!(
        text,
        "{time} {status} \x1b[{colour}m{:<9}\x1b[0m {} {} {:.1} ms, {} B",
        line.ended,
        line.method.unwrap_or("-"),
        line.path.unwrap_or("-"),
        line.client_ms,
        line.delivered_bytes,
    );
    if let Some(left) = line.left {
        let _ = write!(
            text,
            "; client left while {left}, backend {} after {:.1} ms, {} B discarded",
            line.backend_status.map_or_else(|| "gave no answer".to_owned(), |s| s.to_string()),
            line.backend_ms,
            line.discarded_bytes,
        );
    }
    if line.queue_ms >= 1.0 {
        let _ = write!(text, "; queued {:.1} ms", line.queue_ms);
    }
    if let Some(reason) = line.reason {
        let _ = write!(text, "; {reason}");
    }
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
    use crate::observe::record::{Ended, Record, Stage};

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
            client: "127.0.0.1:5".parse().ok(),
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
            log.write(facts(), sample.clone());
        }
        assert!(log.dropped.load(Ordering::Relaxed) >= WAITING as u64 / 2);
        drop(release);
    }
}
