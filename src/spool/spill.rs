//! From memory to disk, in one stride.

use std::io;

use bytes::Bytes;

use super::{
    Full, Spool,
    disk::{self, Disk},
};

impl Spool {
    /// Moves all that memory holds to disk, and this chunk behind it. Gives back how many bytes of the chunk
    /// were discarded by that.
    pub(super) async fn spill(&self, chunk: &Bytes) -> Result<u64, Full> {
        let len = chunk.len() as u64;
        let (file, offset, mut chunks, upto) = {
            let mut state = self.shared.state.lock();
            let bytes = state.written - state.memory_from + len;
            let share = match &mut state.disk {
                Some(disk) => disk.share.grow(bytes).then_some(None),
                None => {
                    let mut share = self.shared.limits.total_disk.share();
                    share.grow(bytes).then_some(Some(share))
                }
            };
            let Some(share) = share else { return Err(Full::Budget) };
            state.spilling = true;
            let chunks: Vec<Bytes> = state.chunks.iter().cloned().collect();
            let upto = state.first + chunks.len() as u64;
            let from = state.memory_from;
            match (&state.disk, share) {
                (Some(disk), _) => (Ok(disk.file()), from - disk.from, chunks, upto),
                (None, share) => (Err((share, from)), 0, chunks, upto),
            }
        };
        let file = match file {
            Ok(file) => file,
            Err((share, from)) => {
                let made = disk::create(&self.shared.limits.dir).await;
                let file = made.map_err(|error| self.spill_failed(error))?;
                let share = share.unwrap_or_else(|| self.shared.limits.total_disk.share());
                self.shared.state.lock().disk = Some(Disk::new(file.clone(), from, share));
                file
            }
        };
        chunks.push(chunk.clone());
        let bytes: u64 = chunks.iter().map(|chunk| chunk.len() as u64).sum();
        if let Err(error) = disk::write(file, offset, chunks).await {
            if let Some(disk) = &mut self.shared.state.lock().disk {
                disk.share.shrink(bytes);
            }
            return Err(self.spill_failed(error));
        }
        // Readers may have let the first of them go meanwhile; only this writer appends.
        let mut state = self.shared.state.lock();
        while state.first < upto {
            state.drop_first();
        }
        state.spilling = false;
        state.written += len;
        state.memory_from = state.written;
        let discarded = if state.is_unread() { len } else { 0 };
        state.drop_passed_disk();
        state.wake();
        Ok(discarded)
    }

    fn spill_failed(&self, error: io::Error) -> Full {
        let mut state = self.shared.state.lock();
        state.spilling = false;
        state.drop_passed_disk();
        Full::Disk(error)
    }
}
