//! What a request says of the trace it belongs to: W3C Trace Context.

use http::{HeaderMap, HeaderName, HeaderValue};

pub(super) const TRACEPARENT: HeaderName = HeaderName::from_static("traceparent");
pub(super) const TRACESTATE: HeaderName = HeaderName::from_static("tracestate");

/// Of sixteen bytes, not all zero.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct TraceId(pub(super) [u8; 16]);

/// Of eight bytes, not all zero.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct SpanId(pub(super) [u8; 8]);

/// A span among all spans.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Context {
    pub(super) trace: TraceId,
    pub(super) span: SpanId,
    pub(super) flags: u8,
}

/// Of the flags: it is recorded.
pub(super) const SAMPLED: u8 = 1;
/// Of the flags: its trace id is random (Level 2, section 3.2.2.5.2). The others have no meaning yet, and
/// are not passed on (Level 1, section 3.2.2.5.1).
const RANDOM: u8 = 2;

impl TraceId {
    pub(super) fn new() -> Self {
        Self(fastrand::u128(1..).to_be_bytes())
    }
}

impl SpanId {
    pub(super) fn new() -> Self {
        Self(fastrand::u64(1..).to_be_bytes())
    }
}

impl Context {
    /// The parent that a request names. None where it names none, or more than one, or where that is
    /// malformed: then a new trace begins (section 4.3).
    pub(super) fn of(headers: &HeaderMap) -> Option<Self> {
        let mut values = headers.get_all(TRACEPARENT).iter();
        let only = values.next().filter(|_| values.next().is_none())?;
        Self::parse(only.as_bytes())
    }

    /// `00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01`.
    fn parse(text: &[u8]) -> Option<Self> {
        let (known, rest) = text.split_at_checked(LENGTH)?;
        let [version] = hex(&known[..2])?;
        // A later version may say more, behind a dash.
        let more = if version == 0 { None } else { Some(&b'-') };
        if version == 0xff || (!rest.is_empty() && rest.first() != more) {
            return None;
        }
        if [known[2], known[35], known[52]] != *b"---" {
            return None;
        }
        let (trace, span) = (hex(&known[3..35])?, hex(&known[36..52])?);
        let [flags] = hex(&known[53..])?;
        (trace != [0; 16] && span != [0; 8]).then_some(Self {
            trace: TraceId(trace),
            span: SpanId(span),
            flags: flags & (SAMPLED | RANDOM),
        })
    }

    /// As those behind are told.
    pub(super) fn field(&self) -> HeaderValue {
        let mut text = Vec::with_capacity(LENGTH);
        text.extend_from_slice(b"00-");
        digits(&mut text, &self.trace.0);
        text.push(b'-');
        digits(&mut text, &self.span.0);
        text.push(b'-');
        digits(&mut text, &[self.flags]);
        HeaderValue::from_maybe_shared(bytes::Bytes::from(text))
            .unwrap_or(HeaderValue::from_static(""))
    }

    pub(super) fn is_sampled(&self) -> bool {
        self.flags & SAMPLED != 0
    }
}

/// What vendors add, as one list; none where it is malformed, and then nobody behind is told of it
/// (section 3.3). Level 2 rules over what a key is, which is the more lenient one.
pub(super) fn state(headers: &HeaderMap) -> Option<String> {
    let mut list = String::new();
    let mut members = 0;
    for value in headers.get_all(TRACESTATE) {
        for member in value.to_str().ok()?.split(',') {
            let member = member.trim_matches([' ', '\t']);
            if member.is_empty() {
                continue;
            }
            let (key, value) = member.split_once('=')?;
            members += 1;
            if members > MEMBERS || !is_key(key.as_bytes()) || !is_value(value.as_bytes()) {
                return None;
            }
            if !list.is_empty() {
                list.push(',');
            }
            list.push_str(member);
        }
    }
    Some(list)
}

fn is_key(key: &[u8]) -> bool {
    let is_letter = |byte: &u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
    let fits = |byte: &u8| is_letter(byte) || b"_-*/@".contains(byte);
    key.len() <= LONGEST && key.first().is_some_and(is_letter) && key.iter().all(fits)
}

fn is_value(value: &[u8]) -> bool {
    let fits = |byte: &u8| (b' '..=b'~').contains(byte) && !b",=".contains(byte);
    (1..=LONGEST).contains(&value.len()) && value.iter().all(fits)
}

