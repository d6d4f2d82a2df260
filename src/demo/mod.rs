//! `seawall demo`: rude clients against a fragile one-thread server, without and with seawall
//! before it, side by side.

mod fragile;
mod rude;

use std::{
    io::{self, Write as _},
    net::SocketAddr,
    time::Duration,
};

use tokio::sync::oneshot;

use self::fragile::{Fragile, Seen};
use crate::{
    config::{Mistakes, Overrides, Source},
    reload::Reloads,
    runtime,
    server::{NotStarted, Server, Signals},
};

/// Why the demonstration did not come about.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Failed {
    #[error("the fragile server: {0}")]
    Fragile(#[source] io::Error),
    #[error(transparent)]
    Config(#[from] Mistakes),
    #[error(transparent)]
    NotStarted(#[from] NotStarted),
    #[error("the system refused: {0}")]
    System(#[from] io::Error),
    #[error("a rude client could not even be rude: {0}")]
    Rude(#[source] io::Error),
}

/// What one act came to at the server.
struct Outcome {
    seen: Seen,
    /// Until the patient client that came afterwards had its answer.
    next: Duration,
}

/// An act: its name, and what the rude client does.
struct Act {
    name: &'static str,
    play: fn(SocketAddr) -> io::Result<()>,
}

const ACTS: [Act; 6] = [
    Act { name: "leaves while the server works", play: rude::leaves_while_waiting },
    Act { name: "leaves in the middle of a download", play: rude::leaves_in_mid_download },
    Act { name: "resets in the middle of a download", play: rude::resets_in_mid_download },
    Act { name: "leaves in the middle of an upload", play: rude::leaves_in_mid_upload },
    Act { name: "reads the answer very slowly", play: rude::reads_slowly },
    Act { name: "five queue up, and leave again", play: rude::five_leave_the_queue },
];

/// Plays all acts, prints the comparison, and serves on until Ctrl-C unless `once`.
pub(crate) fn run(once: bool) -> Result<(), Failed> {
    let alone = Fragile::start().map_err(Failed::Fragile)?;
    let shielded = Fragile::start().map_err(Failed::Fragile)?;
    let setting = |name: &str, value: &str| (name.to_owned(), value.to_owned());
    let overrides = Overrides {
        listen: Some("127.0.0.1:0".to_owned()),
        child: None,
        backend: Some(format!("http://{}", shielded.address())),
        environment: vec![
            setting("SEAWALL_BACKEND__MAX_CONCURRENCY", "1"),
            setting("SEAWALL_LOG__ACCESS", "false"),
            setting("SEAWALL_RUNTIME__WORKERS", "1"),
        ],
        otel: Vec::new(),
    };
    let source = Source { file: None, overrides };
    let loaded = source.load()?;
    let server = Server::bind(&loaded.config)?;
    let wall = *server.addresses().first().ok_or(Failed::System(io::ErrorKind::NotFound.into()))?;
    let (done, played) = oneshot::channel();
    runtime::thread("demo", move || {
        // Nobody listens any more where Ctrl-C came first.
        let _ = done.send(play(&alone, &shielded, wall, once));
    });
    runtime::block_on(async {
        let signals = Signals::of_process()?;
        let reloads = Reloads::new(source, loaded, signals.hangups());
        let mut serving = std::pin::pin!(server.run(signals, reloads));
        tokio::select! {
            // Cancel-safe: serving goes on below, and what was played was sent as a whole.
            _ = serving.as_mut() => return Ok(()),
            played = played => played.unwrap_or(Ok(()))?,
        }
        if !once {
            serving.await;
        }
        Ok(())
    })?
}

fn play(alone: &Fragile, shielded: &Fragile, wall: SocketAddr, once: bool) -> Result<(), Failed> {
    let mut out = io::stdout();
    writeln!(out, "A server that does one thing at a time, and clients without manners.\n")?;
    writeln!(out, "{:36}  {:34}  behind seawall", "the client", "the server alone")?;
    for act in &ACTS {
        let direct = perform(act, alone, alone.address())?;
        let through = perform(act, shielded, wall)?;
        writeln!(out, "{:36}  {:34}  {}", act.name, direct.tell(), through.tell())?;
    }
    writeln!(
        out,
        "\n\"next\" is how long a patient client that came afterwards waited for its answer."
    )?;
    if !once {
        writeln!(
            out,
            "\nseawall serves on: http://{wall}/ (try /download, and close the tab midway)"
        )?;
        writeln!(
            out,
            "The fragile server behind it: http://{}/   End with Ctrl-C.",
            shielded.address()
        )?;
    }
    Ok(())
}

fn perform(act: &Act, server: &Fragile, door: SocketAddr) -> Result<Outcome, Failed> {
    (act.play)(door).map_err(Failed::Rude)?;
    let next = rude::patient(door).map_err(Failed::Rude)?;
    // The patient one was served, so all that came before it is over at a one-thread server.
    Ok(Outcome { seen: server.take_seen(), next })
}

impl Outcome {
    fn tell(&self) -> String {
        let what = match self.seen {
            Seen { broken: 0, truncated: 0, ran, .. } => match ran {
                0 => "never heard of it".to_owned(),
                1 => "finished in peace".to_owned(),
                _ => format!("ran {ran} in vain"),
            },
            Seen { broken: 0, .. } => "got half an upload".to_owned(),
            Seen { broken: 1, .. } => "Broken pipe".to_owned(),
            Seen { broken, .. } => format!("Broken pipe, {broken} times"),
        };
        format!("{what}, next {:.1} s", self.next.as_secs_f64())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_fragile_server_alone_is_hurt() {
        let server = Fragile::start().expect("a port");
        let door = server.address();
        for act in &ACTS[1..4] {
            let outcome = perform(act, &server, door).expect("played");
            assert!(outcome.seen.broken + outcome.seen.truncated > 0, "{}", act.name);
        }
    }
}
