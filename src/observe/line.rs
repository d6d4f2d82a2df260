//! The form of a line of the access log.

use std::{
    io::Write as _,
    time::{Duration, SystemTime},
};

use super::record::{Ended, Facts, Outcome, Source, Stage};

/// The form of a line.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Form {
    Json,
    Pretty { coloured: bool },
}

/// Formats times of RFC 3339; what repeats within a second is formatted once.
#[derive(Debug, Default)]
pub(crate) struct Clock {
    second: u64,
    text: String,
}

impl Clock {
    pub(crate) fn format(&mut self, at: SystemTime) -> &str {
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

/// One object a line. This is the price of every request: what is ours needs no escaping, and what
/// others wrote goes through the serialiser only where it does.
/// `sample`: the line stands for others, which are not written.
pub(crate) fn json(
    text: &mut Vec<u8>,
    time: &str,
    facts: &Facts,
    outcome: &Outcome,
    sample: Option<f64>,
) {
    text.extend_from_slice(b"{\"time\":\"");
    text.extend_from_slice(time.as_bytes());
    text.extend_from_slice(b"\",\"id\":");
    foreign(text, Some(facts.id.as_str()));
    text.extend_from_slice(b",\"client\":");
    word(text, facts.client.as_deref());
    text.extend_from_slice(b",\"method\":");
    // A token of RFC 9110: nothing to escape.
    word(text, facts.method());
    text.extend_from_slice(b",\"path\":");
    foreign(text, facts.path());
    text.extend_from_slice(b",\"status\":");
    status(text, outcome.status);
    text.extend_from_slice(b",\"backend_status\":");
    status(text, outcome.backend_status);
    text.extend_from_slice(b",\"ended\":");
    word(text, Some(outcome.ended().word()));
    text.extend_from_slice(b",\"left\":");
    word(text, outcome.left.map(Stage::word));
    text.extend_from_slice(b",\"reason\":");
    word(text, outcome.reason);
    text.extend_from_slice(b",\"shared\":");
    word(text, outcome.source.map(Source::word));
    text.extend_from_slice(b",\"queue_ms\":");
    millis(text, outcome.queue());
    text.extend_from_slice(b",\"held_ms\":");
    millis(text, outcome.held);
    text.extend_from_slice(b",\"backend_ms\":");
    millis(text, outcome.backend);
    text.extend_from_slice(b",\"client_ms\":");
    millis(text, outcome.visit());
    text.extend_from_slice(b",\"delivered_bytes\":");
    number(text, outcome.delivered);
    text.extend_from_slice(b",\"discarded_bytes\":");
    number(text, outcome.discarded);
    if let Some(received) = outcome.received {
        text.extend_from_slice(b",\"received_bytes\":");
        number(text, received);
    }
    if let Some(server) = &outcome.server {
        text.extend_from_slice(b",\"server\":");
        foreign(text, Some(server));
    }
    if let Some(sample) = sample {
        // Writing to memory does not fail.
        let _ = write!(text, ",\"sample\":{sample}");
    }
    text.extend_from_slice(b"}\n");
}

/// What others wrote.
fn foreign(text: &mut Vec<u8>, value: Option<&str>) {
    let plain = |byte: u8| (b' '..0x7f).contains(&byte) && byte != b'"' && byte != b'\\';
    match value {
        Some(value) if !value.bytes().all(plain) => {
            // Writing to memory does not fail, and no string can refuse to be serialised.
            let _ = serde_json::to_writer(text, value);
        }
        value => word(text, value),
    }
}

/// What has nothing to escape.
fn word(text: &mut Vec<u8>, word: Option<&str>) {
    let Some(word) = word else { return text.extend_from_slice(b"null") };
    text.push(b'"');
    text.extend_from_slice(word.as_bytes());
    text.push(b'"');
}

fn status(text: &mut Vec<u8>, status: Option<http::StatusCode>) {
    match status {
        Some(status) => text.extend_from_slice(status.as_str().as_bytes()),
        None => text.extend_from_slice(b"null"),
    }
}

fn number(text: &mut Vec<u8>, number: u64) {
    text.extend_from_slice(itoa::Buffer::new().format(number).as_bytes());
}

/// Milliseconds, with three decimals.
fn millis(text: &mut Vec<u8>, duration: Duration) {
    if duration.is_zero() {
        return text.extend_from_slice(b"0.000");
    }
    let micros = duration.subsec_micros();
    number(text, duration.as_secs() * 1000 + u64::from(micros / 1000));
    let digit = |place: u32| b'0' + u8::try_from(micros / place % 10).unwrap_or(0);
    text.extend_from_slice(&[b'.', digit(100), digit(10), digit(1)]);
}

/// For people.
pub(super) fn pretty(
    text: &mut Vec<u8>,
    time: &str,
    facts: &Facts,
    outcome: &Outcome,
    coloured: bool,
) {
    let ended = outcome.ended();
    let colour = match ended {
        Ended::Delivered => 32,
        Ended::Discarded | Ended::Abandoned => 36,
        Ended::Refused => 33,
        Ended::Cut | Ended::Failed => 31,
    };
    let (begin, end) = match coloured {
        true => (format!("\x1b[{colour}m"), "\x1b[0m"),
        false => (String::new(), ""),
    };
    let status = |status: Option<http::StatusCode>| status.map_or(0, |status| status.as_u16());
    // Writing to memory does not fail.
    let _ = write!(
        text,
        "{} {:03} {begin}{:<9}{end} {} {} {:.1} ms, {} B",
        time.get(11..23).unwrap_or(time),
        status(outcome.status),
        ended.word(),
        facts.method().unwrap_or("-"),
        facts.path().unwrap_or("-"),
        as_millis(outcome.visit()),
        outcome.delivered,
    );
    if let Some(received) = outcome.received {
        let _ = write!(text, ", {received} B from the client");
    }
    if let Some(left) = outcome.left {
        let _ = write!(
            text,
            "; client left while {}; backend {:03} after {:.1} ms, {} B discarded",
            left.word(),
            status(outcome.backend_status),
            as_millis(outcome.backend),
            outcome.discarded,
        );
    }
    if let Some(server) = &outcome.server {
        let _ = write!(text, "; by {server}");
    }
    if outcome.queue() >= Duration::from_millis(1) {
        let _ = write!(text, "; queued {:.1} ms", as_millis(outcome.queue()));
    }
    if outcome.held >= Duration::from_millis(1) {
        let _ = write!(text, "; held {:.1} ms", as_millis(outcome.held));
    }
    if let Some(source) = outcome.source {
        let _ = write!(text, "; {}", source.word());
    }
    if let Some(reason) = outcome.reason {
        let _ = write!(text, "; {reason}");
    }
    text.push(b'\n');
}

fn as_millis(duration: Duration) -> f64 {
    // Microseconds are enough.
    (duration.as_secs_f64() * 1e6).round() / 1e3
}
