//! Long bodies go into a pipe, and do not come to us.

use std::{future::poll_fn, io, os::fd::BorrowedFd};

use bytes::BytesMut;

use super::{Fault, Link};
use crate::pipe::Pipe;

impl Link {
    /// Is so much of the body to come that it is worth a pipe, and has nothing of that come to us?
    pub(crate) fn is_long(&self) -> bool {
        self.inbound.left() >= LONG
    }

    /// Awaits more of a long body, and has a pipe take it. None where there is no pipe.
    pub(crate) async fn pour(
        &mut self,
        pipe: impl Fn() -> Option<Pipe>,
    ) -> Result<Option<Pipe>, Fault> {
        let poured = poll_fn(|cx| {
            self.poll_rest(cx)?;
            let most = self.inbound.left();
            let fill = |socket: BorrowedFd<'_>| {
                let Some(mut pipe) = pipe() else { return Ok(None) };
                match pipe.fill(socket, most) {
                    Ok(_) => Ok(Some(pipe)),
                    // Some sandboxes know no such call.
                    Err(error) if is_unknown(&error) => Ok(None),
                    Err(error) => Err(error),
                }
            };
            let poured = self.socket.poll_taken(cx, fill).map_err(Fault::Lost);
            if poured.is_pending() {
                // An orphan may wait for long.
                self.bulk = BytesMut::new();
            }
            poured
        })
        .await?;
        let Some(pipe) = poured else { return Ok(None) };
        if pipe.len() == 0 {
            self.inbound.close();
            return Err(Fault::Closed);
        }
        self.inbound.passed(pipe.len() as u64);
        Ok(Some(pipe))
    }
}

fn is_unknown(error: &io::Error) -> bool {
    use io::ErrorKind::{InvalidInput, PermissionDenied, Unsupported};
    matches!(error.kind(), InvalidInput | PermissionDenied | Unsupported)
}

/// Of a body of which at least so much is to come, a pipe takes the rest. Where it was 68 KiB, that cost hardly less
/// than to copy them, and where it was 96, less than two thirds.
const LONG: u64 = 64 * 1024;
