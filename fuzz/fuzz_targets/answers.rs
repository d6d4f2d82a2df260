//! Whatever a backend sends, and however it is cut: the same is made of it, and interim answers are none
//! of those that end an exchange.

#![no_main]

use libfuzzer_sys::fuzz_target;
use seawall::fuzzing::answer_of;

fuzz_target!(|bytes: &[u8]| {
    let whole = answer_of(bytes, bytes.len());
    if let Some(told) = &whole {
        if let Some((last, interims)) = told.heads.split_last() {
            assert!(interims.iter().all(|head| matches!(head.status().as_u16(), 102..=199)));
            let is_over = !last.status().is_informational() || last.status() == 101;
            assert!(is_over || (told.body.is_empty() && !told.is_whole));
        }
        assert!(told.body.len() <= bytes.len());
    }
    for size in [1, 7] {
        let pieces = answer_of(bytes, size);
        assert_eq!(pieces.is_some(), whole.is_some());
        if let (Some(one), Some(other)) = (&pieces, &whole) {
            assert_eq!(one.heads.len(), other.heads.len());
            for (one, other) in one.heads.iter().zip(&other.heads) {
                assert_eq!((one.status(), one.headers()), (other.status(), other.headers()));
            }
            assert_eq!((&one.body, &one.trailers), (&other.body, &other.trailers));
            assert_eq!(one.is_whole, other.is_whole);
        }
    }
});
