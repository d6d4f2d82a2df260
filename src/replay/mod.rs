//! Replay: a request that is answered from the kept result of a finished exchange.
//!
//! [`answer`] makes bytes of an answer, and an answer of bytes.

pub(crate) mod answer;
