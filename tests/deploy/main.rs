//! The image and the examples in `docker/`, brought up for real. `setup` builds the images first.
//!
//! They need a Docker engine. Where none answers, each test says so and does nothing; with
//! `TEST_ENGINE=required` it fails instead.
//!
//! - `engine`: the engine; `container`: one in it; `stack`: what a compose file brings up
//! - `image`: the image alone
//! - `sidecar`, `wrapped`, `servers`: the compose files, each with its rude clients
//! - `article`: what those do, and what must not be seen of it
//! - `release`: what is published

mod article;
mod container;
mod engine;
#[path = "../backends/harm.rs"]
#[allow(dead_code, reason = "the servers here are not those of that test")]
mod harm;
mod image;
#[path = "../backends/output.rs"]
#[allow(dead_code, reason = "shared with tests/backends")]
#[allow(
    clippy::disallowed_types,
    reason = "scenes measure real time: nothing here has a paused clock"
)]
mod output;
mod release;
#[path = "../backends/rude.rs"]
#[allow(dead_code, reason = "shared with tests/backends")]
mod rude;
mod servers;
mod sidecar;
mod stack;
mod wrapped;
