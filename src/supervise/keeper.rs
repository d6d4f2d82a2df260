//! The keeper: a process between us and the child that outlives us, however we end, and takes the
//! child's whole family along.
//!
//! A process that is killed can do nothing more, and its children live on. So the child is started
//! by another process of this program, which holds one end of a socket of ours. When we are gone,
//! whatever way, the kernel closes our end, and the keeper does what is left to do.

use std::{
    ffi::OsString,
    io,
    os::{
        fd::AsFd as _,
        unix::{net, process::CommandExt as _},
    },
    process::{Command, Stdio},
    time::Duration,
};

use rustix::process::Pid;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{
        UnixStream,
        unix::{OwnedReadHalf, OwnedWriteHalf},
    },
    signal::unix::{Signal, SignalKind, signal},
};
use tokio_util::sync::CancellationToken;

use super::family::{Family, Status, adopt_orphans};
use crate::{runtime, tasks::Tasks};

/// What the keeper is asked to do; that our end is closed means [`END`], too.
pub(super) const END: u8 = b'e';
pub(super) const END_AT_ONCE: u8 = b'k';

/// What the keeper tells, a line each.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Report {
    /// The child runs, under this number.
    Started(i32),
    Ended(Status),
    /// The system does not start it: the number of the error.
    NotStarted(i32),
}

/// What the keeper is told when it is started.
#[derive(Debug, clap::Args)]
pub(crate) struct Keeper {
    /// Milliseconds after SIGINT, and again after SIGTERM.
    #[arg(long)]
    grace: u64,
    /// The soft limit of descriptors that the child is to have: ours was raised.
    #[arg(long)]
    descriptors: u64,
    #[arg(last = true, required = true)]
    words: Vec<OsString>,
}

impl Keeper {
    /// The arguments that are read as this.
    pub(super) fn arguments(
        grace: Duration,
        descriptors: u64,
        words: &[OsString],
    ) -> Vec<OsString> {
        let mut arguments: Vec<OsString> =
            ["keeper", "--grace", &grace.as_millis().to_string()].map(OsString::from).into();
        arguments.extend(["--descriptors", &descriptors.to_string(), "--"].map(OsString::from));
        arguments.extend_from_slice(words);
        arguments
    }

    /// Keeps the command until it has ended or we are gone, and leaves nothing behind.
    pub(crate) fn run(&self) -> io::Result<()> {
        // Away from the terminal: its Ctrl-C is for us, since we drain first, and it would stop a
        // child that reads from it in the background.
        rustix::process::setsid()?;
        // "keeper" in lists of processes: whoever kills all that are called seawall means us.
        #[cfg(target_os = "linux")]
        rustix::thread::set_name(c"keeper")?;
        adopt_orphans();
        let (_, hard) = rlimit::getrlimit(rlimit::Resource::NOFILE)?;
        let _ = rlimit::setrlimit(rlimit::Resource::NOFILE, self.descriptors.min(hard), hard);
        let socket = net::UnixStream::from(io::stdin().as_fd().try_clone_to_owned()?);
        runtime::block_on(self.keep(socket))?
    }

    async fn keep(&self, socket: net::UnixStream) -> io::Result<()> {
        socket.set_nonblocking(true)?;
        let (orders, mut reports) = UnixStream::from_std(socket)?.into_split();
        // Handled here, these are at their defaults in the child, whatever they were before:
        // shells start background commands with SIGINT ignored. For the keeper they mean nothing.
        for kind in [
            SignalKind::interrupt(),
            SignalKind::quit(),
            SignalKind::terminate(),
            SignalKind::hangup(),
        ] {
            drop(signal(kind)?);
        }
        let mut deaths = signal(SignalKind::child())?;

        let child = match self.start() {
            Ok(child) => child,
            Err(error) => {
                let error = error.raw_os_error().unwrap_or_default();
                return Report::NotStarted(error).send(&mut reports).await;
            }
        };
        let mut family = Family::of(child, &[]);
        // Where nobody is there to hear it, the orders say so.
        let _ = Report::Started(child.as_raw_nonzero().get()).send(&mut reports).await;

        let (in_order, at_once) = (CancellationToken::new(), CancellationToken::new());
        Tasks::background(follow(orders, in_order.clone(), at_once.clone()));
        tokio::select! {
            // Cancel-safe: a death that was not waited for is found by the next look.
            () = ended(&mut family, &mut deaths) => {}
            () = in_order.cancelled() => {}
        }
        // Here too for a child that has ended by itself: the others of its family may live on.
        family.end(Duration::from_millis(self.grace), at_once.cancelled()).await;
        match family.status() {
            Some(status) => Report::Ended(status).send(&mut reports).await,
            None => Ok(()),
        }
    }

    fn start(&self) -> io::Result<Pid> {
        let (program, arguments) = self.words.split_first().ok_or(io::ErrorKind::NotFound)?;
        let child =
            Command::new(program).args(arguments).stdin(Stdio::null()).process_group(0).spawn()?;
        Pid::from_raw(child.id().cast_signed()).ok_or(io::ErrorKind::Other.into())
    }
}

async fn ended(family: &mut Family, deaths: &mut Signal) {
    while family.status().is_none() {
        deaths.recv().await;
    }
}

async fn follow(
    mut orders: OwnedReadHalf,
    in_order: CancellationToken,
    at_once: CancellationToken,
) {
    while let Ok(order) = orders.read_u8().await {
        in_order.cancel();
        if order == END_AT_ONCE {
            at_once.cancel();
        }
    }
    in_order.cancel();
}

impl Report {
    async fn send(&self, to: &mut OwnedWriteHalf) -> io::Result<()> {
        let line = match self {
            Self::Started(pid) => format!("started {pid}\n"),
            Self::Ended(Status::Exited(code)) => format!("exited {code}\n"),
            Self::Ended(Status::Signalled(signal)) => format!("signalled {signal}\n"),
            Self::NotStarted(error) => format!("failed {error}\n"),
        };
        to.write_all(line.as_bytes()).await
    }

    pub(super) fn parse(line: &str) -> Option<Self> {
        let (word, number) = line.trim_end().split_once(' ')?;
        let number = number.parse().ok()?;
        match word {
            "started" => Some(Self::Started(number)),
            "exited" => Some(Self::Ended(Status::Exited(number))),
            "signalled" => Some(Self::Ended(Status::Signalled(number))),
            "failed" => Some(Self::NotStarted(number)),
            _ => None,
        }
    }
}
