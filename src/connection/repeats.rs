//! Which fields of answers come again, and so are worth a place in the client's table.
//!
//! HPACK (RFC 7541, section 2.3.2) keeps fields at both ends, so that they need not be sent again. h2
//! would keep every one, as long as the connection lives: where each answer has an id or a date of its
//! own, that fills up with what never comes again, and takes some 20 KiB.

use std::hash::{DefaultHasher, Hash as _, Hasher as _};

use http::{HeaderMap, HeaderName, HeaderValue};

/// So many fields are remembered: more than an answer has.
const LAST: usize = 32;

/// The last fields of a connection that had not come before.
#[derive(Debug, Default)]
pub(super) struct Repeats {
    marks: [u16; LAST],
    next: usize,
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
        let [low, high, ..] = hasher.finish().to_le_bytes();
        let mark = u16::from_le_bytes([low, high]);
        if self.marks.contains(&mark) {
            return false;
        }
        self.marks[self.next] = mark;
        self.next = (self.next + 1) % LAST;
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

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
        for id in 0..LAST {
            sensitive("x-request-id", &id.to_string());
        }
        assert!(sensitive("server", "a"), "it was long ago");
    }
}
