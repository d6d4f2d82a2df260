use tokio::time::{Instant, sleep};

use super::{state::SMALL, *};
use crate::config;

fn store(memory: u64, total_disk: u64) -> Store {
    patient_store(memory, total_disk, Duration::ZERO)
}

fn patient_store(memory: u64, total_disk: u64, patience: Duration) -> Store {
    let (total_memory, dir) = (1 << 20, PathBuf::new());
    Store::new(&config::Spool { memory, patience, total_memory, total_disk, dir })
}

async fn next(reader: &mut Reader) -> Option<Bytes> {
    let frame = poll_fn(|cx| reader.poll_frame(cx)).await?;
    Some(frame.expect("a frame").into_data().expect("data"))
}

async fn all(reader: &mut Reader) -> Vec<u8> {
    let mut bytes = Vec::new();
    while let Some(chunk) = next(reader).await {
        bytes.extend_from_slice(&chunk);
    }
    bytes
}

fn memory_used(store: &Store) -> bool {
    !store.limits.total_memory.share().grow(1 << 20)
}

#[tokio::test]
async fn what_was_written_is_read_and_let_go() {
    let store = store(1024, 1 << 20);
    let spool = store.spool(Retain::Nothing);
    let mut reader = spool.reader();
    assert_eq!(spool.write(Bytes::from_static(b"one")).await.expect("room"), 0);
    assert_eq!(next(&mut reader).await.as_deref(), Some(&b"one"[..]));
    assert!(!memory_used(&store));
    assert!(!reader.is_ended());
    spool.end(End::Whole(None));
    assert!(reader.is_ended());
    assert_eq!(next(&mut reader).await, None);
}

#[tokio::test]
async fn a_slow_reader_gets_every_byte_back_from_disk_in_order() {
    let store = store(10_000, 1 << 24);
    let spool = store.spool(Retain::Nothing);
    let mut reader = spool.reader();
    let mut expected = Vec::new();
    for number in 0..2_000_u32 {
        let chunk = vec![u8::try_from(number % 251).expect("small"); 777];
        expected.extend_from_slice(&chunk);
        spool.write(chunk.into()).await.expect("room");
        if number == 700 {
            // The reader stands in the middle of the file while the writer goes on.
            let head = next(&mut reader).await.expect("bytes");
            assert_eq!(head, expected[..head.len()]);
            expected.drain(..head.len());
        }
    }
    spool.end(End::Whole(None));
    assert_eq!(all(&mut reader).await, expected);
    assert!(!memory_used(&store));
}

#[tokio::test]
async fn without_a_reader_bytes_are_only_counted() {
    let store = store(10, 0);
    let spool = store.spool(Retain::Nothing);
    drop(spool.reader());
    for _ in 0..1_000 {
        let discarded = spool.write(Bytes::from_static(&[0; 100])).await;
        assert_eq!(discarded.expect("no room needed"), 100);
    }
    assert_eq!(spool.written(), 100_000);
    assert!(!memory_used(&store));
}

#[tokio::test]
async fn the_writer_waits_for_the_reader_where_no_disk_is_left() {
    let store = store(100, 0);
    let spool = store.spool(Retain::Nothing);
    let mut reader = spool.reader();
    spool.write(Bytes::from_static(&[1; 100])).await.expect("room");
    let mut second = Box::pin(spool.write(Bytes::from_static(&[2; 100])));
    assert!(futures_pending(second.as_mut()).await);
    assert_eq!(next(&mut reader).await.expect("bytes").len(), 100);
    assert_eq!(second.await.expect("room now"), 0);
}

#[tokio::test]
async fn a_leaving_reader_frees_a_waiting_writer() {
    let store = store(100, 0);
    let spool = store.spool(Retain::Nothing);
    let reader = spool.reader();
    spool.write(Bytes::from_static(&[1; 100])).await.expect("room");
    let mut second = Box::pin(spool.write(Bytes::from_static(&[2; 100])));
    assert!(futures_pending(second.as_mut()).await);
    drop(reader);
    assert_eq!(second.await.expect("discarded"), 100);
}

#[tokio::test]
async fn a_retained_body_is_read_from_the_start_as_often_as_needed() {
    let store = store(1_000, 1 << 20);
    let spool = store.spool(Retain::All);
    for _ in 0..10 {
        spool.write(Bytes::from_static(&[7; 600])).await.expect("room");
    }
    spool.end(End::Whole(None));
    for _ in 0..2 {
        assert_eq!(all(&mut spool.reader()).await, vec![7; 6_000]);
    }
}

