//! The life of the process: bind, serve, reload, drain.

mod signals;

use std::{io, net::SocketAddr, path::PathBuf, pin::pin, sync::Arc, time::Duration};

use tokio::{
    sync::watch,
    time::{Instant, sleep, timeout_at},
};

pub use self::signals::Signals;

use crate::{
    admin::{Admin, NoAdmin},
    config::{AdminListen, Config, Drain, Loaded},
    listen::{Gate, Inherited, Inside, NoListener, Places},
    notify,
    observe::{
        access::{AccessLog, NoAccessLog},
        books::Books,
        diagnostics::{Level, NoLevel},
        recent::Recent,
        redact::Redact,
        trace::Tracer,
    },
    proxy::Proxy,
    reload::Reloads,
    runtime::Crew,
    supervise::{self, Plan, Supervisor},
    tasks::Tasks,
};

/// A server whose sockets are bound.
#[derive(Debug)]
pub struct Server {
    places: Places,
    /// What they are called, for who wants to know.
    listen: watch::Sender<Vec<String>>,
    admin: Option<Admin>,
    inside: Inside,
    crew: Crew,
    tasks: Tasks,
    books: Books,
    drain: Drain,
    child: Option<Supervisor>,
}

/// How the process came to its end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ending {
    /// Nothing was left to do.
    InOrder,
    /// The drain's bound, or a second signal, cut something.
    Cut,
    /// The child was to be run once and has ended, with this exit code.
    OfChild(u8),
}

