//! Whatever stands where a PROXY header should: one is found as soon as it is whole, and not before, and
//! what can be none is called so at once.

#![no_main]

use libfuzzer_sys::fuzz_target;
use seawall::fuzzing::parse_proxy_header as parse;

fuzz_target!(|bytes: &[u8]| {
    let whole = parse(bytes);
    let mut found = Ok(None);
    for length in 0..=bytes.len() {
        let parsed = parse(&bytes[..length]);
        match found {
            // More bytes are waited for, as long as they are.
            Ok(None) => found = parsed,
            // What follows changes nothing.
            Ok(Some(_)) | Err(_) => assert_eq!(parsed, found, "after {length} bytes"),
        }
        if let Ok(Some(header)) = parsed {
            assert!((1..=length).contains(&header.len));
        }
    }
    assert_eq!(whole, found);
});
