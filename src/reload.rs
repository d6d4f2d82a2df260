//! The configuration read again: on SIGHUP at once, and when its file has changed and come to rest.

use std::{future::pending, io, sync::Arc};

use tokio::{sync::Notify, time::sleep};

use crate::{
    config::{Change, Files, LOOK, Loaded, Source},
    notify, tasks,
};

/// What can only be said at the start: this key, and all in these tables. Of the rest, everything is
/// put in force as it is read.
const AT_START: [&str; 6] = ["admin.", "child.", "inspect.", "log.format", "runtime.", "trace."];
/// But for this key: what is secret from now on.
const NOT_SO: &str = "inspect.mask";

/// What was read at the start, and what is in force.
#[derive(Debug)]
pub(crate) struct Reloads {
    source: Source,
    started: Loaded,
    current: Loaded,
    hangups: Arc<Notify>,
    files: Files,
}

/// Why it is read again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Because {
    Sighup,
    Change,
}

impl Reloads {
    /// Of what was read at the start.
    pub(crate) fn new(source: Source, loaded: Loaded, hangups: Arc<Notify>) -> Self {
        Self {
            hangups,
            files: Files::new(source.file.iter().cloned().collect()),
            source,
            current: loaded.clone(),
            started: loaded,
        }
    }

    /// Waits for a valid configuration that differs from the one in force. The service manager is to
    /// be told what becomes of it.
    pub(crate) async fn next(&mut self, places: &[String]) -> Loaded {
        loop {
            let because = tokio::select! {
                // Cancel-safe: what was not returned is told again, and files are looked at anew.
                () = self.hangups.notified() => Because::Sighup,
                () = changed(&mut self.files) => Because::Change,
            };
            let Some(file) = self.source.file.clone() else {
                tracing::warn!(
                    "SIGHUP: there is no configuration file to read again; give --config"
                );
                continue;
            };
            notify::reloading();
            match self.read().await {
                Ok(loaded) if loaded.changes(&self.current).is_empty() => {
                    if because == Because::Sighup {
                        tracing::info!(file = %file.display(), "SIGHUP: nothing has changed");
                    }
                    notify::ready(places);
                }
                Ok(loaded) => return loaded,
                Err(error) => {
                    self.refused(&error);
                    notify::ready(places);
                }
            }
        }
    }

    /// It is in force; says so, and what of it is not.
    pub(crate) fn accepted(&mut self, loaded: Loaded) {
        let now = loaded.changes(&self.current).into_iter().filter(|change| !is_late(change));
        let late = loaded.changes(&self.started).into_iter().filter(is_late);
        let (now, late): (Vec<_>, Vec<_>) = (now.map(told).collect(), late.map(told).collect());
        let file = self.file();
        tracing::info!(%file, changed = now.join("; "), "configuration reloaded");
        if !late.is_empty() {
            tracing::warn!(
                %file,
                keys = late.join("; "),
                "these cannot change while seawall runs; restart it to put them in force"
            );
        }
        self.current = loaded;
    }

    /// It is not in force, and nothing of it.
    pub(crate) fn refused(&self, error: &dyn std::error::Error) {
        let file = self.file();
        for error in error.to_string().lines() {
            tracing::error!(%file, error, "configuration refused; the one before stays in force");
        }
    }

    /// Where it may block: names are resolved, too.
    async fn read(&mut self) -> Result<Loaded, NotRead> {
        self.files.are_read();
        let source = self.source.clone();
        Ok(tasks::blocking(move || Ok(source.load())).await??)
    }

    fn file(&self) -> String {
        let file = self.source.file.as_ref();
        file.map(|file| file.display().to_string()).unwrap_or_default()
    }
}

/// What is wrong, in the words of `seawall check`.
#[derive(Debug, thiserror::Error)]
enum NotRead {
    #[error(transparent)]
    Mistakes(#[from] crate::config::Mistakes),
    /// The process is ending.
    #[error(transparent)]
    Ending(#[from] io::Error),
}

/// Where they lie may be slow to answer, or not answer at all.
async fn changed(files: &mut Files) {
    if files.are_none() {
        return pending().await;
    }
    loop {
        sleep(LOOK).await;
        let mut looked = files.clone();
        let look = move || {
            let is_news = looked.have_changed();
            Ok((looked, is_news))
        };
        let Ok((looked, is_news)) = tasks::blocking(look).await else { return pending().await };
        *files = looked;
        if is_news {
            return;
        }
    }
}

fn is_late(change: &Change) -> bool {
    change.key != NOT_SO && AT_START.iter().any(|key| change.key.starts_with(key))
}

fn told(Change { key, from, to }: Change) -> String {
    let shown = |value: Option<String>| value.unwrap_or_else(|| "nothing".to_owned());
    format!("{key}: {} -> {}", shown(from), shown(to))
}
