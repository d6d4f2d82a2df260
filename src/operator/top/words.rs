//! How numbers are said.

use std::{fmt::Write as _, time::Duration};

use super::state::{Backend, State};

/// The whole of it, in a sentence.
pub(super) fn sentence(state: &State) -> String {
    let mut text = format!("seawall {}, for {}: ", state.version, age(state.now));
    if state.draining {
        text.push_str("DRAINING, ");
    }
    let count = |number: u64, one: &str, many: &str| {
        format!("{number} {}", if number == 1 { one } else { many })
    };
    let running = state.running.len() as u64;
    text.push_str(&count(state.connections, "connection", "connections"));
    let _ = write!(text, ", {}", count(running, "exchange runs", "exchanges run"));
    if state.orphans() > 0 {
        let _ = write!(text, ", {} of them without a client", state.orphans());
    }
    let shielded = count(state.ended("discarded"), "was", "were");
    let _ = write!(text, "; {shielded} finished for nobody");
    text
}

/// Of a backend, with the reason.
pub(super) fn condition(backend: &Backend) -> String {
    let out: Vec<_> =
        backend.servers.iter().filter(|one| one.is_out()).map(|one| &*one.name).collect();
    match &backend.reason {
        Some(reason) => format!("{}: {reason}", backend.condition),
        None if out.is_empty() => backend.condition.clone(),
        None => format!("{}, without {}", backend.condition, out.join(", ")),
    }
}

/// Of milliseconds, as long as a person looks at it.
pub(super) fn age(millis: f64) -> String {
    let seconds = millis / 1000.0;
    if seconds < 99.95 {
        return format!("{seconds:.1} s");
    }
    let whole = Duration::try_from_secs_f64(seconds.round()).unwrap_or_default();
    let text = humantime::format_duration(whole).to_string();
    // The two greatest units.
    text.split(' ').take(2).collect::<Vec<_>>().join(" ")
}

pub(super) fn bytes(bytes: f64) -> String {
    let units = ["B", "KiB", "MiB", "GiB", "TiB"];
    let mut amount = bytes;
    let mut unit = 0;
    while amount >= 1024.0 && unit + 1 < units.len() {
        amount /= 1024.0;
        unit += 1;
    }
    let digits = usize::from(unit > 0);
    format!("{amount:.digits$} {}", units[unit])
}

/// What others wrote: nothing in it moves the cursor.
pub(super) fn visible(text: &str) -> String {
    text.chars().map(|char| if char.is_control() { '\u{fffd}' } else { char }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_said_in_the_unit_that_suits_them() {
        let ages = [0.0, 3_210.0, 99_949.0, 99_951.0, 3_600_000.0, 90_061_000.0].map(age);
        assert_eq!(ages, ["0.0 s", "3.2 s", "99.9 s", "1m 40s", "1h", "1day 1h"]);
        let sizes = [0.0, 1023.0, 1536.0, 5e9].map(bytes);
        assert_eq!(sizes, ["0 B", "1023 B", "1.5 KiB", "4.7 GiB"]);
        assert_eq!(visible("a\x1b[2Jb"), "a\u{fffd}[2Jb");
    }
}
