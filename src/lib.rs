//! seawall shields fragile HTTP backends from what clients do.
//!
//! Nothing that happens to a client touches the backend: requests are received whole before they
//! are sent, and every answer that the backend starts is read to its end, whoever has left.
//!
//! # Layout
//!
//! In the order in which a request meets them:
//!
//! - [`cli`]: the command line and the exit codes; [`config`]: what it was told
//! - `operator`: what its other commands ask of a seawall that runs (`health`, `drain`, `top`)
//! - [`server`]: the life of the process; `reload`: when its configuration is read again; [`runtime`]: its
//!   threads; [`tasks`]: what they run; `lock`: how they share it; `prefetch`: what of it the processor is to have
//!   ready
//! - `listen`: the sockets; `front`: one client connection, of HTTP/1 or HTTP/2; `connection`: what is
//!   known of it, and of its streams
//! - [`proxy`]: **the life of a request**, one line a step; `visit`: its client's side of it
//! - `probe`: the one path that is answered for the backend
//! - `client`, `headers`: who is calling, and what is passed on of what they say; `request_id`: by
//!   which the logs name a request
//! - `admission`: bounds per client, then the queue for a slot
//! - `spool`: bodies in memory and on disk
//! - `exchange`: **the life of an exchange** (`exchange/run.rs`), which no client can end
//! - [`tunnel`]: what an exchange becomes whose connection has left HTTP (WebSocket)
//! - `replay`: requests that come again, and the answers that are kept for them
//! - `backend`: connections to the server behind
//! - `socket`: what both sides read from and write to; `pipe`: how bytes go from one to the other past us
//! - `admin`: the listener on which all of this shows itself: live page, metrics, health
//! - [`reply`], `refusal`: the answer on its way back, and the answers that are our own; `wishes`: in
//!   which form a client would rather have them
//! - `observe`: the books, logs, traces
//! - `notify`: what the service manager is told
//! - `supervise`: **the life of the child**, the command that may be run behind us; its keeper
//! - `demo`: the comparison that `seawall demo` plays; `fuzzing`: what the targets in `fuzz/` reach;
//!   `steps`: what the micro-benchmarks reach
//!
//! # Words
//!
//! - **client**: who sends the request
//! - **backend**: the fragile server behind us
//! - **exchange**: one conversation with the backend: one request sent, one response read to its end
//! - **orphan**: an exchange that was sent and has no client left
//! - **slot**: the right to have one exchange running at the backend; an orphan keeps it
//! - **queue**: requests received whole, waiting for a slot
//! - **spool**: bytes held in memory, then in an unlinked temporary file
//! - **refusal**: an answer that we make ourselves
//! - **hold**: waiting while the backend is away, down or restarting
//! - **join**: a request that is answered by an exchange already running for an equal request
//! - **replay**: a request that is answered from the kept result of a finished exchange, or from the
//!   running one that will have it
//! - **tunnel**: an upgraded connection (WebSocket)
//! - **drain**: ending the process in order
//! - **child**: the command given behind `--`, run as the backend; its **keeper** is a process that
//!   outlives us and leaves nothing of the child behind
//!
//! An exchange ends `delivered`, `discarded`, `abandoned`, `cut`, `failed` or `refused`.

pub mod cli;
pub mod config;
pub mod proxy;
pub mod reply;
mod request_id;
pub mod runtime;
pub mod server;
pub mod tasks;
pub mod tunnel;

/// What reads bytes of strangers, for fuzzers. No part of the interface.
#[doc(hidden)]
pub mod fuzzed {
    pub use crate::listen::proxy_protocol::parse as proxy_header;
}

mod admin;
mod admission;
mod backend;
mod client;
mod connection;
mod demo;
mod exchange;
mod front;
#[cfg(feature = "fuzzing")]
pub mod fuzzing;
mod headers;
mod listen;
mod lock;
mod notify;
mod observe;
mod operator;
mod pipe;
mod prefetch;
mod probe;
mod refusal;
mod reload;
mod replay;
mod socket;
mod spool;
#[cfg(feature = "steps")]
pub mod steps;
mod supervise;
mod visit;
mod wishes;
