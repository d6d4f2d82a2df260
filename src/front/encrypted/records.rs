//! What TLS makes of records, and records of what goes out.

use std::io::{self, IoSlice};

use bytes::BytesMut;
use rustls::{
    server::ServerConnectionData,
    unbuffered::{
        ConnectionState, EncodeError, EncodeTlsData, EncryptError, InsufficientSizeError,
        UnbufferedStatus,
    },
};
use tokio::io::ReadBuf;

use super::{Encrypted, OVERHEAD, Room, with_room};

impl Encrypted {
    /// Returns how much of it is done with.
    pub(super) fn take_in(
        &mut self,
        came: &mut [u8],
        above: &mut ReadBuf<'_>,
    ) -> Result<usize, rustls::Error> {
        let mut done = 0;
        loop {
            let UnbufferedStatus { mut discard, state } =
                self.tls.process_tls_records(&mut came[done..]);
            let mut is_all = false;
            match state {
                Ok(ConnectionState::ReadTraffic(mut traffic)) => {
                    while let Some(record) = traffic.next_record() {
                        let record = record?;
                        discard += record.discard;
                        let fits = record.payload.len().min(above.remaining());
                        let (now, later) = record.payload.split_at(fits);
                        above.put_slice(now);
                        self.plain.extend_from_slice(later);
                    }
                }
                Ok(ConnectionState::EncodeTlsData(data)) => encode(data, &mut self.out),
                // As good as done: nothing goes out before it.
                Ok(ConnectionState::TransmitTlsData(sent)) => sent.done(),
                Ok(ConnectionState::PeerClosed) => self.is_ended = true,
                Ok(_) => is_all = true,
                Err(error) => {
                    self.is_ended = true;
                    self.last_words();
                    return Err(error);
                }
            }
            done += discard;
            if is_all {
                return Ok(done);
            }
        }
    }

    /// The alert that says what was wrong.
    fn last_words(&mut self) {
        while self.tls.wants_write() {
            match self.tls.process_tls_records(&mut []).state {
                Ok(ConnectionState::EncodeTlsData(data)) => encode(data, &mut self.out),
                // It would stand before the alert.
                Ok(ConnectionState::ReadTraffic(mut traffic)) => {
                    while traffic.next_record().is_some() {}
                }
                _ => return,
            }
        }
    }

    /// Encrypts behind the first `filled` bytes of `records`; returns how many there are then.
    fn encrypt(&mut self, bytes: &[u8], records: &mut Vec<u8>, filled: usize) -> io::Result<usize> {
        let mut needed = bytes.len() + OVERHEAD;
        loop {
            with_room(records, filled + needed);
            let state = self.tls.process_tls_records(&mut self.partial).state;
            let Ok(ConnectionState::WriteTraffic(mut traffic)) = state else {
                return Err(io::ErrorKind::BrokenPipe.into());
            };
            match traffic.encrypt(bytes, &mut records[filled..]) {
                Ok(len) => return Ok(filled + len),
                Err(EncryptError::InsufficientSize(InsufficientSizeError { required_size })) => {
                    needed = required_size;
                }
                Err(EncryptError::EncryptExhausted) => return Err(io::ErrorKind::BrokenPipe.into()),
            }
        }
    }

    /// Small pieces share a record; large ones are not copied for that.
    pub(super) fn encrypt_all(
        &mut self,
        slices: &[IoSlice<'_>],
        room: &mut Room,
    ) -> io::Result<(usize, usize)> {
        let Room { records, gathered } = room;
        let (mut taken, mut filled) = (0, 0);
        gathered.clear();
        for slice in slices {
            let piece = &slice[..slice.len().min(AT_ONCE - taken)];
            taken += piece.len();
            if piece.len() < LARGE {
                gathered.extend_from_slice(piece);
                continue;
            }
            if !gathered.is_empty() {
                filled = self.encrypt(gathered, records, filled)?;
                gathered.clear();
            }
            filled = self.encrypt(piece, records, filled)?;
        }
        if !gathered.is_empty() {
            filled = self.encrypt(gathered, records, filled)?;
        }
        Ok((taken, filled))
    }
}

fn encode(mut data: EncodeTlsData<'_, ServerConnectionData>, out: &mut BytesMut) {
    // Given no room, it says how much it needs.
    let needs = data.encode(&mut []);
    if let Err(EncodeError::InsufficientSize(InsufficientSizeError { required_size })) = needs {
        let before = out.len();
        out.resize(before + required_size, 0);
        let encoded = data.encode(&mut out[before..]);
        debug_assert!(encoded.is_ok(), "there is as much room as it asked for");
    }
}

/// Plain bytes that are taken at once.
const AT_ONCE: usize = 64 * 1024;
/// Worth a record of its own.
const LARGE: usize = 4 * 1024;
