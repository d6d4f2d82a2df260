//! Replay: a request that is answered from the kept result of a finished exchange.
//!
//! [`answer`] makes bytes of an answer and an answer of bytes; [`redis`] keeps them, and says which
//! seawall runs an exchange, where several stand behind one name.

pub(crate) mod answer;
pub(crate) mod redis;
