//! Maps of fields that requests have left: answers are read into them, and hyper reads the next request into the map
//! of an answer. So a worker that is busy makes none anew.

use std::cell::RefCell;

use http::HeaderMap;

thread_local! {
    /// Empty ones, of one worker.
    static LEFT: RefCell<Vec<HeaderMap>> = RefCell::default();
}

/// A request has no more use for it.
pub(super) fn leave(mut map: HeaderMap) {
    if map.capacity().max(map.len()) > LARGE {
        return;
    }
    // What it holds keeps what was read from its client.
    map.clear();
    LEFT.with_borrow_mut(|left| {
        if left.len() < KEPT {
            left.push(map);
        }
    });
}

/// An empty one.
pub(super) fn take() -> HeaderMap {
    LEFT.with_borrow_mut(Vec::pop).unwrap_or_default()
}

/// More than are in use at once between two looks at the sockets; some 100 KiB.
const KEPT: usize = 64;
/// Fields for which a map has room that is worth to be kept: as many as browsers send.
const LARGE: usize = 24;

#[cfg(test)]
mod tests {
    use http::{HeaderValue, header::HOST};

    use super::*;

    #[test]
    fn what_is_left_comes_back_empty_and_what_is_large_does_not() {
        let mut map = HeaderMap::with_capacity(8);
        map.insert(HOST, HeaderValue::from_static("a"));
        let room = map.capacity();
        leave(map);
        let again = take();
        assert!(again.is_empty() && again.capacity() == room);
        leave(HeaderMap::with_capacity(4 * LARGE));
        assert_eq!(take().capacity(), 0);
    }
}
