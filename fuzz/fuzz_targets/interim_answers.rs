//! Whatever a backend sends before its answer, and however it is cut: the same interim answers are found,
//! and each is one.

#![no_main]

use libfuzzer_sys::fuzz_target;
use seawall::fuzzing::interim_answers;

fuzz_target!(|bytes: &[u8]| {
    let whole = interim_answers(bytes, bytes.len());
    for response in &whole {
        assert!(matches!(response.status().as_u16(), 102..=199));
    }
    for size in [1, 7] {
        let pieces = interim_answers(bytes, size);
        assert_eq!(pieces.len(), whole.len());
        for (one, other) in pieces.iter().zip(&whole) {
            assert_eq!((one.status(), one.headers()), (other.status(), other.headers()));
        }
    }
});
