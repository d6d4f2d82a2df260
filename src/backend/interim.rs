//! Interim answers (RFC 9110, section 15.2), which a backend may send before the answer.
//!
//! hyper reads past them, and tells of them only through an extension of the request, for which
//! every request would pay. So they are looked for below hyper, where it costs the others a look at
//! the first bytes of their answer.

use http::{HeaderName, HeaderValue, Response, StatusCode};

/// What has come of an answer that began with an interim one.
#[derive(Debug, Default)]
pub(super) struct Prelude {
    /// The beginning of a head of which there is more to come.
    part: Vec<u8>,
}

/// What follows.
pub(super) enum Next {
    /// Perhaps another interim answer.
    More,
    /// The answer itself, or something that hyper will refuse.
    Answer,
}

/// Can these first bytes be the beginning of an interim answer?
pub(super) fn may_begin(bytes: &[u8]) -> bool {
    // The status says so, and nearly always tells otherwise.
    if bytes.get(STATUS).is_some_and(|digit| *digit != BEGIN[STATUS]) {
        return false;
    }
    // A part of these bytes alone hardly ever comes.
    let known = bytes.len().min(BEGIN.len());
    let version = |at: usize| at == MINOR_VERSION;
    (0..known).all(|at| bytes[at] == BEGIN[at] || version(at))
}

impl Prelude {
    /// Takes the next bytes, and tells what is whole; `100 Continue` was for nobody but us.
    pub(super) fn read(&mut self, bytes: &[u8], mut tell: impl FnMut(Response<()>)) -> Next {
        if self.part.is_empty() && !may_begin(bytes) {
            return Next::Answer;
        }
        self.part.extend_from_slice(bytes);
        while !self.part.is_empty() {
            // Where a head ended within the bytes, as at the beginning of them.
            if !may_begin(&self.part) {
                return Next::Answer;
            }
            let mut fields = [httparse::EMPTY_HEADER; FIELDS];
            let mut parsed = httparse::Response::new(&mut fields);
            let end = match parsed.parse(&self.part) {
                Ok(httparse::Status::Complete(end)) => end,
                Ok(httparse::Status::Partial) if self.part.len() <= LONGEST => return Next::More,
                _ => return Next::Answer,
            };
            match parsed.code {
                Some(100) => {}
                // It ends here: 101 is an answer.
                Some(102..=199) => tell(response(&parsed)),
                _ => return Next::Answer,
            }
            self.part.drain(..end);
        }
        Next::More
    }
}

/// Those in a whole stream.
#[cfg(fuzzing)]
pub(crate) fn of_pieces<'a>(mut pieces: impl Iterator<Item = &'a [u8]>) -> Vec<Response<()>> {
    let (mut told, mut prelude) = (Vec::new(), Prelude::default());
    while let Some(piece) = pieces.next()
        && let Next::More = prelude.read(piece, |response| told.push(response))
    {}
    told
}

fn response(parsed: &httparse::Response<'_, '_>) -> Response<()> {
    let mut response = Response::new(());
    if let Some(status) = parsed.code.and_then(|code| StatusCode::from_u16(code).ok()) {
        *response.status_mut() = status;
    }
    for field in parsed.headers.iter() {
        let name = HeaderName::from_bytes(field.name.as_bytes());
        if let (Ok(name), Ok(value)) = (name, HeaderValue::from_bytes(field.value)) {
            response.headers_mut().append(name, value);
        }
    }
    response
}

const BEGIN: &[u8] = b"HTTP/1.1 1";
const MINOR_VERSION: usize = 7;
const STATUS: usize = 9;
/// Of one interim answer; one with more is not passed on.
const FIELDS: usize = 64;
/// Bytes of one interim answer; a longer one is not passed on.
const LONGEST: usize = 32 * 1024;

#[cfg(test)]
mod tests {
    use super::*;

    const HINTS: &str = "HTTP/1.1 103 Early Hints\r\nLink: </a>\r\nLink: </b>\r\n\r\n";

    fn told(pieces: &[&[u8]]) -> (Vec<Response<()>>, bool) {
        let (mut told, mut prelude, mut goes_on) = (Vec::new(), Prelude::default(), true);
        for piece in pieces {
            let next = prelude.read(piece, |response| told.push(response));
            goes_on &= matches!(next, Next::More);
        }
        (told, goes_on)
    }

    #[test]
    fn interim_answers_are_found_however_they_are_cut() {
        let text = format!("{HINTS}HTTP/1.1 102 Processing\r\n\r\nHTTP/1.1 200 OK\r\n\r\n");
        for at in 1..text.len() {
            let (one, other) = text.as_bytes().split_at(at);
            let (told, goes_on) = told(&[one, other]);
            assert_eq!(told.len(), 2, "cut at {at}");
            assert_eq!((told[0].status().as_u16(), told[1].status().as_u16()), (103, 102));
            assert_eq!(told[0].headers().get_all("link").iter().count(), 2);
            assert!(!goes_on);
        }
    }

    #[test]
    fn a_continue_is_passed_over_and_an_upgrade_is_an_answer() {
        let (heads, goes_on) = told(&[b"HTTP/1.1 100 Continue\r\n\r\n", HINTS.as_bytes()]);
        assert_eq!((heads.len(), goes_on), (1, true));
        let (heads, goes_on) = told(&[b"HTTP/1.1 101 Switching Protocols\r\n\r\n"]);
        assert_eq!((heads.len(), goes_on), (0, false));
    }

    #[test]
    fn what_comes_between_two_is_none_however_it_is_cut() {
        // Found by the fuzzer: the parser skips empty lines.
        let text = format!("{HINTS}\r\n{HINTS}");
        for at in 1..text.len() {
            let (one, other) = text.as_bytes().split_at(at);
            assert_eq!(told(&[one, other]).0.len(), 1, "cut at {at}");
        }
    }

    #[test]
    fn what_does_not_end_is_not_kept_for_ever() {
        let mut prelude = Prelude::default();
        let field = format!("HTTP/1.1 103 Early Hints\r\nX: {}", "x".repeat(LONGEST));
        assert!(matches!(prelude.read(field.as_bytes(), |_| ()), Next::Answer));
    }

    #[test]
    fn an_answer_is_no_interim_one() {
        for (begin, may) in [
            ("HTTP/1.1 200 OK", false),
            ("HTTP/1.0 100 ", true),
            ("HTTP/1.1 1", true),
            ("HT", true),
            ("<html>", false),
        ] {
            assert_eq!(may_begin(begin.as_bytes()), may, "{begin}");
        }
    }
}