/// Lower case alone.
fn hex<const N: usize>(text: &[u8]) -> Option<[u8; N]> {
    let digit = |byte: u8| match byte {
        b'0'..=b'9' => Some(byte - b'0'),
        b'a'..=b'f' => Some(byte - b'a' + 10),
        _ => None,
    };
    let mut bytes = [0; N];
    for (byte, pair) in bytes.iter_mut().zip(text.chunks_exact(2)) {
        *byte = digit(pair[0])? << 4 | digit(pair[1])?;
    }
    Some(bytes)
}

fn digits(to: &mut Vec<u8>, bytes: &[u8]) {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    for byte in bytes {
        to.extend([byte >> 4, byte & 15].map(|digit| DIGITS[usize::from(digit)]));
    }
}

/// Of what version 00 says.
const LENGTH: usize = 55;
/// Of a list.
const MEMBERS: usize = 32;
/// Of a key, and of a value.
const LONGEST: usize = 256;

#[cfg(test)]
mod tests {
    use super::*;

    const TRACE: &str = "12345678901234567890123456789012";

    fn of(values: &[&str]) -> Option<Context> {
        let mut headers = HeaderMap::new();
        for value in values {
            headers.append(TRACEPARENT, value.parse().expect("a value"));
        }
        Context::of(&headers)
    }

    fn of_states(values: &[&str]) -> Option<String> {
        let mut headers = HeaderMap::new();
        for value in values {
            headers.append(TRACESTATE, value.parse().expect("a value"));
        }
        state(&headers)
    }

    #[test]
    fn a_parent_is_read_and_written() {
        let text = format!("00-{TRACE}-1234567890123456-01");
        let parent = of(&[&text]).expect("a parent");
        assert!(parent.is_sampled());
        assert_eq!(parent.field(), text);
        let random = of(&[&format!("00-{TRACE}-1234567890123456-fe")]).expect("a parent");
        assert!(!random.is_sampled());
        assert_eq!(random.field(), format!("00-{TRACE}-1234567890123456-02"));
        for later in ["", "-what-the-future-will-be-like"] {
            let later = of(&[&format!("cc-{TRACE}-1234567890123456-01{later}")]);
            assert_eq!(later, Some(parent));
        }
    }

    /// The cases of the test suite that belongs to the specification.
    #[test]
    fn what_is_malformed_is_no_parent() {
        let good = format!("00-{TRACE}-1234567890123456-01");
        assert_eq!(of(&[&good, &good]), None);
        assert_eq!(of(&[]), None);
        let mut bad = vec![
            String::new(),
            format!("00-{TRACE}-1234567890123456-01."),
            format!("00-{TRACE}-1234567890123456-01-what-the-future-will-be-like"),
            format!("cc-{TRACE}-1234567890123456-01.what-the-future-will-be-like"),
            format!("ff-{TRACE}-1234567890123456-01"),
            format!("00-{}-1234567890123456-01", "0".repeat(32)),
            format!("00-{TRACE}-0000000000000000-01"),
            format!("00-{TRACE}3-1234567890123456-01"),
            format!("00-{TRACE}-12345678901234567-01"),
            format!("00-{}-1234567890123456-01", &TRACE[1..]),
            format!("00-{TRACE}-123456789012345-01"),
            format!("00-{TRACE}-1234567890123456-1"),
            format!("00-{TRACE}-1234567890123456-001"),
            format!("000-{TRACE}-1234567890123456-01"),
            format!("0-{TRACE}-1234567890123456-01"),
            format!("00-{}-1234567890123456-01", TRACE.replace('1', "A")),
        ];
        for at in [0, 3, 36, 53] {
            for odd in [".", "é", "G", "-"] {
                let mut text = good.clone();
                text.replace_range(at..=at, odd);
                bad.push(text);
            }
        }
        for text in &bad {
            assert_eq!(of(&[text]), None, "{text}");
        }
    }

    #[test]
    fn the_state_of_vendors_is_one_list() {
        let joined = of_states(&["foo=1 \t , \tbar=2", "", "rojo@x/y=a b"]);
        assert_eq!(joined.as_deref(), Some("foo=1,bar=2,rojo@x/y=a b"));
        assert_eq!(of_states(&[]).as_deref(), Some(""));
        let many = |count: usize| (0..count).map(|at| format!("k{at}=1")).collect::<Vec<_>>();
        assert!(of_states(&[&many(32).join(",")]).is_some());
        let long = "z".repeat(256);
        assert!(of_states(&[&format!("{long}=1")]).is_some());
        for bad in [
            "foo =1",
            "FOO=1",
            "foo.bar=1",
            "@foo=1,bar=2",
            "foo",
            "foo=bar=baz",
            "foo=,bar=3",
            &many(33).join(","),
            &format!("z{long}=1"),
        ] {
            assert_eq!(of_states(&["ok=1", bad]), None, "{bad}");
        }
    }
}
