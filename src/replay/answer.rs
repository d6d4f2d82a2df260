//! An answer as bytes, and back.
//!
//! A version byte, the status, the fields, the trailers, the body. Numbers take seven bits a byte, least
//! significant first, and the eighth says that more follow. The body comes last, so it needs no
//! length.

use std::sync::LazyLock;

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode};

/// A whole answer of the backend.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Answer {
    pub status: StatusCode,
    /// Values that share a name keep their order.
    pub fields: HeaderMap,
    pub body: Bytes,
    /// The fields behind the body; hardly any answer has them.
    pub trailers: Option<Box<HeaderMap>>,
}

/// Bytes that are no answer of this version.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Unreadable {
    #[error("a kept answer was written by another version of seawall")]
    Version,
    #[error("a kept answer is damaged")]
    Damaged,
}

impl Answer {
    pub(crate) fn encode(&self) -> Vec<u8> {
        let text: usize = self
            .fields
            .iter()
            .chain(self.trailers())
            .map(|(name, value)| name.as_str().len() + value.len() + 2 * LONGEST_NUMBER)
            .sum();
        let mut to = Vec::with_capacity(1 + 3 * LONGEST_NUMBER + text + self.body.len());
        to.push(VERSION);
        write_number(&mut to, self.status.as_u16().into());
        for fields in [&self.fields, self.trailers()] {
            write_number(&mut to, fields.len());
            for (name, value) in fields {
                write_bytes(&mut to, name.as_str().as_bytes());
                write_bytes(&mut to, value.as_bytes());
            }
        }
        to.extend_from_slice(&self.body);
        to
    }

    fn trailers(&self) -> &HeaderMap {
        static NONE: LazyLock<HeaderMap> = LazyLock::new(HeaderMap::new);
        self.trailers.as_deref().unwrap_or(&NONE)
    }

    /// The bytes are foreign: whatever they are, this neither panics nor takes more memory than
    /// they do. Values and body stay where they are.
    pub(crate) fn decode(bytes: Bytes) -> Result<Self, Unreadable> {
        let mut from = Reader(bytes);
        if from.take(1)?[0] != VERSION {
            return Err(Unreadable::Version);
        }
        let status = u16::try_from(from.number()?).ok();
        let status = status.and_then(|status| StatusCode::from_u16(status).ok());
        let status = status.ok_or(Unreadable::Damaged)?;
        let (fields, trailers) = (from.fields()?, from.fields()?);
        let trailers = (!trailers.is_empty()).then(|| Box::new(trailers));
        Ok(Self { status, fields, body: from.0, trailers })
    }
}

/// What is left to read.
struct Reader(Bytes);

impl Reader {
    fn take(&mut self, count: usize) -> Result<Bytes, Unreadable> {
        match count <= self.0.len() {
            true => Ok(self.0.split_to(count)),
            false => Err(Unreadable::Damaged),
        }
    }

    fn fields(&mut self) -> Result<HeaderMap, Unreadable> {
        let mut fields = HeaderMap::new();
        for _ in 0..self.number()? {
            let name = HeaderName::from_bytes(&self.bytes()?);
            let value = HeaderValue::from_maybe_shared(self.bytes()?);
            let (Ok(name), Ok(value)) = (name, value) else { return Err(Unreadable::Damaged) };
            // Beyond the map's own bound, `append` panics.
            fields.try_append(name, value).map_err(|_| Unreadable::Damaged)?;
        }
        Ok(fields)
    }

    fn bytes(&mut self) -> Result<Bytes, Unreadable> {
        let count = self.number()?;
        self.take(count)
    }

    fn number(&mut self) -> Result<usize, Unreadable> {
        let mut number = 0;
        for place in 0..LONGEST_NUMBER {
            let byte = self.take(1)?[0];
            number |= usize::from(byte & 0x7f) << (7 * place);
            if byte & 0x80 == 0 {
                return Ok(number);
            }
        }
        Err(Unreadable::Damaged)
    }
}

fn write_bytes(to: &mut Vec<u8>, bytes: &[u8]) {
    write_number(to, bytes.len());
    to.extend_from_slice(bytes);
}

/// No status, count or length of a head comes near 28 bits: the parser's bounds are far below.
fn write_number(to: &mut Vec<u8>, mut number: usize) {
    debug_assert!(number < 1 << (7 * LONGEST_NUMBER), "{number} is longer than it can be read");
    while number > 0x7f {
        to.push(0x80 | u8::try_from(number & 0x7f).unwrap_or_default());
        number >>= 7;
    }
    to.push(u8::try_from(number).unwrap_or_default());
}

