//! One life of the child, from its start to the end of its family, as seen from our side.

use std::{
    ffi::OsString, io, os::fd::OwnedFd, path::PathBuf, pin::pin, process::Stdio, time::Duration,
};

use rustix::process::Pid;
use tokio::{
    io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader},
    net::{
        UnixStream,
        unix::{OwnedReadHalf, OwnedWriteHalf},
    },
    process::{Child, Command},
    time::{sleep, timeout},
};

use super::{
    Lives, Plan,
    family::{Family, Status},
    keeper::{END, END_AT_ONCE, Keeper, Report},
    output::pass_on,
};
use crate::{config, notify};

/// How long the keeper may take beyond what it grants the child.
const PATIENCE: Duration = Duration::from_secs(10);
/// What is said of the end of a child that nobody saw: whoever killed its keeper killed it, too.
const LOST: Status = Status::Signalled(9);
/// How long the output of a child that has ended is read on, should somebody have its streams still.
const LAST_WORDS: Duration = Duration::from_secs(5);

/// Why the child was not started.
#[derive(Debug, thiserror::Error)]
pub(crate) enum NotStarted {
    #[error("{0}: command not found")]
    NotFound(String),
    #[error("{program}: cannot be started: {error}")]
    NotExecutable { program: String, error: io::Error },
    #[error("the keeper of the command cannot be started: {0}")]
    Keeper(#[source] io::Error),
}

/// The child, its keeper, and what connects us with them.
#[derive(Debug)]
pub(super) struct Life {
    keeper: Child,
    child: Pid,
    orders: OwnedWriteHalf,
    reports: BufReader<OwnedReadHalf>,
}

impl Life {
    /// Starts the command by way of a keeper.
    pub(super) async fn start(plan: &Plan) -> Result<Self, NotStarted> {
        let (ours, theirs) = socket_pair().map_err(NotStarted::Keeper)?;
        let words = plan.command.words();
        let mut keeper = Command::new(this_program());
        keeper
            .arg0("keeper")
            .args(Keeper::arguments(plan.grace, plan.descriptors, words))
            .env("PORT", plan.command.port().to_string())
            .stdin(theirs)
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        for name in notify::VARIABLES.into_iter().chain(config::SECRET_VARIABLES) {
            keeper.env_remove(name);
        }
        // Into a pipe, Python writes in blocks: late, and nothing where it is killed.
        if std::env::var_os("PYTHONUNBUFFERED").is_none() {
            keeper.env("PYTHONUNBUFFERED", "1");
        }
        let keeper_process = keeper.spawn().map_err(NotStarted::Keeper)?;
        // With it goes our copy of the other end.
        drop(keeper);
        let (reports, orders) = ours.into_split();
        let mut reports = BufReader::new(reports);
        let program = || words.first().map(OsString::as_os_str).unwrap_or_default();
        match report(&mut reports).await {
            Some(Report::Started(pid)) => {
                let child = Pid::from_raw(pid);
                let child = child.ok_or(NotStarted::Keeper(io::ErrorKind::InvalidData.into()))?;
                Ok(Self { keeper: keeper_process, child, orders, reports })
            }
            Some(Report::NotStarted(error)) => {
                let program = program().to_string_lossy().into_owned();
                let error = io::Error::from_raw_os_error(error);
                Err(match error.kind() {
                    io::ErrorKind::NotFound => NotStarted::NotFound(program),
                    _ => NotStarted::NotExecutable { program, error },
                })
            }
            _ => Err(NotStarted::Keeper(io::ErrorKind::UnexpectedEof.into())),
        }
    }

    pub(super) fn pid(&self) -> i32 {
        self.child.as_raw_nonzero().get()
    }

    /// Follows the child to its end, its output passed on, and returns when nothing is left of its
    /// family.
    pub(super) async fn live(mut self, lives: &Lives) -> Status {
        let Lives { streams, mark, child, .. } = lives;
        let last = &child.output;
        let (stdout, stderr) = (self.keeper.stdout.take(), self.keeper.stderr.take());
        let mut output = pin!(async {
            tokio::join!(
                pass_on(stdout, &streams.stdout, mark, last),
                pass_on(stderr, &streams.stderr, mark, last),
            );
        });
        let mut end = pin!(self.end(lives));
        tokio::select! {
            status = &mut end => {
                let _ = timeout(LAST_WORDS, output).await;
                status
            }
            () = &mut output => end.await,
        }
    }

    async fn end(mut self, lives: &Lives) -> Status {
        let Lives { plan, orders, strangers, .. } = lives;
        let mut status = None;
        let told = async {
            while let Some(report) = report(&mut self.reports).await {
                if let Report::Ended(how) = report {
                    status = Some(how);
                }
            }
        };
        let ordered = async {
            orders.end.cancelled().await;
            // Where the keeper is gone already, the end of its reports says so.
            let _ = self.orders.write_u8(END).await;
            let _ = timeout(2 * plan.grace + PATIENCE, orders.at_once.cancelled()).await;
            let _ = self.orders.write_u8(END_AT_ONCE).await;
            sleep(PATIENCE).await;
        };
        tokio::select! {
            () = told => {}
            () = ordered => {
                tracing::warn!("the keeper hangs; killing it");
                let _ = self.keeper.start_kill();
            }
        }
        let _ = self.keeper.wait().await;
        if status.is_none() {
            // The keeper was killed, and we have inherited its family.
            let mut family = Family::of(self.child, strangers);
            family.end(plan.grace, orders.at_once.cancelled()).await;
            status = family.status();
        }
        status.unwrap_or(LOST)
    }
}

/// The next one; None when the keeper is gone.
async fn report(reports: &mut BufReader<OwnedReadHalf>) -> Option<Report> {
    let mut line = String::new();
    match reports.read_line(&mut line).await {
        Ok(1..) => Report::parse(&line),
        _ => None,
    }
}

fn socket_pair() -> io::Result<(UnixStream, Stdio)> {
    let (ours, theirs) = UnixStream::pair()?;
    let theirs = theirs.into_std()?;
    Ok((ours, OwnedFd::from(theirs).into()))
}

/// This very program, even where its file was replaced since it was started.
fn this_program() -> PathBuf {
    let link = PathBuf::from("/proc/self/exe");
    if link.exists() { link } else { std::env::current_exe().unwrap_or(link) }
}
