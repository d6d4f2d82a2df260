//! What Redis is asked to do in one step, and the bytes that stand under a key.
//!
//! A value is a head and, where an answer is kept, the answer. The head holds a version byte, the
//! state, the fingerprint, and the token of the claim. Every script can be sent twice: the second
//! time finds its own value and changes nothing, so a call whose answer was lost may be repeated.

use std::{fmt::Write, time::Duration};

use ::redis::{Script, ScriptInvocation};
use bytes::Bytes;

use super::Lost;

/// Who holds a claim: 16 bytes that no other claim has.
pub(super) type Token = [u8; TOKEN];

/// What stands under a key.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Value {
    pub fingerprint: [u8; FINGERPRINT],
    pub state: State,
}

#[derive(Debug, PartialEq, Eq)]
pub(super) enum State {
    Running,
    Kept(Bytes),
}

/// All of them answer with nothing, or with the value that stands in the way.
pub(super) struct Scripts {
    claim: Script,
    finish: Script,
    release: Script,
    look: Script,
}

impl Scripts {
    pub(super) fn new() -> Self {
        Self {
            claim: Script::new(CLAIM),
            finish: Script::new(FINISH),
            release: Script::new(RELEASE),
            look: Script::new(LOOK),
        }
    }

    /// Claims a free key, or renews a claim that is ours.
    pub(super) fn claim(&self, key: &str, running: &[u8], lease: Duration) -> ScriptInvocation<'_> {
        let mut call = self.claim.key(key);
        call.arg(running).arg(milliseconds(lease));
        call
    }

    /// Puts the answer in the place of our claim, or where nobody has one.
    pub(super) fn finish(
        &self,
        key: &str,
        running: &[u8],
        kept: &[u8],
        age: Duration,
    ) -> ScriptInvocation<'_> {
        let mut call = self.finish.key(key);
        call.arg(running).arg(kept).arg(milliseconds(age));
        call
    }

    /// Takes our claim away.
    pub(super) fn release(&self, key: &str, running: &[u8]) -> ScriptInvocation<'_> {
        let mut call = self.release.key(key);
        call.arg(running);
        call
    }

    /// Changes nothing.
    pub(super) fn look(&self, key: &str) -> ScriptInvocation<'_> {
        self.look.key(key)
    }
}

impl Value {
    /// The bytes are foreign: whoever can write to Redis may have written them.
    pub(super) fn read(bytes: &Bytes) -> Result<Self, Lost> {
        let (version, rest) = bytes.split_first().ok_or(Lost::Unreadable)?;
        let (state, rest) = rest.split_first().ok_or(Lost::Unreadable)?;
        let (fingerprint, rest) = rest.split_first_chunk().ok_or(Lost::Unreadable)?;
        let whole_head = rest.len() >= TOKEN;
        let state = match (*version, *state, whole_head) {
            (VERSION, RUNNING, true) => State::Running,
            (VERSION, KEPT, true) => State::Kept(bytes.slice(HEAD..)),
            _ => return Err(Lost::Unreadable),
        };
        Ok(Self { fingerprint: *fingerprint, state })
    }
}

pub(super) fn running(fingerprint: &[u8; FINGERPRINT], token: &Token) -> Vec<u8> {
    head(RUNNING, fingerprint, token, 0)
}

pub(super) fn kept(fingerprint: &[u8; FINGERPRINT], token: &Token, answer: &[u8]) -> Vec<u8> {
    let mut value = head(KEPT, fingerprint, token, answer.len());
    value.extend_from_slice(answer);
    value
}

fn head(state: u8, fingerprint: &[u8; FINGERPRINT], token: &Token, room: usize) -> Vec<u8> {
    let mut value = Vec::with_capacity(HEAD + room);
    value.extend_from_slice(&[VERSION, state]);
    value.extend_from_slice(fingerprint);
    value.extend_from_slice(token);
    value
}

/// The name of a key in Redis.
pub(super) fn name(key: &[u8; 32]) -> String {
    let mut name = String::with_capacity(PREFIX.len() + 2 * key.len());
    name.push_str(PREFIX);
    for byte in key {
        // Writing to a string cannot fail.
        let _ = write!(name, "{byte:02x}");
    }
    name
}

/// Redis refuses an expiry of 0, and one beyond what it can add to its clock.
fn milliseconds(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX).clamp(1, LONGEST)
}

const PREFIX: &str = "seawall:replay:";
/// Changes with the layout.
const VERSION: u8 = 1;
const RUNNING: u8 = b'R';
const KEPT: u8 = b'K';
const FINGERPRINT: usize = 32;
const TOKEN: usize = 16;
const HEAD: usize = 2 + FINGERPRINT + TOKEN;
/// A hundred years.
const LONGEST: u64 = 100 * 365 * 24 * 60 * 60 * 1000;

const CLAIM: &str = "
local held = redis.call('GET', KEYS[1])
if held and held ~= ARGV[1] then return held end
redis.call('SET', KEYS[1], ARGV[1], 'PX', ARGV[2])
return false";

const FINISH: &str = "
local held = redis.call('GET', KEYS[1])
if held and held ~= ARGV[1] and held ~= ARGV[2] then return held end
redis.call('SET', KEYS[1], ARGV[2], 'PX', ARGV[3])
return false";

const RELEASE: &str = "
if redis.call('GET', KEYS[1]) == ARGV[1] then redis.call('DEL', KEYS[1]) end
return false";

const LOOK: &str = "return redis.call('GET', KEYS[1])";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_read_as_they_were_written() {
        let read = Value::read(&running(&[1; 32], &[2; 16]).into());
        assert_eq!(read, Ok(Value { fingerprint: [1; 32], state: State::Running }));
        for answer in [&b""[..], b"answer"] {
            let read = Value::read(&kept(&[1; 32], &[2; 16], answer).into());
            let state = State::Kept(Bytes::copy_from_slice(answer));
            assert_eq!(read, Ok(Value { fingerprint: [1; 32], state }));
        }
    }

    #[test]
    fn foreign_values_are_unreadable() {
        let whole = kept(&[1; 32], &[2; 16], b"");
        for length in 0..whole.len() {
            assert_eq!(Value::read(&whole[..length].to_vec().into()), Err(Lost::Unreadable));
        }
        for at in 0..2 {
            let mut other = whole.clone();
            other[at] = b'?';
            assert_eq!(Value::read(&other.into()), Err(Lost::Unreadable));
        }
    }

    #[test]
    fn keys_are_named_in_hexadecimal() {
        let name = name(&std::array::from_fn(|at| u8::try_from(at * 8).expect("small")));
        assert!(name.starts_with("seawall:replay:000810"), "{name}");
        assert_eq!(name.len(), 15 + 64);
    }

    #[test]
    fn every_age_is_one_that_redis_takes() {
        assert_eq!(milliseconds(Duration::ZERO), 1);
        assert_eq!(milliseconds(Duration::from_secs(2)), 2_000);
        assert_eq!(milliseconds(Duration::MAX), LONGEST);
    }
}