/// Changes with the layout.
const VERSION: u8 = 2;
/// Bytes of the longest number.
const LONGEST_NUMBER: usize = 4;

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn answer() -> Answer {
        let mut fields = HeaderMap::new();
        for (name, value) in
            [("set-cookie", &b"a=1"[..]), ("x", b"\xff \xe9"), ("set-cookie", b"b=2"), ("y", b"")]
        {
            fields.append(name, HeaderValue::from_bytes(value).expect("a value"));
        }
        let trailers =
            HeaderMap::from_iter([("z".parse().expect("a name"), HeaderValue::from_static("9"))]);
        let trailers = Some(Box::new(trailers));
        let body = Bytes::from_static(b"made\0\xff");
        Answer { status: StatusCode::CREATED, fields, body, trailers }
    }

    #[test]
    fn an_answer_comes_back_as_it_was_kept() {
        let back = Answer::decode(answer().encode().into()).expect("readable");
        assert_eq!(back, answer());
        let cookies: Vec<_> = back.fields.get_all("set-cookie").iter().collect();
        assert_eq!(cookies, ["a=1", "b=2"]);
    }

    #[test]
    fn an_answer_takes_little_more_than_its_text() {
        assert_eq!(
            answer().encode().len(),
            1 + 2 + 1 + 4 * 2 + 10 + 3 + 1 + 3 + 10 + 3 + 1 + 5 + 6
        );
    }

    #[test]
    fn another_version_is_told_apart_from_damage() {
        let mut bytes = answer().encode();
        bytes[0] += 1;
        assert_eq!(Answer::decode(bytes.into()), Err(Unreadable::Version));
        assert_eq!(Answer::decode(Bytes::new()), Err(Unreadable::Damaged));
    }

    #[test]
    fn an_answer_that_is_cut_in_its_head_is_damaged() {
        let bytes = answer().encode();
        for length in 1..bytes.len() - answer().body.len() {
            let cut = Bytes::copy_from_slice(&bytes[..length]);
            assert_eq!(Answer::decode(cut), Err(Unreadable::Damaged), "cut at {length}");
        }
    }

    #[test]
    fn numbers_that_lie_are_damage() {
        for lie in [
            // A status that is none; a number without end; a name beyond the end.
            &[VERSION, 99, 0][..],
            &[VERSION, 0xff, 0xff, 0xff, 0xff, 0xff],
            &[VERSION, 0xc8, 1, 1, 0xff, 0xff, 0xff, 0x7f, b'x'],
            // A name that is none; a value that would end its line.
            &[VERSION, 0xc8, 1, 1, 1, b' ', 0],
            &[VERSION, 0xc8, 1, 1, 1, b'x', 1, b'\n'],
        ] {
            assert_eq!(Answer::decode(Bytes::from_static(lie)), Err(Unreadable::Damaged));
        }
    }

    #[test]
    fn more_fields_than_a_map_can_hold_are_damage() {
        let mut bytes = vec![VERSION, 0xc8, 1];
        write_number(&mut bytes, 40_000);
        for number in 0..40_000 {
            write_bytes(&mut bytes, format!("x{number}").as_bytes());
            write_bytes(&mut bytes, b"");
        }
        assert_eq!(Answer::decode(bytes.into()), Err(Unreadable::Damaged));
    }

    proptest! {
        #[test]
        fn every_answer_comes_back(
            status in 100_u16..1000,
            fields in prop::collection::vec(("[a-z][a-z0-9-]{0,200}", "[ -~\u{80}-\u{ff}]{0,300}"), 0..20),
            body in prop::collection::vec(any::<u8>(), 0..500),
        ) {
            let mut map = HeaderMap::new();
            for (name, value) in fields {
                let name: HeaderName = name.parse().expect("a name");
                map.append(name, HeaderValue::from_bytes(value.as_bytes()).expect("a value"));
            }
            let status = StatusCode::from_u16(status).expect("a status");
            let trailers = (!map.is_empty()).then(|| Box::new(map.clone()));
            let answer = Answer { status, fields: map, body: body.into(), trailers };
            prop_assert_eq!(Answer::decode(answer.encode().into()), Ok(answer));
        }

        #[test]
        fn foreign_bytes_do_no_harm(mut bytes in prop::collection::vec(any::<u8>(), 1..300)) {
            bytes[0] = VERSION;
            let _ = Answer::decode(bytes.into());
        }

        #[test]
        fn damage_in_the_middle_does_no_harm(at in 0_usize..60, byte in any::<u8>()) {
            let mut bytes = answer().encode();
            let at = at % bytes.len();
            bytes[at] = byte;
            let _ = Answer::decode(bytes.into());
        }
    }
}
