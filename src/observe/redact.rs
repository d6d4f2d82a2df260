//! What is not to be seen of a request's target: values in its query.

use std::{borrow::Cow, sync::Arc};

use percent_encoding::percent_decode_str;

/// Whose values are not to be seen; cloning gives another handle on the same.
#[derive(Debug, Clone)]
pub(crate) struct Redact {
    names: Arc<[String]>,
    all: bool,
}

impl Redact {
    /// Names in lower case, or `*` for all.
    pub(crate) fn new(names: &[String]) -> Self {
        Self { names: names.into(), all: names.iter().any(|name| name == ALL) }
    }

    /// The target as it may be shown.
    pub(crate) fn target<'a>(&self, target: &'a str) -> Cow<'a, str> {
        if self.names.is_empty() {
            return Cow::Borrowed(target);
        }
        let Some((path, query)) = target.split_once('?') else { return Cow::Borrowed(target) };
        let mut shown = String::with_capacity(target.len() + INSTEAD.len());
        shown.push_str(path);
        shown.push('?');
        self.pairs(query, &mut shown);
        Cow::Owned(shown)
    }

    /// Of a reference, which may have a fragment: there, too, are tokens handed over (RFC 6749, section
    /// 4.2.2), and pages keep what others have in a query.
    pub(crate) fn reference<'a>(&self, reference: &'a str) -> Cow<'a, str> {
        let Some((target, fragment)) = reference.split_once('#') else {
            return self.target(reference);
        };
        let mut shown = self.target(target).into_owned();
        for (index, part) in fragment.split('?').enumerate() {
            shown.push(if index == 0 { '#' } else { '?' });
            self.pairs(part, &mut shown);
        }
        Cow::Owned(shown)
    }

    fn pairs(&self, query: &str, shown: &mut String) {
        for (index, pair) in query.split('&').enumerate() {
            if index > 0 {
                shown.push('&');
            }
            match self.secret_from(pair) {
                Some(at) => {
                    shown.push_str(&pair[..at]);
                    shown.push_str(INSTEAD);
                }
                None => shown.push_str(pair),
            }
        }
    }

    /// From where on a pair is not to be seen. To some servers `;` divides pairs as well; to others it is
    /// a part of the value, which is why what follows a secret is none of ours to tell.
    fn secret_from(&self, pair: &str) -> Option<usize> {
        let mut begin = 0;
        for part in pair.split(';') {
            match part.split_once('=') {
                Some((name, _)) if self.is_secret(name) => return Some(begin + name.len() + 1),
                None if self.all && !part.is_empty() => return Some(begin),
                _ => {}
            }
            begin += part.len() + 1;
        }
        None
    }

    /// As servers read names: `user%5Bpassword%5D` is a `password`, too.
    fn is_secret(&self, name: &str) -> bool {
        if self.all {
            return true;
        }
        let name = name.replace('+', " ");
        let name = percent_decode_str(&name).decode_utf8_lossy().to_lowercase();
        let mut parts = name.split(['[', ']', '.']);
        self.names.contains(&name) || parts.any(|part| self.names.iter().any(|one| one == part))
    }
}

const ALL: &str = "*";
const INSTEAD: &str = "REDACTED";

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(names: &[&str], target: &str) -> String {
        let names: Vec<String> = names.iter().map(|&name| name.to_owned()).collect();
        Redact::new(&names).target(target).into_owned()
    }

    #[test]
    fn the_values_of_these_names_are_not_seen() {
        for (target, expected) in [
            ("/a?token=1&b=2", "/a?token=REDACTED&b=2"),
            ("/a?b=2&token=1", "/a?b=2&token=REDACTED"),
            ("/a?token=x=y&token=", "/a?token=REDACTED&token=REDACTED"),
            // However they are written.
            ("/a?TOKEN=1&%74oken=2", "/a?TOKEN=REDACTED&%74oken=REDACTED"),
            (
                "/a?user[token]=1&user%5Btoken%5D=2",
                "/a?user[token]=REDACTED&user%5Btoken%5D=REDACTED",
            ),
            ("/a?token[]=1&user.token=2", "/a?token[]=REDACTED&user.token=REDACTED"),
            ("/a?api+key=1&api%20key=2", "/a?api+key=REDACTED&api%20key=REDACTED"),
            // With either reading of the semicolon.
            ("/a?b=2;token=1;c=3&d=4", "/a?b=2;token=REDACTED&d=4"),
            ("/a?x?token=1", "/a?x?token=1"),
        ] {
            assert_eq!(shown(&["token", "api key"], target), expected, "{target}");
        }
    }

    #[test]
    fn what_is_handed_over_in_a_fragment_is_not_seen() {
        let redact = Redact::new(&["token".to_owned()]);
        for (reference, expected) in [
            ("/a#token=1&b=2", "/a#token=REDACTED&b=2"),
            ("/a?b=2#c&token=1", "/a?b=2#c&token=REDACTED"),
            ("/a?token=1#b", "/a?token=REDACTED#b"),
            ("/#/a?token=1", "/#/a?token=REDACTED"),
            ("/a#part", "/a#part"),
            ("/a?b=2", "/a?b=2"),
        ] {
            assert_eq!(redact.reference(reference), expected, "{reference}");
        }
    }

    #[test]
    fn what_is_no_such_value_stays_as_it_is() {
        for target in
            ["/", "*", "/token=1", "/a?", "/a?token", "/a?tokens=1&my_token=2", "/a?b=token"]
        {
            assert_eq!(shown(&["token"], target), target);
        }
        assert_eq!(shown(&[], "/a?token=1"), "/a?token=1");
    }

    #[test]
    fn a_star_hides_all_that_is_no_name() {
        assert_eq!(shown(&["*"], "/a?b=1&secret&c=2;d=3"), "/a?b=REDACTED&REDACTED&c=REDACTED");
        assert_eq!(shown(&["*"], "/a?"), "/a?");
        assert_eq!(shown(&["*"], "/a?&"), "/a?&");
    }
}
