//! How each of several servers is, for who does not want to wait until an exchange finds out.
//!
//! A look is a connection, and where `backend.health` names a path, one request for that. It has a slot as
//! an exchange has, so that a server with one thread is never asked while it works on something: whoever is
//! busy is well. Its answer is read to the end, however late it comes, and until then there is no other.

use std::{
    sync::{
        Arc, Weak,
        atomic::{
            AtomicBool,
            Ordering::{Relaxed, SeqCst},
        },
    },
    time::Duration,
};

use http::{HeaderValue, StatusCode};
use tokio::{
    sync::oneshot,
    time::{sleep, timeout},
};

use super::{
    Fault, Link, Outbound, attempt::NoLink, host_of, lasting::Lasting, send::LISTEN, server::Seats,
};
use crate::{config, headers, request_id::RequestId, spool::Received, tasks::Tasks};

/// Why a server is not well.
#[derive(Debug, thiserror::Error)]
pub(super) enum Unwell {
    #[error(transparent)]
    NoLink(#[from] NoLink),
    #[error("it answers backend.health.path with {}", .0.as_u16())]
    Status(StatusCode),
    #[error("it has not answered backend.health.path within backend.health.timeout")]
    Silent,
    #[error("it has not answered backend.health.path to the end: {0}")]
    Fault(#[from] Fault),
    #[error("backend.health.path cannot be asked for; write one such as \"/healthz\"")]
    Unaskable,
}

/// That somebody looks regularly.
#[derive(Debug, Default)]
pub(super) struct Looking(AtomicBool);

impl Lasting {
    /// How this server is. None where all of its slots are in use.
    pub(super) async fn look_at(
        self: &Arc<Self>,
        seats: &Arc<Seats>,
    ) -> Option<Result<(), Unwell>> {
        if seats.server.conduct.asked.load(Relaxed) {
            // The last one is not answered yet.
            return Some(Err(Unwell::Silent));
        }
        let slot = self.slots.line().try_enter_only(seats)?;
        let link = match self.attempt(&slot, Duration::MAX, Some(LISTEN)).await {
            Ok(link) => link,
            Err(error) => return Some(Err(error.into())),
        };
        let config = self.named.lock().config.clone();
        if config.health.path.is_empty() {
            // In this order: it is closed before the next exchange has the slot.
            drop((link, slot));
            return Some(Ok(()));
        }
        let (tell, told) = oneshot::channel();
        seats.server.conduct.asked.store(true, Relaxed);
        let within = config.health.timeout;
        let tasks = self.tasks.get().cloned();
        let asking = async move {
            // Whoever hears it out does so as for an orphan, and a drain waits no longer than for its answer.
            let most = config.orphan.max_duration.max(within);
            let drained = async {
                match &tasks {
                    Some(tasks) => tasks.closing().cancelled().await,
                    None => std::future::pending().await,
                }
                sleep(within).await;
            };
            let heard = tokio::select! {
                // Cancel-safe: what is dropped is the look.
                heard = timeout(most, ask(link, &config)) => heard.unwrap_or(Err(Unwell::Silent)),
                () = drained => Err(Unwell::Silent),
            };
            slot.server().conduct.asked.store(false, Relaxed);
            drop(slot);
            // Whoever asked may have ceased to wait.
            let _ = tell.send(heard);
        };
        match self.tasks.get() {
            // The drain waits for it, as for exchanges.
            Some(tasks) => drop(Tasks::exchange(tasks.count_exchange(), asking)),
            None => Tasks::background(asking),
        }
        let heard = timeout(within, told).await.ok().and_then(Result::ok);
        Some(heard.unwrap_or(Err(Unwell::Silent)))
    }

    /// Looks at all servers from time to time, as long as `backend.health` names a path. Once, however
    /// often it is called.
    pub(super) fn look_regularly(self: &Arc<Self>) {
        let is_wanted = !self.named.lock().config.health.path.is_empty();
        if is_wanted && !self.looking.0.swap(true, SeqCst) {
            Tasks::background(look_regularly(Arc::downgrade(self)));
        }
    }

    async fn look_at_all(self: &Arc<Self>) {
        let servers = self.slots.servers();
        // Who is out is looked at when its time has come.
        let there = servers.iter().filter(|one| servers.len() > 1 && !one.is_out());
        // One after the other: else there would be a moment in which none has a slot.
        for one in there {
            match self.look_at(one).await {
                None => {}
                Some(Ok(())) => one.server.conduct.is_well(),
                Some(Err(why)) => {
                    let place = one.server.place();
                    let (backend, server) = (&*place.backend, &*place.name);
                    tracing::warn!(backend, server, error = %why, "the server is not well");
                    self.was_unwell(one);
                }
            }
        }
    }
}

async fn look_regularly(lasting: Weak<Lasting>) {
    loop {
        let Some(pause) = lasting.upgrade().and_then(|lasting| pause(&lasting)) else { return };
        sleep(pause).await;
        let Some(lasting) = lasting.upgrade() else { return };
        if lasting.is_over() {
            return;
        }
        if !lasting.is_retired() {
            lasting.look_at_all().await;
        }
    }
}

/// None where nobody wants it any more.
fn pause(lasting: &Lasting) -> Option<Duration> {
    // Under the lock under which that changes: who wants it again finds nobody who looks.
    let named = lasting.named.lock();
    let config::Health { path, interval, .. } = &named.config.health;
    if path.is_empty() {
        lasting.looking.0.store(false, SeqCst);
        return None;
    }
    Some(*interval)
}

async fn ask(mut link: Box<Link>, config: &config::Backend) -> Result<(), Unwell> {
    let (host, id): (HeaderValue, _) = (host_of(config.url().host()), RequestId::new());
    let head = headers::of_probe(&config.health.path, &host, &id).ok_or(Unwell::Unaskable)?;
    link.send(&Outbound::new(Box::new(head), &[], Received::Nothing)).await?;
    let head = link.answer(drop).await?;
    while let Some(piece) = link.piece().await {
        piece?;
    }
    match head.status.is_success() || head.status.is_redirection() {
        true => Ok(()),
        false => Err(Unwell::Status(head.status)),
    }
}
