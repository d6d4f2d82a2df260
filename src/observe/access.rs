//! The access log: one line per exchange.

use std::{
    io::{self, Write as _},
    sync::Arc,
    time::{Duration, SystemTime},
};

use parking_lot::Mutex;

use super::{
    output::Output,
    record::{Ended, Facts, Outcome, Stage},
};

/// How long lines are gathered once the first has come.
const GATHER: Duration = Duration::from_millis(5);

/// Where records go; cloning gives another handle on the same.
#[derive(Debug, Clone)]
pub(crate) struct AccessLog {
    shared: Option<Arc<Shared>>,
}

/// The form of a line.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Form {
    Json,
    Pretty,
}

#[derive(Debug)]
struct Shared {
    form: Form,
    /// Locked by who is writing to the output, and so by one at a time.
    clock: Mutex<Clock>,
    output: Arc<Output>,
}

impl AccessLog {
    /// A log that writes nothing.
    pub(crate) fn off() -> Self {
        Self { shared: None }
    }

    /// Starts the writer.
    pub(crate) fn start(form: Form, to: impl io::Write + Send + 'static) -> Self {
        let output = Output::start("access-log", GATHER, to);
        Self { shared: Some(Arc::new(Shared { form, clock: Mutex::default(), output })) }
    }

    pub(crate) fn write(&self, facts: &Facts, outcome: &Outcome) {
        let Some(shared) = &self.shared else { return };
        shared.output.write(|text| {
            let mut clock = shared.clock.lock();
            let time = clock.format(SystemTime::now());
            match shared.form {
                Form::Json => json(text, time, facts, outcome),
                Form::Pretty => pretty(text, time, facts, outcome),
            }
        });
    }

    /// Waits until all that was handed over is written. Blocks; for the end of the process.
    pub(crate) fn flush(&self) {
        if let Some(shared) = &self.shared {
            shared.output.flush();
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
        let millis = since.subsec_millis();
        let digit = |place: u32| char::from_digit(millis / place % 10, 10).unwrap_or('0');
        let digits: [char; 3] = [digit(100), digit(10), digit(1)];
        let mut ascii = [0; 3];
        for (byte, digit) in ascii.iter_mut().zip(digits) {
            digit.encode_utf8(std::slice::from_mut(byte));
        }
        self.text.replace_range(20..23, std::str::from_utf8(&ascii).unwrap_or("000"));
        &self.text
    }
}

/// One object a line. This is the price of every request, so only what others wrote goes through
/// the serialiser; names, words and numbers are ours and need no escaping.
fn json(text: &mut Vec<u8>, time: &str, facts: &Facts, outcome: &Outcome) {
    let mut field = |name: &'static str, value: Value<'_>| {
        text.extend_from_slice(name.as_bytes());
        // Writing to memory does not fail, and no string can refuse to be serialised.
        let _ = match value {
            Value::Foreign(value) => serde_json::to_writer(&mut *text, &value).map_err(Into::into),
            Value::Word(Some(word)) => {
                text.push(b'"');
                text.extend_from_slice(word.as_bytes());
                text.push(b'"');
                Ok(())
            }
            Value::Number(Some(number)) => itoa(text, number),
            Value::Word(None) | Value::Number(None) => text.write_all(b"null"),
            Value::Millis(duration) => {
                let micros = u64::try_from(duration.as_micros()).unwrap_or(u64::MAX);
                let _ = itoa(text, micros / 1000);
                let digit = |place: u64| b'0' + u8::try_from(micros / place % 10).unwrap_or(0);
                text.write_all(&[b'.', digit(100), digit(10), digit(1)])
            }
        };
    };
    let status = |status: Option<http::StatusCode>| status.map(|status| status.as_u16().into());
    field("{\"time\":", Value::Word(Some(time)));
    field(",\"id\":", Value::Foreign(facts.id.to_str().ok()));
    field(",\"client\":", Value::Word(facts.client.as_deref()));
    field(",\"method\":", Value::Word(facts.method()));
    field(",\"path\":", Value::Foreign(facts.path()));
    field(",\"status\":", Value::Number(status(outcome.status)));
    field(",\"backend_status\":", Value::Number(status(outcome.backend_status)));
    field(",\"ended\":", Value::Word(Some(outcome.ended().word())));
    field(",\"left\":", Value::Word(outcome.left.map(Stage::word)));
    field(",\"reason\":", Value::Word(outcome.reason));
    field(",\"queue_ms\":", Value::Millis(outcome.queue));
    field(",\"backend_ms\":", Value::Millis(outcome.backend));
    field(",\"client_ms\":", Value::Millis(outcome.visit));
    field(",\"delivered_bytes\":", Value::Number(Some(outcome.delivered)));
    field(",\"discarded_bytes\":", Value::Number(Some(outcome.discarded)));
    text.extend_from_slice(b"}\n");
}

enum Value<'a> {
    /// What others wrote.
    Foreign(Option<&'a str>),
    /// A word of ours, an address, or a method (a token of RFC 9110): nothing to escape.
    Word(Option<&'a str>),
    Number(Option<u64>),
    /// With three decimals.
    Millis(Duration),
}

fn itoa(text: &mut Vec<u8>, number: u64) -> io::Result<()> {
    text.write_all(itoa::Buffer::new().format(number).as_bytes())
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
    use std::sync::mpsc::{Receiver, SyncSender, sync_channel};

    use http::{HeaderValue, Method, StatusCode};

    use super::*;
    use crate::observe::{output::WAITING, record::Record};

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
        // At least a hundred bytes each, and one buffer may be in the writer's hands.
        for _ in 0..=2 * WAITING / 100 {
            drop(Record::open(&log, facts()));
        }
        let shared = log.shared.as_ref().expect("started");
        assert!(shared.output.dropped() > 0);
        drop(release);
    }
}
