//! The program: see `seawall --help`, and the library for everything else.

use std::process::ExitCode;

// Orphans are many small things that live long among others that do not. Of the allocators compared
// (glibc, mimalloc) this one leaves the fewest gaps between them, gives pages back, and is the
// cheapest a request. `.cargo/config.toml` tunes it.
#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

fn main() -> ExitCode {
    seawall::cli::Cli::of_command_line().run()
}
