//! Where WebSocket frames begin and end (RFC 6455, section 5.2).

use std::io::Cursor;

use tungstenite::protocol::frame::{
    CloseFrame, Frame, FrameHeader,
    coding::{CloseCode, Control, Data, OpCode},
};

/// Follows one direction of a WebSocket, to know where a Close of our own can be put. Any bytes at
/// all are frames to it: whether they are good ones is for the other end to judge.
#[derive(Debug, Default)]
pub struct Frames {
    /// The header of the present frame, as far as it has come.
    head: [u8; LONGEST_HEAD],
    known: usize,
    /// Bytes of its payload that are still to come.
    left: u64,
    is_close: bool,
    closed: bool,
}

impl Frames {
    /// Takes bytes up to the end of the present frame, or all of them, and says how many.
    pub fn take(&mut self, bytes: &[u8]) -> usize {
        let mut taken = 0;
        if self.left == 0 {
            let Some(of_head) = self.take_head(bytes) else { return bytes.len() };
            taken = of_head;
        }
        let rest = (bytes.len() - taken) as u64;
        let of_payload = self.left.min(rest);
        self.left -= of_payload;
        self.closed |= self.is_close && self.left == 0;
        // No more than `bytes` has.
        taken + usize::try_from(of_payload).unwrap_or(0)
    }

    /// Takes all of the bytes.
    pub fn pass(&mut self, mut bytes: &[u8]) {
        while !bytes.is_empty() {
            let taken = self.take(bytes);
            bytes = &bytes[taken..];
        }
    }

    /// Would the next byte begin a frame?
    #[must_use]
    pub fn is_between(&self) -> bool {
        self.known == 0 && self.left == 0
    }

    /// Has a whole Close frame come?
    #[must_use]
    pub fn is_closed(&self) -> bool {
        self.closed
    }

    /// How many bytes belong to the header; `None` while more of it is to come.
    fn take_head(&mut self, bytes: &[u8]) -> Option<usize> {
        let before = self.known;
        let more = bytes.len().min(LONGEST_HEAD - before);
        self.head[before..before + more].copy_from_slice(&bytes[..more]);
        self.known += more;
        let Some((len, code, payload)) = parse(self.head, self.known) else {
            debug_assert_eq!(more, bytes.len(), "no header is longer");
            return None;
        };
        self.known = 0;
        self.left = payload;
        self.is_close = code == OpCode::Control(Control::Close);
        Some(len - before)
    }
}

/// A Close frame with this code; from a client it is masked.
pub(super) fn close(code: CloseCode, from_client: bool) -> Vec<u8> {
    let mut frame = Frame::close(Some(CloseFrame { code, reason: "".into() }));
    // A mask keeps a script from choosing the bytes on the wire (RFC 6455, section 10.3). These are
    // chosen by nobody, so any mask will do.
    frame.header_mut().mask = from_client.then(|| fastrand::u32(..).to_ne_bytes());
    let mut bytes = Vec::new();
    // Writing to memory does not fail.
    let _ = frame.format(&mut bytes);
    bytes
}

/// Length of the header, opcode, length of the payload.
fn parse(mut head: [u8; LONGEST_HEAD], known: usize) -> Option<(usize, OpCode, u64)> {
    // The parser refuses opcodes that are reserved; their frames have the same form.
    if matches!(
        OpCode::from(head[0] & 0x0f),
        OpCode::Data(Data::Reserved(_)) | OpCode::Control(Control::Reserved(_))
    ) {
        head[0] = (head[0] & 0xf0) | u8::from(OpCode::Data(Data::Binary));
    }
    let mut cursor = Cursor::new(&head[..known]);
    let (header, payload) = FrameHeader::parse(&mut cursor).ok().flatten()?;
    Some((usize::try_from(cursor.position()).ok()?, header.opcode, payload))
}

const LONGEST_HEAD: usize = 14;

#[cfg(test)]
mod tests {
    use proptest::{collection::vec, prelude::*};

    use super::*;

    fn frame(opcode: u8, payload: usize, mask: bool) -> Vec<u8> {
        let mask_bit = if mask { 0x80 } else { 0 };
        let mut bytes = vec![0x80 | opcode];
        match (u8::try_from(payload), u16::try_from(payload)) {
            (Ok(len @ 0..=125), _) => bytes.push(mask_bit + len),
            (_, Ok(len)) => {
                bytes.push(mask_bit + 126);
                bytes.extend(len.to_be_bytes());
            }
            _ => {
                bytes.push(mask_bit + 127);
                bytes.extend((payload as u64).to_be_bytes());
            }
        }
        if mask {
            bytes.extend([1, 2, 3, 4]);
        }
        bytes.resize(bytes.len() + payload, 0x88);
        bytes
    }

    #[test]
    fn a_close_is_seen_once_it_is_whole() {
        let mut frames = Frames::default();
        let bytes = close(CloseCode::Away, true);
        assert_eq!(bytes.len(), 8);
        frames.pass(&bytes[..7]);
        assert!(!frames.is_closed() && !frames.is_between());
        frames.pass(&bytes[7..]);
        assert!(frames.is_closed() && frames.is_between());
        assert_eq!(close(CloseCode::Restart, false), [0x88, 2, 0x03, 0xf4]);
    }

    #[test]
    fn a_payload_that_looks_like_a_close_is_none() {
        let mut frames = Frames::default();
        frames.pass(&frame(2, 70_000, false));
        assert!(frames.is_between() && !frames.is_closed());
    }

    proptest! {
        #[test]
        fn frames_end_where_they_were_made_to_end(
            frames in vec((0..16_u8, prop_oneof![0..130_usize, 65_530..65_540_usize], any::<bool>()), 1..6),
            piece in 1..40_usize,
        ) {
            let made: Vec<Vec<u8>> =
                frames.iter().map(|(code, len, mask)| frame(*code, *len, *mask)).collect();
            let all = made.concat();
            let mut follower = Frames::default();
            let mut ends = Vec::new();
            let mut at = 0;
            for mut bytes in all.chunks(piece) {
                while !bytes.is_empty() {
                    let taken = follower.take(bytes);
                    at += taken;
                    bytes = &bytes[taken..];
                    if follower.is_between() {
                        ends.push(at);
                    }
                }
            }
            let expected: Vec<usize> = made
                .iter()
                .scan(0, |end, frame| {
                    *end += frame.len();
                    Some(*end)
                })
                .collect();
            prop_assert_eq!(ends, expected);
            prop_assert_eq!(follower.is_closed(), frames.iter().any(|(code, ..)| *code == 8));
        }

        #[test]
        fn any_bytes_are_taken_to_the_last(bytes in vec(any::<u8>(), 0..200)) {
            Frames::default().pass(&bytes);
        }
    }
}
