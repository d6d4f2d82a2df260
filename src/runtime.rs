//! The threads. No other file knows how many there are, or what runs where.

use std::{
    cell::Cell,
    io,
    thread::{self, ThreadId},
    time::Duration,
};

use tokio::runtime::{Builder, Handle, Runtime};
use tokio_util::sync::CancellationToken;

use crate::config::{self, RuntimeKind, Workers};

/// The threads that serve.
#[derive(Debug)]
pub struct Crew {
    kind: Kind,
    end: CancellationToken,
}

#[derive(Debug)]
enum Kind {
    PerCore(Vec<(Handle, thread::JoinHandle<()>)>),
    WorkStealing(Runtime),
}

impl Crew {
    /// Starts the workers.
    ///
    /// # Errors
    /// Where the system gives no thread or no event queue.
    pub fn start(config: &config::Runtime) -> io::Result<Self> {
        let count = match config.workers {
            Workers::Auto => thread::available_parallelism().map_or(1, usize::from),
            Workers::Count(count) => count,
        };
        let end = CancellationToken::new();
        let kind = match config.kind {
            RuntimeKind::PerCore => {
                let workers = (0..count).map(|number| worker(number, end.clone()));
                Kind::PerCore(workers.collect::<io::Result<_>>()?)
            }
            RuntimeKind::WorkStealing => {
                let one = here();
                Kind::WorkStealing(
                    Builder::new_multi_thread()
                        .worker_threads(count)
                        .thread_name("worker")
                        .on_thread_start(move || HERE.set(one))
                        .enable_all()
                        .build()?,
                )
            }
        };
        Ok(Self { kind, end })
    }

    /// Where to run tasks: each of these serves on its own, with a listener of its own.
    pub fn handles(&self) -> Vec<Handle> {
        match &self.kind {
            Kind::PerCore(workers) => workers.iter().map(|(handle, _)| handle.clone()).collect(),
            Kind::WorkStealing(runtime) => vec![runtime.handle().clone()],
        }
    }

    /// Ends the workers, and with them every task that is left.
    pub fn stop(self) {
        self.end.cancel();
        match self.kind {
            Kind::PerCore(workers) => {
                for (_, thread) in workers {
                    // A worker that panicked has said so already.
                    let _ = thread.join();
                }
            }
            Kind::WorkStealing(runtime) => {
                // Its tasks are dropped, and so logged, before it returns. On a thread of its own: where tasks
                // run, and the caller may be one, a runtime is not to be waited for.
                let ended = thread::spawn(move || runtime.shutdown_timeout(Duration::from_secs(1)));
                let _ = ended.join();
            }
        }
    }
}

fn worker(number: usize, end: CancellationToken) -> io::Result<(Handle, thread::JoinHandle<()>)> {
    let runtime = Builder::new_current_thread().enable_all().build()?;
    let handle = runtime.handle().clone();
    let thread = thread::Builder::new().name(format!("worker-{number}")).spawn(move || {
        runtime.block_on(end.cancelled());
        // File work that hangs must not keep the process.
        runtime.shutdown_background();
    })?;
    Ok((handle, thread))
}

/// Runs `main` on a runtime of its own, which serves nobody.
///
/// # Errors
/// Where the system gives no event queue.
pub fn block_on<T>(main: impl Future<Output = T>) -> io::Result<T> {
    let runtime = Builder::new_current_thread().enable_all().build()?;
    let done = runtime.block_on(main);
    // File work that hangs must not keep the process.
    runtime.shutdown_background();
    Ok(done)
}

/// Which worker this is, for the price of a look: what waits at one costs a wake-up at another. Those that
/// steal work from each other have one event queue, and are one.
pub(crate) fn here() -> ThreadId {
    HERE.get()
}

thread_local! {
    static HERE: Cell<ThreadId> = Cell::new(thread::current().id());
}

/// A thread for what blocks all the time.
///
/// # Panics
/// Where the system gives no thread, at the start of the process.
pub(crate) fn thread(name: &str, work: impl FnOnce() + Send + 'static) {
    let started = thread::Builder::new().name(name.to_owned()).spawn(work);
    if let Err(error) = started {
        panic!("no thread for {name}: {error}");
    }
}
