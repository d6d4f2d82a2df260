//! Follows the frames of HTTP/2 (RFC 9113, section 4.1): their heads, and what else is of interest of them.

/// Bytes of a frame's head.
pub(super) const HEAD: usize = 9;
/// Bytes of one of SETTINGS, and of a `WINDOW_UPDATE` (sections 6.5.1 and 6.9).
const SETTING: usize = 6;
const ROOM: usize = 4;
/// Of a number of four bytes; the highest bit says nothing.
const NUMBER: u32 = u32::MAX >> 1;
/// What a client sends before its first frame (section 3.4).
pub(super) const PREFACE: &[u8; PREFACE_LEN as usize] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
const PREFACE_LEN: u32 = 24;

/// Takes one direction of a connection, in pieces as they come.
#[derive(Debug)]
pub(super) struct Frames {
    /// A head, or a unit of a payload, as far as it has come.
    part: [u8; HEAD],
    filled: usize,
    /// Bytes of the payload to come.
    rest: u32,
    payload: Payload,
}

/// What a payload is read as.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Payload {
    Skipped,
    /// Passed on as it comes.
    Fields,
    /// Of so many bytes each.
    Units(usize),
}

/// What has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Seen<'a> {
    Head(FrameHead),
    /// A piece of the payload of HEADERS or CONTINUATION.
    Fields(&'a [u8]),
    /// One of SETTINGS: its identifier and its value.
    Setting(u16, u32),
    /// So many bytes more may be sent on the connection.
    Room(u32),
}

/// The head of a frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct FrameHead {
    pub len: u32,
    pub kind: u8,
    pub flags: u8,
    pub stream: u32,
}

/// Kinds of frames (section 6).
pub(super) mod kind {
    pub(crate) const DATA: u8 = 0;
    pub(crate) const HEADERS: u8 = 1;
    pub(crate) const RST_STREAM: u8 = 3;
    pub(crate) const SETTINGS: u8 = 4;
    pub(crate) const WINDOW_UPDATE: u8 = 8;
    pub(crate) const CONTINUATION: u8 = 9;
}

/// Of DATA and HEADERS.
pub(super) const END_STREAM: u8 = 1;
/// Of HEADERS and CONTINUATION.
pub(super) const END_HEADERS: u8 = 4;
/// Of SETTINGS.
pub(super) const ACK: u8 = 1;

impl Frames {
    /// What a client sends.
    pub(super) fn behind_preface() -> Self {
        Self { rest: PREFACE_LEN, ..Self::new() }
    }

    pub(super) fn new() -> Self {
        Self { part: [0; HEAD], filled: 0, rest: 0, payload: Payload::Skipped }
    }

    /// Everything that came was whole.
    pub(super) fn are_whole(&self) -> bool {
        self.filled == 0 && self.rest == 0
    }

    /// Tells of what is complete with these bytes.
    pub(super) fn follow<'a>(&mut self, mut bytes: &'a [u8], mut each: impl FnMut(Seen<'a>)) {
        while !bytes.is_empty() {
            let size = match self.payload {
                _ if self.rest == 0 => HEAD,
                Payload::Units(size) => size,
                Payload::Skipped | Payload::Fields => {
                    let (piece, behind) = bytes.split_at(bytes.len().min(self.rest as usize));
                    bytes = behind;
                    // Not more than the rest.
                    self.rest -= u32::try_from(piece.len()).unwrap_or(self.rest);
                    if self.payload == Payload::Fields {
                        each(Seen::Fields(piece));
                    }
                    continue;
                }
            };
            let (piece, behind) = bytes.split_at(bytes.len().min(size - self.filled));
            bytes = behind;
            self.part[self.filled..self.filled + piece.len()].copy_from_slice(piece);
            self.filled += piece.len();
            if self.filled == size {
                self.filled = 0;
                each(if self.rest == 0 { self.head() } else { self.unit(size) });
            }
        }
    }

    fn head(&mut self) -> Seen<'static> {
        let [high, middle, low, kind, flags, stream @ ..] = self.part;
        let len = u32::from_be_bytes([0, high, middle, low]);
        let stream = u32::from_be_bytes(stream) & NUMBER;
        self.rest = len;
        self.payload = match kind {
            kind::HEADERS | kind::CONTINUATION => Payload::Fields,
            kind::WINDOW_UPDATE if stream == 0 && len == 4 => Payload::Units(ROOM),
            kind::SETTINGS if len.is_multiple_of(6) => Payload::Units(SETTING),
            _ => Payload::Skipped,
        };
        Seen::Head(FrameHead { len, kind, flags, stream })
    }

    fn unit(&mut self, size: usize) -> Seen<'static> {
        // Not more than the rest: payloads of another length have no units.
        self.rest -= u32::try_from(size).unwrap_or(self.rest);
        let [high, low, value @ .., _, _, _] = self.part;
        if size == ROOM {
            let [high_value, low_value, ..] = value;
            return Seen::Room(u32::from_be_bytes([high, low, high_value, low_value]) & NUMBER);
        }
        Seen::Setting(u16::from_be_bytes([high, low]), u32::from_be_bytes(value))
    }
}

impl FrameHead {
    pub(super) fn bytes(self) -> [u8; HEAD] {
        let [_, high, middle, low] = self.len.to_be_bytes();
        let [a, b, c, d] = self.stream.to_be_bytes();
        [high, middle, low, self.kind, self.flags, a, b, c, d]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_of_interest_is_found_however_the_bytes_are_cut() {
        let heads = [
            FrameHead { len: 12, kind: kind::SETTINGS, flags: 0, stream: 0 },
            FrameHead { len: 0x102, kind: kind::DATA, flags: END_STREAM, stream: 1 },
            FrameHead { len: 8, kind: 6, flags: 0, stream: 0 },
            FrameHead { len: 4, kind: kind::WINDOW_UPDATE, flags: 0, stream: 0 },
            FrameHead { len: 4, kind: kind::WINDOW_UPDATE, flags: 0, stream: 1 },
            FrameHead { len: 3, kind: kind::HEADERS, flags: END_HEADERS, stream: 3 },
            FrameHead { len: 0, kind: kind::SETTINGS, flags: ACK, stream: 0 },
        ];
        let payloads: [&[u8]; 7] = [
            &[0, 1, 0, 0, 0, 7, 0, 4, 1, 0, 0, 0],
            &[7; 0x102],
            &[9; 8],
            &[0x80, 0, 1, 0],
            &[0, 0, 1, 0],
            &[1, 2, 3],
            &[],
        ];
        let mut bytes = PREFACE.to_vec();
        for (head, payload) in heads.iter().zip(payloads) {
            bytes.extend_from_slice(&head.bytes());
            bytes.extend_from_slice(payload);
        }
        for size in [1, 2, 5, 9, 24, 100, bytes.len()] {
            let mut frames = Frames::behind_preface();
            let (mut found, mut others, mut fields) = (Vec::new(), Vec::new(), Vec::new());
            for piece in bytes.chunks(size) {
                frames.follow(piece, |seen| match seen {
                    Seen::Head(head) => found.push(head),
                    Seen::Fields(piece) => fields.extend_from_slice(piece),
                    other => others.push(other),
                });
            }
            assert!(frames.are_whole());
            assert_eq!(found, heads, "in pieces of {size}");
            assert_eq!(fields, [1, 2, 3]);
            assert_eq!(
                others,
                [Seen::Setting(1, 7), Seen::Setting(4, 0x100_0000), Seen::Room(0x100)]
            );
        }
    }
}
