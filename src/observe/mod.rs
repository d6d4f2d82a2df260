//! What happened: the record of every exchange, the books in which it stands, the
//! access log, diagnostics, traces; and our output streams.

pub(crate) mod access;
pub(crate) mod books;
pub(crate) mod capture;
pub(crate) mod counts;
pub(crate) mod diagnostics;
pub(crate) mod line;
mod log_file;
mod mask;
mod outcome;
pub(crate) mod output;
pub(crate) mod recent;
pub(crate) mod record;
pub(crate) mod redact;
pub(crate) mod trace;
