//! Where both sides of a connection stand between two requests: enough to begin its h2 anew.
//!
//! Besides the streams that are open, a connection of HTTP/2 has this in common: the settings, the
//! windows of the connection, the number of the last stream, and a table of fields for each direction
//! (RFC 7541, section 2.3.2). The client's table is what its heads made of it, so these are kept, as
//! they came. Ours need not be: it is emptied by the next head of ours.

use super::frames::{
    ACK, END_HEADERS, END_STREAM, FrameHead, HEAD, PREFACE, Seen,
    kind::{CONTINUATION, DATA, HEADERS, RST_STREAM, SETTINGS, WINDOW_UPDATE},
};

/// A window of the connection, to begin with (RFC 9113, section 6.9.2).
const WINDOW: i64 = 65_535;
/// Bytes of heads that are kept: some eighty requests of a browser. Who sends more keeps its h2.
const MAX_HEADS: usize = 4 * 1024;
/// One of the settings (section 6.5.2).
const HEADER_TABLE_SIZE: u16 = 1;
/// What it is where the client says nothing.
const TABLE: u32 = 4096;
/// Settings that are known (section 6.5.2), and their identifiers from 1 on.
const KNOWN: usize = 6;

#[derive(Debug)]
pub(super) struct Standing {
    /// The client's settings, as far as it has told them.
    settings: [Option<u32>; KNOWN],
    /// The client has acknowledged ours.
    acknowledged: bool,
    /// Bytes that the client may send.
    inward: i64,
    /// Bytes that we may send.
    outward: i64,
    /// The client's last stream.
    last: u32,
    /// All the heads that the client has sent. None where they are too many.
    heads: Option<Vec<u8>>,
    /// More of a head is to come.
    is_amid: bool,
}

impl Standing {
    pub(super) fn new() -> Self {
        Self {
            settings: [None; KNOWN],
            acknowledged: false,
            inward: WINDOW,
            outward: WINDOW,
            last: 0,
            heads: Some(Vec::new()),
            is_amid: false,
        }
    }

    /// By the client.
    pub(super) fn received(&mut self, seen: Seen<'_>) {
        match seen {
            Seen::Head(head) => match head.kind {
                DATA => self.inward -= i64::from(head.len),
                HEADERS | CONTINUATION => self.begin(head),
                SETTINGS => self.acknowledged |= head.flags & ACK != 0,
                _ => {}
            },
            Seen::Fields(piece) => self.keep(piece),
            Seen::Setting(id, value) => {
                if let Some(known) = self.settings.get_mut(usize::from(id).wrapping_sub(1)) {
                    *known = Some(value);
                }
            }
            Seen::Room(more) => self.outward += i64::from(more),
        }
    }

    /// By us.
    pub(super) fn sent(&mut self, seen: Seen<'_>) {
        match seen {
            Seen::Head(FrameHead { kind: DATA, len, .. }) => self.outward -= i64::from(len),
            Seen::Room(more) => self.inward += i64::from(more),
            _ => {}
        }
    }

    /// All is known that an h2 with a window of so many bytes would have to be told.
    pub(super) fn is_known(&self, window: u32) -> bool {
        self.heads.is_some() && !self.is_amid && self.inward <= granted(window)
    }

    /// The connection is not to be begun anew.
    pub(super) fn end(&mut self) {
        self.heads = None;
    }

    fn begin(&mut self, head: FrameHead) {
        self.is_amid = head.flags & END_HEADERS == 0;
        if head.kind == HEADERS && head.stream <= self.last {
            // Trailers: the streams of before are not there to take them.
            self.heads = None;
        }
        self.last = self.last.max(head.stream);
        self.keep(&head.bytes());
    }

    fn keep(&mut self, bytes: &[u8]) {
        if let Some(heads) = &mut self.heads {
            if heads.len() + bytes.len() > MAX_HEADS {
                self.heads = None;
            } else {
                heads.reserve_exact(bytes.len());
                heads.extend_from_slice(bytes);
            }
        }
    }

