//! The program: see `seawall --help`, and the library for everything else.

use std::process::ExitCode;

use clap::Parser as _;

// Orphans are many small things that live long; this allocator gives their pages back (and takes
// no huge ones, of which one small thing would keep two megabytes).
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    seawall::cli::Cli::parse().run()
}
