//! A request as the backend is to get it, whole.
//!
//! Its head is text from the beginning. The fields from which that was written are slices of what was
//! read from the client, and so would keep a whole read buffer for as long as the backend takes.

use std::{borrow::Cow, num::NonZeroU64, sync::Arc};

use http::{
    HeaderValue, Method,
    header::{CONNECTION, CONTENT_LENGTH, TE},
    request,
};

use super::{
    head, maps,
    server::{Seats, Slot},
    stick::Stuck,
};
use crate::{headers, prefetch::prefetch, spool::Received};

/// A request, to be sent as often as it takes.
#[derive(Debug)]
pub(crate) struct Outbound {
    manner: Manner,
    head: Box<[u8]>,
    pub(super) body: Received,
    /// It ends its connection.
    pub(super) closes: bool,
    /// The backend may have seen it: it was cut.
    pub(super) is_sent: bool,
    /// A connection made for it to the server of this number has ended before an answer: is that there
    /// at all?
    pub(super) doubted: Option<NonZeroU64>,
    /// To which server it is to go.
    pub(super) stuck: Option<Box<Stuck>>,
    /// It asks for another protocol.
    pub(super) upgrades: bool,
}

/// What is to be known of its method (RFC 9110, section 9.2).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Manner {
    Get,
    Head,
    Safe,
    Idempotent,
    Other,
}

/// Methods that send something (RFC 9110, section 8.6).
const SENDS: [Method; 3] = [Method::POST, Method::PUT, Method::PATCH];

impl Outbound {
    /// With lines in these pieces behind the fields of its head.
    pub(crate) fn new(mut head: Box<request::Parts>, lines: &[&[u8]], body: Received) -> Self {
        // Where one is looked for, that there is none is said, too: some servers insist (411).
        let none = || SENDS.contains(&head.method).then_some(0);
        if let Some(len) = body.len().or_else(none) {
            head.headers.insert(CONTENT_LENGTH, HeaderValue::from(len));
            // A server that does not look for a body there takes it for the next request, if there
            // may be one.
            if len > 0 && !expects_body(&head.method) {
                // In one line, and that the only one: some read the first.
                head.headers.remove(TE);
                head.headers.insert(CONNECTION, HeaderValue::from_static("close"));
            }
        }
        let (text, closes) = (head::write(&head, lines), head::closes(&head));
        let manner = Manner::of(&head.method);
        let request::Parts { headers, .. } = *head;
        maps::leave(headers);
        Self {
            head: text.into(),
            closes,
            manner,
            body,
            is_sent: false,
            doubted: None,
            stuck: None,
            upgrades: false,
        }
    }

    /// Does its head ask for another protocol?
    pub(crate) fn upgrading(self, upgrades: bool) -> Self {
        Self { upgrades, ..self }
    }

    /// Asks for its head, to have that in the processor's caches again by when it is needed.
    pub(crate) fn recall(&self) {
        prefetch(&*self.head);
    }

    /// It goes once more: its connection was lost, so the backend may have seen it, and may be about to end.
    pub(super) fn goes_again(&mut self, is_sent: bool, doubted: Option<NonZeroU64>) {
        (self.is_sent, self.doubted) = (is_sent, doubted);
    }

    /// It is to go there.
    pub(crate) fn stuck(self, stuck: Option<Box<Stuck>>) -> Self {
        Self { stuck, ..self }
    }

    /// The server that it is to go to.
    pub(super) fn at(&self) -> Option<&Arc<Seats>> {
        self.stuck.as_ref()?.at.as_ref()
    }

    /// Its head for a server that keeps its connections, or is to be asked to (HTTP/1.0).
    pub(super) fn head(&self, keep_alive: bool) -> Cow<'_, [u8]> {
        match keep_alive {
            false => Cow::Borrowed(&self.head),
            true => Cow::Owned(head::kept_alive(&self.head)),
        }
    }

    /// Does it only read (RFC 9110, section 9.2.1)?
    pub(crate) fn is_safe(&self) -> bool {
        matches!(self.manner, Manner::Get | Manner::Head | Manner::Safe)
    }

    pub(super) fn has_no_body(&self) -> bool {
        matches!(self.body, Received::Nothing)
    }

    /// Is its answer one without a body, whatever that says?
    pub(super) fn wants_no_body(&self) -> bool {
        self.manner == Manner::Head
    }

    pub(super) fn is_idempotent(&self) -> bool {
        self.manner != Manner::Other
    }

    /// May the backend have seen it?
    pub(crate) fn is_sent(&self) -> bool {
        self.is_sent
    }

    pub(super) fn doubts(&self, slot: &Slot) -> bool {
        self.doubted.is_some_and(|number| number.get() == slot.server().place().number)
    }

    /// Does a person wait for it, before a browser? Hardly ever asked, and so found out anew each time.
    pub(crate) fn is_page_load(&self) -> bool {
        self.manner == Manner::Get && headers::is_page_load(&head::fields(&self.head))
    }
}

impl Manner {
    fn of(method: &Method) -> Self {
        match *method {
            Method::GET => Self::Get,
            Method::HEAD => Self::Head,
            _ if method.is_safe() => Self::Safe,
            _ if method.is_idempotent() => Self::Idempotent,
            _ => Self::Other,
        }
    }
}

/// Whose body has no meaning of its own (RFC 9110, section 9.3), is often left unread.
fn expects_body(method: &Method) -> bool {
    const BARE: [Method; 5] =
        [Method::GET, Method::HEAD, Method::DELETE, Method::OPTIONS, Method::TRACE];
    !BARE.contains(method)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_kept_of_a_method_says_what_the_method_does() {
        let own = Method::from_bytes(b"PURGE").expect("a method");
        let sends = [Method::POST, Method::PUT, Method::PATCH, Method::DELETE, own];
        let reads = [Method::GET, Method::HEAD, Method::OPTIONS, Method::TRACE];
        for method in reads.into_iter().chain(sends) {
            let page = http::Request::builder().uri("/").header("accept", "text/html");
            let page = page.method(method.clone()).body(());
            let (head, ()) = page.expect("a request").into_parts();
            let request = Outbound::new(Box::new(head), &[], Received::Nothing);
            assert_eq!(request.is_safe(), method.is_safe(), "{method}");
            assert_eq!(request.is_idempotent(), method.is_idempotent(), "{method}");
            assert_eq!(request.wants_no_body(), method == Method::HEAD, "{method}");
            assert_eq!(request.is_page_load(), method == Method::GET, "{method}");
        }
    }
}
