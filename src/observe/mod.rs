//! What happened: the record of every exchange, the access log, diagnostics.

pub(crate) mod access;
pub(crate) mod diagnostics;
pub(crate) mod record;
