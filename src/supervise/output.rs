//! What the child writes: passed on line by line, marked as its own, its last lines kept.

use tokio::io::{AsyncRead, AsyncReadExt as _};

use crate::{backend::LastLines, observe::output::Output};

/// Bytes of a line; a longer one becomes several.
const LINE: usize = 16 * 1024;
/// Passes a stream on to its end.
pub(super) async fn pass_on(
    from: Option<impl AsyncRead + Unpin>,
    to: &Output,
    mark: &str,
    last: &LastLines,
) {
    let line = |line: &[u8]| {
        last.push(&String::from_utf8_lossy(line));
        to.write(|text| {
            text.extend_from_slice(mark.as_bytes());
            text.extend_from_slice(line);
            text.push(b'\n');
        });
    };
    let Some(mut from) = from else { return };
    let mut read = Vec::new();
    loop {
        // The child waits with us, unless whoever reads our output has stalled.
        to.room().await;
        read.reserve(LINE);
        if !matches!(from.read_buf(&mut read).await, Ok(1..)) {
            break;
        }
        let mut begin = 0;
        while let Some(length) = read[begin..].iter().position(|byte| *byte == b'\n') {
            read[begin..begin + length].chunks(LINE).for_each(line);
            if length == 0 {
                line(b"");
            }
            begin += length + 1;
        }
        read.drain(..begin);
        while read.len() >= LINE {
            line(&read[..LINE]);
            read.drain(..LINE);
        }
    }
    if !read.is_empty() {
        line(&read);
    }
}

#[cfg(test)]
mod tests {
    use std::sync::{
        Arc,
        mpsc::{SyncSender, sync_channel},
    };
    use std::time::Duration;

    use super::*;

    struct Sent(SyncSender<Vec<u8>>);

    impl std::io::Write for Sent {
        fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
            let _ = self.0.send(bytes.to_vec());
            Ok(bytes.len())
        }
        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }

    async fn passed(input: &[u8]) -> (String, Arc<LastLines>) {
        let (sender, receiver) = sync_channel(1);
        let last = Arc::new(LastLines::default());
        let to = Output::start("test", Duration::ZERO, Sent(sender));
        pass_on(Some(input), &to, "x | ", &last).await;
        to.write(|text| text.extend_from_slice(b"end\n"));
        let mut all = Vec::new();
        while !all.ends_with(b"end\n") {
            all.extend(receiver.recv_timeout(Duration::from_secs(10)).expect("an end"));
        }
        (String::from_utf8(all).expect("text"), last)
    }

    struct Slow(SyncSender<Vec<u8>>);

    impl std::io::Write for Slow {
        fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
            // As slow as a terminal; the lines come far faster.
            std::thread::sleep(Duration::from_millis(10));
            let _ = self.0.send(bytes.to_vec());
            Ok(bytes.len())
        }
        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }

    #[tokio::test]
    async fn a_slow_reader_of_ours_slows_the_child_and_loses_nothing() {
        let (sender, receiver) = sync_channel(1024);
        let to = Output::start("test", Duration::ZERO, Slow(sender));
        let lines: Vec<String> = (0..400_000).map(|line| line.to_string()).collect();
        let input = lines.join("\n");
        pass_on(Some(input.as_bytes()), &to, "", &LastLines::default()).await;
        to.settled().await;
        let passed: Vec<u8> = receiver.try_iter().flatten().collect();
        assert!(String::from_utf8_lossy(&passed).lines().eq(lines.iter()), "{}", passed.len());
    }

    #[tokio::test]
    async fn each_line_is_marked_and_none_is_lost() {
        let (text, _) = passed(b"one\n\ntwo\r\nthree").await;
        assert_eq!(text, "x | one\nx | \nx | two\r\nx | three\nend\n");
    }

    #[tokio::test]
    async fn a_line_without_end_is_passed_on_in_pieces() {
        let (text, last) = passed(&vec![b'a'; 3 * LINE + 5]).await;
        let lines: Vec<&str> = text.lines().collect();
        assert_eq!(lines.len(), 5);
        assert!(lines.iter().all(|line| line.len() <= LINE + 4));
        assert_eq!(text.matches('a').count(), 3 * LINE + 5);
        let kept = last.text();
        assert!(kept.lines().all(|line| line.len() < LINE || line == "aaaaa"), "{kept}");
    }
}
