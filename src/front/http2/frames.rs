//! Follows the frames of HTTP/2 by their heads (RFC 9113, section 4.1), to know what kinds pass.

/// Bytes of a frame's head.
const HEAD: usize = 9;
/// Bytes that a client sends before its first frame (section 3.4).
const PREFACE: u32 = 24;

/// Takes one direction of a connection, in pieces as they come.
#[derive(Debug)]
pub(super) struct Frames {
    head: [u8; HEAD],
    filled: usize,
    /// Bytes to come before the next head.
    skip: u32,
}

/// The head of a frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct FrameHead {
    pub len: u32,
    pub kind: u8,
    pub flags: u8,
}

/// Kinds of frames (section 6).
pub(super) mod kind {
    pub(crate) const DATA: u8 = 0;
    pub(crate) const HEADERS: u8 = 1;
    pub(crate) const WINDOW_UPDATE: u8 = 8;
}

/// Of DATA and HEADERS.
pub(super) const END_STREAM: u8 = 1;

impl Frames {
    /// What a client sends.
    pub(super) fn behind_preface() -> Self {
        Self { skip: PREFACE, ..Self::new() }
    }

    pub(super) fn new() -> Self {
        Self { head: [0; HEAD], filled: 0, skip: 0 }
    }

    /// Tells of each head that is complete with these bytes.
    pub(super) fn follow(&mut self, mut bytes: &[u8], mut each: impl FnMut(FrameHead)) {
        while !bytes.is_empty() {
            if self.skip > 0 {
                let skipped = bytes.len().min(self.skip as usize);
                bytes = &bytes[skipped..];
                // Not more than there was to skip.
                self.skip -= u32::try_from(skipped).unwrap_or(self.skip);
                continue;
            }
            let missing = bytes.len().min(HEAD - self.filled);
            self.head[self.filled..self.filled + missing].copy_from_slice(&bytes[..missing]);
            self.filled += missing;
            bytes = &bytes[missing..];
            if self.filled == HEAD {
                let [high, middle, low, kind, flags, ..] = self.head;
                let len = u32::from_be_bytes([0, high, middle, low]);
                self.filled = 0;
                self.skip = len;
                each(FrameHead { len, kind, flags });
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn heads_are_found_however_the_bytes_are_cut() {
        let mut bytes = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_vec();
        bytes.extend_from_slice(&[0, 0, 0, 4, 0, 0, 0, 0, 0]);
        bytes.extend_from_slice(&[0, 1, 2, kind::DATA, END_STREAM, 0, 0, 0, 1]);
        bytes.extend_from_slice(&[7; 0x102]);
        bytes.extend_from_slice(&[0, 0, 8, 6, 0, 0, 0, 0, 0]);
        bytes.extend_from_slice(&[9; 8]);
        let expected = [
            FrameHead { len: 0, kind: 4, flags: 0 },
            FrameHead { len: 0x102, kind: kind::DATA, flags: END_STREAM },
            FrameHead { len: 8, kind: 6, flags: 0 },
        ];
        for size in [1, 2, 5, 9, 24, 100, bytes.len()] {
            let mut frames = Frames::behind_preface();
            let mut found = Vec::new();
            for piece in bytes.chunks(size) {
                frames.follow(piece, |head| found.push(head));
            }
            assert_eq!(found, expected, "in pieces of {size}");
        }
    }
}
