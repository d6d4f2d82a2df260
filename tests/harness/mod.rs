//! The actors of a scene: a scripted backend, a rude client, and seawall between them.
//!
//! Everything blocks on real sockets, so that a broken pipe is the kernel's and not a model of it.
//! Whoever waits here waits for a condition and gives up at [`DEADLINE`], naming what never came.

#![allow(dead_code, reason = "each test binary that includes the harness uses its own part of it")]

mod backend;
mod board;
mod chromium;
mod client;
mod collector;
pub(crate) mod command;
mod family;
pub(crate) mod http2;
mod lines;
mod message;
mod metrics;
mod redis;
mod seawall;
mod site;
pub(crate) mod systemd;
mod talk;
pub(crate) mod terminal;
mod tls;
pub(crate) mod tunnel;
mod wire;

use std::thread;
use std::time::{Duration, Instant};

pub(crate) use backend::Backend;
pub(crate) use board::Harm;
pub(crate) use chromium::{Chromium, Screen};
pub(crate) use client::{Answer, Broken, Client, Leave};
pub(crate) use collector::{Collector, Span, attributes};
pub(crate) use family::{Family, kill};
pub(crate) use http2::Http2;
pub(crate) use message::{Framing, Head};
pub(crate) use redis::Redis;
pub(crate) use seawall::Seawall;
pub(crate) use site::Site;
pub(crate) use talk::Talk;
pub(crate) use tls::{Authority, Trust};

/// How long anything may take before a scene is called stuck. Far above what is ever needed: a
/// loaded machine is slow.
pub(crate) const DEADLINE: Duration = Duration::from_secs(10);

/// Asks again and again until there is an answer: for conditions which nobody announces.
#[track_caller]
pub(crate) fn until<T>(what: &str, mut ask: impl FnMut() -> Option<T>) -> T {
    let start = Instant::now();
    loop {
        if let Some(answer) = ask() {
            return answer;
        }
        assert!(start.elapsed() < DEADLINE, "waited in vain until {what}");
        thread::sleep(Duration::from_millis(2));
    }
}

/// Bytes in which each position can be told from its neighbours, so that a piece lost, doubled or
/// moved is noticed.
pub(crate) fn pattern(length: usize) -> Vec<u8> {
    const BLOCK: usize = 4096;
    let mut block: Vec<u8> = (0..BLOCK / 256).flat_map(|_| 0..=255).collect();
    let mut bytes = Vec::with_capacity(length + BLOCK);
    while bytes.len() < length {
        block[..8].copy_from_slice(&bytes.len().to_be_bytes());
        bytes.extend_from_slice(&block);
    }
    bytes.truncate(length);
    bytes
}

/// Compares without printing megabytes.
#[track_caller]
pub(crate) fn assert_same_bytes(got: &[u8], expected: &[u8]) {
    assert_eq!(got.len(), expected.len(), "lengths differ");
    if got != expected {
        let at = got.iter().zip(expected).position(|(one, other)| one != other).unwrap();
        panic!("bytes differ from position {at} on: {} instead of {}", got[at], expected[at]);
    }
}