#[tokio::test]
async fn a_retained_body_that_fits_nowhere_is_refused() {
    let store = store(1_000, 2_000);
    let spool = store.spool(Retain::All);
    let mut written = Ok(0);
    for _ in 0..10 {
        written = spool.write(Bytes::from_static(&[7; 600])).await;
        if written.is_err() {
            break;
        }
    }
    assert!(matches!(written, Err(Full::Budget)));
}

#[tokio::test]
async fn what_is_retained_up_to_a_bound_is_read_from_the_start_until_the_bound_is_passed() {
    let store = store(1_000, 1 << 20);
    let spool = store.spool(Retain::Upto(1_200));
    for _ in 0..2 {
        assert_eq!(spool.write(Bytes::from_static(&[7; 600])).await.expect("room"), 0);
    }
    let mut early = spool.reader_from_start().expect("all is retained");
    assert_eq!(spool.write(Bytes::from_static(&[8; 600])).await.expect("room"), 0);
    assert!(spool.reader_from_start().is_none());
    spool.end(End::Whole(None));
    assert_eq!(all(&mut early).await, [vec![7; 1_200], vec![8; 600]].concat());
    assert!(!memory_used(&store));
}

#[tokio::test]
async fn what_was_retained_for_nobody_is_discarded_but_for_what_somebody_has_read() {
    let spool = store(10_000, 0).spool(Retain::Upto(1_200));
    let mut reader = spool.reader();
    spool.write(Bytes::from_static(&[1; 600])).await.expect("room");
    next(&mut reader).await.expect("bytes");
    drop(reader);
    assert_eq!(spool.write(Bytes::from_static(&[2; 600])).await.expect("room"), 0);
    assert_eq!(spool.write(Bytes::from_static(&[3; 600])).await.expect("room"), 1_200);
    assert_eq!(spool.release(), 0);
    let spool = store(10_000, 0).spool(Retain::Upto(1_200));
    spool.write(Bytes::from_static(&[1; 600])).await.expect("room");
    assert_eq!(spool.release(), 600);
}

#[tokio::test]
async fn what_is_retained_up_to_a_bound_is_given_up_before_anybody_waits_for_room() {
    let store = store(1_000, 0);
    let spool = store.spool(Retain::Upto(1 << 20));
    for _ in 0..10 {
        spool.write(Bytes::from_static(&[7; 600])).await.expect("no failure");
    }
    assert!(spool.reader_from_start().is_none());
    assert!(!memory_used(&store));
}

#[tokio::test]
async fn small_chunks_do_not_each_hold_a_buffer() {
    let store = store(1 << 16, 0);
    let spool = store.spool(Retain::Nothing);
    let mut reader = spool.reader();
    for _ in 0..SMALL {
        spool.write(Bytes::from_static(b"x")).await.expect("room");
    }
    assert_eq!(spool.shared.state.lock().chunks.len(), 1);
    assert_eq!(next(&mut reader).await.expect("bytes").len(), SMALL);
}

#[tokio::test]
async fn a_large_chunk_counts_until_nobody_has_it_any_more() {
    let store = store(1 << 20, 1 << 20);
    let spool = store.spool(Retain::Nothing);
    let mut reader = spool.reader();
    let used = || store.held()[0].used;
    spool.write_kept(vec![1; 20_000].into(), 30_000).await.expect("room");
    let mut at_the_socket = next(&mut reader).await.expect("bytes");
    assert_eq!((at_the_socket.len(), used()), (20_000, 30_000));
    drop(spool);
    drop(reader);
    at_the_socket.truncate(1);
    assert_eq!(used(), 30_000);
    drop(at_the_socket);
    assert_eq!(used(), 0);
}

#[tokio::test]
async fn what_others_leave_no_memory_for_goes_to_disk_with_what_is_before_it_and_behind_it() {
    let store = store(1 << 20, 1 << 24);
    let others = store.spool(Retain::All);
    others.write(vec![0; 1 << 20].into()).await.expect("room");
    let before = store.held()[0].used;
    assert_eq!(before, 1 << 20);
    let spool = store.spool(Retain::Nothing);
    let mut reader = spool.reader();
    for number in 0..10 {
        spool.write(vec![number; 20_000].into()).await.expect("room");
        assert!(store.held()[0].used <= before + 20_000, "one chunk at most");
    }
    spool.write(vec![10; 20_000].into()).await.expect("room");
    spool.settle().await;
    assert_eq!(store.held()[0].used, before);
    spool.end(End::Whole(None));
    let read = all(&mut reader).await;
    assert!(read.chunks(20_000).zip(0..).all(|(part, number)| part == vec![number; 20_000]));
    assert_eq!(read.len(), 220_000);
    assert_eq!(store.held()[0].used, before);
}

