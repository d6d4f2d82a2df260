//! The last lines that the child wrote, for whoever asks why it is not there, and for who looks on.

use std::collections::VecDeque;

use crate::lock::Mutex;

/// The child's last lines, from both of its streams, as they came.
#[derive(Debug, Default)]
pub(crate) struct LastLines(Mutex<Lines>);

#[derive(Debug, Default)]
struct Lines {
    kept: VecDeque<String>,
    /// How many have ever come.
    come: u64,
    /// How many had come when the child was started last.
    before: u64,
}

impl LastLines {
    pub(crate) fn push(&self, line: &str) {
        let line = plain(line).chars().take(KEPT_OF_LINE).collect();
        let mut lines = self.0.lock();
        if lines.kept.len() == KEPT {
            lines.kept.pop_front();
        }
        lines.kept.push_back(line);
        lines.come += 1;
    }

    /// The child is started again: what comes from here on is of another life.
    pub(crate) fn begin(&self) {
        let mut lines = self.0.lock();
        lines.before = lines.come;
    }

    /// The end of what this life of the child has written, oldest first.
    pub(crate) fn text(&self) -> String {
        let lines = self.0.lock();
        let own = usize::try_from(lines.come - lines.before).unwrap_or(usize::MAX).min(TOLD);
        let skipped = lines.kept.len().saturating_sub(own);
        lines.kept.iter().skip(skipped).map(String::as_str).collect::<Vec<_>>().join("\n")
    }

    /// Those that have come since so many had, as far as they are kept, with how many have by now.
    pub(crate) fn since(&self, come: u64) -> (Vec<String>, u64) {
        let lines = self.0.lock();
        let news = usize::try_from(lines.come.saturating_sub(come)).unwrap_or(usize::MAX);
        let skipped = lines.kept.len().saturating_sub(news);
        (lines.kept.iter().skip(skipped).cloned().collect(), lines.come)
    }
}

/// Without what only a terminal understands, colours above all.
fn plain(line: &str) -> String {
    let mut plain = String::with_capacity(line.len());
    let mut chars = line.chars();
    while let Some(char) = chars.next() {
        match char {
            // ECMA-48: `ESC [`, parameters, and a final letter or sign.
            '\x1b' if chars.as_str().starts_with('[') => {
                chars.next();
                chars.by_ref().find(|char| ('@'..='~').contains(char));
            }
            '\t' => plain.push(char),
            _ if char.is_control() => {}
            _ => plain.push(char),
        }
    }
    plain
}

/// Lines that are kept, of all lives together; the oldest go.
const KEPT: usize = 200;
/// Lines that are told to who asks for a child that is not there.
const TOLD: usize = 20;
/// Characters that are kept of a line.
const KEPT_OF_LINE: usize = 500;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_lines_of_a_life_are_told_in_plain() {
        let last = LastLines::default();
        last.push("of the life before");
        last.begin();
        assert_eq!(last.text(), "");
        (0..30).for_each(|line| last.push(&format!("\x1b[31;1mline {line}\x1b[0m\x07")));
        let expected: Vec<String> = (10..30).map(|line| format!("line {line}")).collect();
        assert_eq!(last.text(), expected.join("\n"));
        last.push(&"a".repeat(2 * KEPT_OF_LINE));
        assert_eq!(last.text().lines().last().map(str::len), Some(KEPT_OF_LINE));
    }

    #[test]
    fn who_looks_on_misses_nothing_that_is_kept() {
        let last = LastLines::default();
        last.push("one");
        let (lines, come) = last.since(0);
        assert_eq!((lines, come), (vec!["one".to_owned()], 1));
        last.begin();
        last.push("two");
        assert_eq!(last.since(come), (vec!["two".to_owned()], 2));
        assert_eq!(last.since(2), (Vec::new(), 2));
        (0..2 * KEPT).for_each(|_| last.push("more"));
        assert_eq!(last.since(2).0.len(), KEPT);
    }
}