    /// What h2 hears first: whatever it answers, the client has heard before.
    pub(super) fn opening(&self) -> Vec<u8> {
        let mut opening = PREFACE.to_vec();
        opening.extend_from_slice(&frame(SETTINGS, 0, 0, &[]));
        if self.acknowledged {
            opening.extend_from_slice(&frame(SETTINGS, ACK, 0, &[]));
        }
        opening
    }

    /// Then each head by itself.
    pub(super) fn heads(&self) -> Vec<Head> {
        let mut heads: Vec<Head> = Vec::new();
        let mut rest = self.heads.as_deref().unwrap_or_default();
        while let [high, middle, low, kind, flags, a, b, c, d, ..] = *rest {
            let len = HEAD + u32::from_be_bytes([0, high, middle, low]) as usize;
            let (frame, behind) = rest.split_at(len.min(rest.len()));
            rest = behind;
            match heads.last_mut() {
                Some(head) if kind == CONTINUATION => head.bytes.extend_from_slice(frame),
                _ => heads.push(Head {
                    stream: u32::from_be_bytes([a, b, c, d]),
                    is_whole: flags & END_STREAM != 0,
                    bytes: frame.to_vec(),
                }),
            }
        }
        heads
    }

    /// Bytes that an answer to one of them must have, for our window to be what it is.
    pub(super) fn owed(&self) -> usize {
        usize::try_from(WINDOW - self.outward).unwrap_or(0)
    }

    /// What it hears last. First that the client has no table, so that our next head begins with that (RFC 7541,
    /// section 4.2): what is in the client's, h2 does not know.
    pub(super) fn closing(&self) -> Vec<u8> {
        let table = self.settings[0].unwrap_or(TABLE);
        let known = (1_u16..).zip(self.settings).filter_map(|(id, value)| Some((id, value?)));
        let settings: Vec<u8> = known
            .flat_map(|(id, value)| [&id.to_be_bytes()[..], &value.to_be_bytes()].concat())
            .collect();
        let mut closing = frame(SETTINGS, 0, 0, &table_of(0));
        closing.extend_from_slice(&frame(
            SETTINGS,
            0,
            0,
            &[&table_of(table)[..], &settings].concat(),
        ));
        if let Ok(more @ 1..) = u32::try_from(self.outward - WINDOW) {
            closing.extend_from_slice(&frame(WINDOW_UPDATE, 0, 0, &more.to_be_bytes()));
        }
        closing
    }

    /// What the client is to hear, for its window to be as large as h2 takes it to be.
    pub(super) fn refill(&mut self, window: u32) -> Vec<u8> {
        let missing = u32::try_from(granted(window) - self.inward);
        let Ok(missing @ 1..) = missing else { return Vec::new() };
        self.inward += i64::from(missing);
        frame(WINDOW_UPDATE, 0, 0, &missing.to_be_bytes())
    }
}

/// The head of a request, as it came.
#[derive(Debug)]
pub(super) struct Head {
    pub bytes: Vec<u8>,
    stream: u32,
    /// No body came behind it.
    is_whole: bool,
}

impl Head {
    /// Ends the stream, where its end is not in the head.
    pub(super) fn end(&self) -> Vec<u8> {
        match self.is_whole {
            true => Vec::new(),
            false => {
                frame(RST_STREAM, 0, self.stream, &u32::from(h2::Reason::CANCEL).to_be_bytes())
            }
        }
    }
}

/// The window that the client has of an h2 that was told to give it so much: that makes no update of less than half
/// of what there is.
fn granted(window: u32) -> i64 {
    match i64::from(window) {
        window if window - WINDOW >= WINDOW / 2 => window,
        _ => WINDOW,
    }
}

/// The setting of the client's table.
fn table_of(size: u32) -> [u8; 6] {
    let [a, b, c, d] = size.to_be_bytes();
    let [high, low] = HEADER_TABLE_SIZE.to_be_bytes();
    [high, low, a, b, c, d]
}

fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    // Ours are a few bytes.
    let len = u32::try_from(payload.len()).unwrap_or_default();
    [&FrameHead { len, kind, flags, stream }.bytes()[..], payload].concat()
}
