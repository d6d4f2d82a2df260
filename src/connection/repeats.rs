//! Which fields of answers come again, and so are worth a place in the client's table.
//!
//! HPACK (RFC 7541, section 2.3.2) keeps fields at both ends, so that they need not be sent again. h2
//! would keep every one, as long as the connection lives: where each answer has an id or a date of its
//! own, that fills up with what never comes again, and takes some 20 KiB.

use std::hash::{DefaultHasher, Hash as _, Hasher as _};

use http::{HeaderMap, HeaderName, HeaderValue};

/// So many fields are remembered: more than nearly any answer has.
const LAST: usize = 32;

/// The last fields of a connection that had not come before.
#[derive(Debug, Default)]
pub(super) struct Repeats {
    marks: [u32; LAST],
    come: usize,
}

impl Repeats {
    /// Keeps those out of the table that come for the first time. What is kept out is a literal that is
    /// never indexed (section 6.2.3); what is in the table already is sent as its place there.
    pub(super) fn keep_out_new(&mut self, fields: &mut HeaderMap) {
        for (name, value) in fields {
            let is_new = self.is_new(name, value);
            value.set_sensitive(is_new);
        }
    }

    fn is_new(&mut self, name: &HeaderName, value: &HeaderValue) -> bool {
        let mut hasher = DefaultHasher::new();
        name.as_str().hash(&mut hasher);
        value.as_bytes().hash(&mut hasher);
        // Two fields with one mark are nothing worse than one in the table that need not be.
        let [.., a, b, c, d] = hasher.finish().to_le_bytes();
        let mark = u32::from_le_bytes([a, b, c, d]).max(1);
        if self.marks.contains(&mark) {
            return false;
        }
        // In turn, of an answer with one more than fit, each would be forgotten just before it comes again.
        let place = if self.come < LAST { self.come } else { self.come ^ mark as usize };
        self.marks[place % LAST] = mark;
        self.come += 1;
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_an_answer_with_too_many_fields_many_come_again() {
        let mut repeats = Repeats::default();
        let mut come_again = || {
            let mut fields = HeaderMap::new();
            for number in 0..LAST + 8 {
                fields.append("set-cookie", HeaderValue::from(number));
            }
            repeats.keep_out_new(&mut fields);
            fields.values().filter(|value| !value.is_sensitive()).count()
        };
        assert_eq!(come_again(), 0);
        let later = [come_again(), come_again(), come_again()];
        assert!(later.iter().all(|again| *again >= LAST / 4), "{later:?}");
    }

    #[test]
    fn a_field_is_new_once() {
        let mut repeats = Repeats::default();
        let mut sensitive = |name: &'static str, value: &str| {
            let mut fields = HeaderMap::new();
            fields.insert(name, HeaderValue::try_from(value).unwrap());
            repeats.keep_out_new(&mut fields);
            fields[name].is_sensitive()
        };
        assert!(sensitive("server", "a"));
        assert!(!sensitive("server", "a"));
        assert!(sensitive("server", "b"));
        assert!(sensitive("via", "a"));
        assert!(!sensitive("via", "a"));
        for id in 0..20 * LAST {
            sensitive("x-request-id", &id.to_string());
        }
        assert!(sensitive("server", "a"), "it was long ago");
    }
}
