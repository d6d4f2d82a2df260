//! The id of a request: by this it is named in every log that it comes to.

use http::{HeaderMap, HeaderName, HeaderValue};
use smallvec::SmallVec;

pub(crate) const X_REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// Printable ASCII without spaces. Our own stand here in place: from beginning to end of a request, that is less to fetch
/// and to free than a field's value, which counts who has it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct RequestId(SmallVec<[u8; OURS]>);

impl RequestId {
    /// The client's own where it is fit to be logged, else a new one.
    pub(crate) fn of(headers: &HeaderMap) -> Self {
        let fit =
            |id: &&[u8]| (1..=LONGEST).contains(&id.len()) && id.iter().all(u8::is_ascii_graphic);
        // No look-up: that would cost as much as passing by ten names.
        let given = headers.iter().find(|(name, _)| **name == X_REQUEST_ID);
        let given = given.map(|(_, value)| value.as_bytes()).filter(fit);
        given.map_or_else(Self::new, |given| Self(given.into()))
    }

    /// Sixteen hexadecimal digits.
    pub(crate) fn new() -> Self {
        const DIGITS: &[u8; 16] = b"0123456789abcdef";
        let random: [u8; OURS] = fastrand::u128(..).to_le_bytes();
        Self(random.map(|byte| DIGITS[usize::from(byte & 15)]).into())
    }

    pub(crate) fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    pub(crate) fn as_str(&self) -> &str {
        str::from_utf8(&self.0).unwrap_or_default()
    }

    /// As a field has it.
    pub(crate) fn value(&self) -> HeaderValue {
        HeaderValue::from_bytes(&self.0).unwrap_or(HeaderValue::from_static("0"))
    }

    #[cfg(test)]
    pub(crate) fn from_static(id: &'static str) -> Self {
        Self(id.as_bytes().into())
    }
}

const OURS: usize = 16;
/// That is taken from a client.
const LONGEST: usize = 128;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_that_is_fit_is_kept() {
        let id = |value: &str| {
            let value = HeaderValue::from_str(value).expect("a value");
            RequestId::of(&HeaderMap::from_iter([(X_REQUEST_ID, value)]))
        };
        for fit in ["abc-1", "0123456789abcdef", &"x".repeat(LONGEST)] {
            assert_eq!((id(fit).as_str(), id(fit).value().as_bytes()), (fit, fit.as_bytes()));
        }
        for unfit in ["", "a b", "caf\u{e9}", &"x".repeat(LONGEST + 1)] {
            let ours = id(unfit);
            assert_eq!(ours.as_str().len(), OURS);
            assert!(ours.as_bytes().iter().all(u8::is_ascii_hexdigit));
            assert_ne!(ours, id(unfit));
        }
    }
}
