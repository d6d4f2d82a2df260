//! By what requests are told apart, in few bytes.

use sha2::{Digest as _, Sha256};

/// Of several texts, one after the other: equal where all of them are, and nowhere else.
#[derive(Debug, Default)]
pub(crate) struct Digest(Sha256);

impl Digest {
    /// With its length before it, so that no two texts run into each other.
    pub(crate) fn text(&mut self, text: &[u8]) {
        self.0.update(text.len().to_be_bytes());
        self.0.update(text);
    }

    /// A part of what comes last, and so needs no length.
    pub(crate) fn last(&mut self, part: &[u8]) {
        self.0.update(part);
    }

    pub(crate) fn end(self) -> [u8; 32] {
        self.0.finalize().into()
    }
}
