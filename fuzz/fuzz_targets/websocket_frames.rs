//! Any bytes at all are WebSocket frames, and their boundaries are the same however they are cut.

#![no_main]

use libfuzzer_sys::fuzz_target;
use seawall::fuzzing::Frames;

fuzz_target!(|bytes: &[u8]| {
    let (mut whole, mut single, mut taken) = (Frames::default(), Frames::default(), Frames::default());
    whole.pass(bytes);
    for byte in bytes {
        single.pass(&[*byte]);
    }
    let mut rest = bytes;
    while !rest.is_empty() {
        let length = taken.take(rest);
        assert!((1..=rest.len()).contains(&length));
        rest = &rest[length..];
        // Short of the end, it has stopped at a boundary.
        assert!(rest.is_empty() || taken.is_between());
    }
    for other in [&single, &taken] {
        assert_eq!(other.is_between(), whole.is_between());
        assert_eq!(other.is_closed(), whole.is_closed());
    }
});