/// Why the server did not start.
#[derive(Debug, thiserror::Error)]
pub enum NotStarted {
    /// An address cannot be listened on.
    #[error(transparent)]
    Listener(#[from] NoListener),
    /// The admin pages have no place.
    #[error(transparent)]
    Admin(#[from] NoAdmin),
    /// The folder of the temporary files cannot be written.
    #[error("spool.dir: cannot write to {}: {error}; choose a folder that can be written", .dir.display())]
    Spool {
        /// The folder.
        dir: PathBuf,
        /// What the system says.
        error: io::Error,
    },
    /// The file of the access log cannot be written.
    #[error(transparent)]
    AccessLog(#[from] NoAccessLog),
    /// The system gives no threads.
    #[error("cannot start the workers: {0}")]
    Workers(#[source] io::Error),
    /// What is to be said is not understood.
    #[error(transparent)]
    Level(#[from] NoLevel),
}

impl Server {
    /// Binds all addresses and starts the workers; nothing is accepted yet.
    ///
    /// # Errors
    /// A taken address, an unwritable spool folder.
    pub fn bind(config: &Config) -> Result<Self, NotStarted> {
        check_spool(&config.spool.dir)?;
        let inherited = Inherited::take();
        let crew = Crew::start(&config.runtime).map_err(NotStarted::Workers)?;
        let workers = crew.handles();
        let places = Places::bind(&config.listen, inherited, workers.len())?;
        let admin = Admin::bind(config)?;
        let log = AccessLog::open(&config.log)?;
        let (descriptors, _) = rlimit::Resource::NOFILE.get().map_err(NotStarted::Workers)?;
        let gate = Arc::new(Gate::new(config, descriptors));
        let tasks = Tasks::default();
        let recent = match config.admin.listen {
            // Nobody could look.
            AdminListen::Off => Recent::off(),
            _ => Recent::new(&config.inspect, Redact::new(&config.log.redact)),
        };
        let books = Books::new(log, recent, Tracer::start(&config.trace));
        let proxy = Proxy::new(config, tasks.clone(), books.clone());
        let inside = Inside { workers, proxy, tasks: tasks.clone(), gate };
        let drain = config.drain.clone();
        let listen = watch::Sender::new(places.names());
        Ok(Self { places, listen, admin, inside, crew, tasks, books, drain, child: None })
    }

    /// Starts the command that is the first backend.
    pub(crate) async fn wrap(&mut self, plan: Plan) -> Result<(), supervise::NotStarted> {
        self.child = Some(Supervisor::start(plan, self.inside.proxy.child()).await?);
        Ok(())
    }

    /// The addresses that are TCP's, ports chosen by the system filled in.
    pub fn addresses(&self) -> Vec<SocketAddr> {
        self.places.addresses()
    }

    /// Serves until the first signal (or the end of a child that is run once), as each configuration
    /// that comes has it; then drains until all is done, the bound is reached, or the second signal
    /// comes; then ends the child.
    pub(crate) async fn run(mut self, mut signals: Signals, mut reloads: Reloads) -> Ending {
        if let Some(admin) = self.admin.take()
            && let Some(worker) = self.inside.workers.first().cloned()
        {
            let (books, listen) = (self.books.clone(), self.listen.subscribe());
            admin.start(self.inside.proxy.clone(), books, worker, listen);
        }
        self.serve();
        let why = loop {
            let places = self.places.names();
            tokio::select! {
                // Cancel-safe: each can be awaited again.
                signal = signals.next(self.books.log()) => break Why::Signal(signal),
                () = self.tasks.drain_ordered() => break Why::Ordered,
                code = ended_by_itself(&mut self.child) => break Why::Child(code),
                loaded = reloads.next(&places) => self.reload(loaded, &mut reloads),
            }
        };
        // Before it is said: whoever reads that may count on it.
        self.tasks.begin_drain();
        // By an operator: then the first signal asks for nothing else.
        let ordered = matches!(why, Why::Ordered);
        let code = match why {
            Why::Signal(signal) => {
                tracing::info!(signal, "draining");
                None
            }
            Why::Ordered => {
                tracing::info!(order = "an operator's", "draining");
                None
            }
            Why::Child(code) => {
                // Nobody needs to be sent elsewhere first: nothing is served here any more.
                self.drain.delay = Duration::ZERO;
                Some(code)
            }
        };
        if code.is_none() {
            let (connections, exchanges) =
                (self.tasks.open_connections(), self.tasks.open_exchanges());
            notify::stopping(connections, exchanges, longest(&self.drain));
        }
        let mut hurry = false;
        let ending = tokio::select! {
            // Cancel-safe: what is dropped only waits.
            ending = drain(&self.tasks, &self.drain) => ending,
            signal = async {
                if ordered {
                    let signal = signals.next(self.books.log()).await;
                    tracing::info!(signal, "draining already");
                }
                signals.next(self.books.log()).await
            } => {
                tracing::warn!(signal, "second signal: ending at once");
                hurry = true;
                Ending::Cut
            }
        };
        let (connections, exchanges) = (self.tasks.open_connections(), self.tasks.open_exchanges());
        if ending == Ending::Cut {
            tracing::warn!(connections, exchanges, "cutting what is left");
            self.books.log().cut(if hurry {
                "a second signal came"
            } else {
                "drain.timeout reached"
            });
        }
        // Ends the tasks that are left, and with them their records go to the log.
        self.crew.stop();
        // After the exchanges: they were to finish at the child.
        if let Some(child) = self.child {
            let hurried = async {
                if !hurry {
                    signals.next(self.books.log()).await;
                }
            };
            child.end(hurried).await;
        }
        self.books.log().flush();
        if let Some(tracer) = self.books.tracer().filter(|_| !hurry) {
            tokio::select! {
                // Cancel-safe: it only waits.
                () = tracer.flush(self.drain.timeout) => {}
                signal = signals.next(self.books.log()) => tracing::warn!(signal, "the last spans are not waited for"),
            }
        }
        tracing::info!("ended");
        match code {
            Some(code) => Ending::OfChild(code),
            None if connections + exchanges == 0 => Ending::InOrder,
            None => ending,
        }
    }

    fn serve(&mut self) {
        self.tend();
        if let Some(first) = self.inside.workers.first() {
            let _here = first.enter();
            Tasks::background(notify::feed_watchdog(self.inside.workers.clone()));
        }
        let places = self.places.names();
        opened(&places);
        self.places.open(&self.inside);
        notify::ready(&places);
    }

    /// Puts a configuration in force, and says what came of it.
    fn reload(&mut self, loaded: Loaded, reloads: &mut Reloads) {
        match self.put_in_force(&loaded.config) {
            Ok(()) => reloads.accepted(loaded),
            Err(error) => reloads.refused(&error),
        }
        notify::ready(&self.places.names());
    }

    /// All of it that can change while we run, or nothing. Whoever is here goes on as it began.
    fn put_in_force(&mut self, config: &Config) -> Result<(), NotStarted> {
        // What can fail comes first.
        check_spool(&config.spool.dir)?;
        let level = Level::of(&config.log)?;
        let log = self.books.log().prepare(&config.log)?;
        let change = self.places.prepare(&config.listen, self.inside.workers.len())?;
        level.put_in_force();
        self.books.log().change(log);
        self.books.recent().reload(&config.inspect, Redact::new(&config.log.redact));
        self.inside.proxy.reload(config);
        self.inside.gate.reload(config);
        self.tend();
        let before = self.places.names();
        for address in self.places.change(change, &self.inside) {
            tracing::info!(%address, "no longer listening; who is connected stays so");
        }
        let mut places = self.places.names();
        self.listen.send_replace(places.clone());
        places.retain(|place| !before.contains(place));
        opened(&places);
        self.drain = config.drain.clone();
        Ok(())
    }

    /// Sees to the connections that backends keep.
    fn tend(&self) {
        if let Some(first) = self.inside.workers.first() {
            let _here = first.enter();
            for backend in self.inside.proxy.backends() {
                backend.tend(&self.tasks);
            }
        }
    }
}

fn opened(places: &[String]) {
    for address in places {
        tracing::info!(%address, "listening");
    }
}

/// Why it drains.
enum Why {
    Signal(&'static str),
    /// An operator wants it.
    Ordered,
    /// The child that was to run once has ended, with this exit code.
    Child(u8),
}

/// Never, where there is no child.
async fn ended_by_itself(child: &mut Option<Supervisor>) -> u8 {
    match child {
        Some(child) => child.ended_by_itself().await,
        None => std::future::pending().await,
    }
}

/// Until the process is gone: the drain, then as much again for the last spans, and what a child takes.
fn longest(drain: &Drain) -> Duration {
    drain.delay.saturating_add(drain.timeout.saturating_mul(2)).saturating_add(MARGIN)
}

/// Most children end at the first signal.
const MARGIN: Duration = Duration::from_secs(10);

async fn drain(tasks: &Tasks, bounds: &Drain) -> Ending {
    sleep(bounds.delay).await;
    tasks.close();
    let until = Instant::now() + bounds.timeout;
    let mut finished = pin!(tasks.finished());
    loop {
        let next = until.min(Instant::now() + TELL);
        if timeout_at(next, finished.as_mut()).await.is_ok() {
            return Ending::InOrder;
        }
        if next == until {
            tracing::warn!("drain.timeout reached");
            return Ending::Cut;
        }
        let (connections, exchanges) = (tasks.open_connections(), tasks.open_exchanges());
        tracing::info!(connections, exchanges, "still draining; a second signal ends at once");
    }
}

/// How often it is said what a drain waits for.
const TELL: Duration = Duration::from_secs(5);

fn check_spool(dir: &std::path::Path) -> Result<(), NotStarted> {
    let dir = if dir.as_os_str().is_empty() { std::env::temp_dir() } else { dir.to_owned() };
    match tempfile::tempfile_in(&dir) {
        Ok(_) => Ok(()),
        Err(error) => Err(NotStarted::Spool { dir, error }),
    }
}