#[tokio::test]
async fn a_cut_body_never_looks_whole() {
    let spool = store(100, 0).spool(Retain::Nothing);
    let mut reader = spool.reader();
    spool.write(Bytes::from_static(b"half")).await.expect("room");
    spool.end(End::Cut);
    assert_eq!(next(&mut reader).await.as_deref(), Some(&b"half"[..]));
    let frame = poll_fn(|cx| reader.poll_frame(cx)).await;
    assert!(frame.expect("an error").is_err());
}

/// One poll of a future that is expected to wait.
#[tokio::test(start_paused = true)]
async fn a_reader_that_keeps_pace_is_waited_for() {
    let store = patient_store(400, 1 << 20, Duration::from_secs(100));
    let spool = store.spool(Retain::Nothing);
    let mut reader = spool.reader();
    for number in 0..50 {
        spool.write(Bytes::from_static(&[1; 100])).await.expect("room");
        let mut second = Box::pin(spool.write(Bytes::from_static(&[2; 100])));
        assert!(futures_pending(second.as_mut()).await, "write {number} went ahead");
        assert_eq!(next(&mut reader).await.expect("bytes"), [1; 100][..]);
        second.await.expect("room");
        assert_eq!(next(&mut reader).await.expect("bytes"), [2; 100][..]);
    }
}

#[tokio::test(start_paused = true)]
async fn a_reader_that_does_not_keep_pace_is_waited_for_once_until_it_has_caught_up() {
    let store = patient_store(400, 1 << 20, Duration::from_secs(100));
    let spool = store.spool(Retain::Nothing);
    let mut reader = spool.reader();
    let waited_in = async |bytes: usize| {
        let since = Instant::now();
        for _ in 0..bytes / 100 {
            spool.write(Bytes::from_static(&[1; 100])).await.expect("room");
        }
        since.elapsed().as_secs()
    };
    assert_eq!(waited_in(1_000).await, 10, "by way of the disk, but for the first");
    for round in 1..10 {
        while reader.unread() > 0 {
            next(&mut reader).await.expect("bytes");
        }
        assert_eq!(waited_in(1_000).await, 10, "after round {round}");
    }
    while reader.unread() > 0 {
        next(&mut reader).await.expect("bytes");
    }
    assert_eq!(waited_in(1_000).await, 0, "its patience is at an end");
}

#[tokio::test(start_paused = true)]
async fn a_reader_that_takes_a_little_now_and_then_is_not_waited_for_each_time() {
    let store = patient_store(400_000, 1 << 20, Duration::from_secs(100));
    let spool = store.spool(Retain::Nothing);
    let mut reader = spool.reader();
    for _ in 0..10 {
        spool.write(vec![1; 10_000].into()).await.expect("room");
    }
    let since = Instant::now();
    let trickle = async {
        for _ in 0..10 {
            next(&mut reader).await.expect("bytes");
            sleep(Duration::from_secs(9)).await;
        }
    };
    let write = async {
        spool.write(vec![2; 100_000].into()).await.expect("room");
        since.elapsed().as_secs()
    };
    assert_eq!(tokio::join!(write, trickle).0, 10);
}

#[tokio::test(start_paused = true)]
async fn what_is_retained_makes_no_room_and_is_not_waited_for() {
    let store = patient_store(400, 1 << 20, Duration::from_secs(100));
    let spool = store.spool(Retain::All);
    let _reader = spool.reader();
    let since = Instant::now();
    for _ in 0..10 {
        spool.write(Bytes::from_static(&[1; 100])).await.expect("room");
    }
    assert_eq!(since.elapsed(), Duration::ZERO);
}

async fn futures_pending<F: Future + Unpin>(mut future: F) -> bool {
    poll_fn(|cx| std::task::Poll::Ready(std::pin::Pin::new(&mut future).poll(cx).is_pending()))
        .await
}
