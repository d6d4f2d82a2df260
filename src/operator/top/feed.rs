//! Looks once a second, on a thread of its own, and does what is asked for in between.

use std::{
    sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel},
    time::Duration,
};

use http::{Method, StatusCode};

use super::{super::Place, state::State};
use crate::runtime;

/// What comes of it.
#[derive(Debug)]
pub(super) enum News {
    State(Box<State>),
    /// Why there is none; it is tried again.
    Trouble(String),
    /// What came of ending an exchange.
    Notice(String),
}

/// Both ends of the thread; dropped, it ends.
#[derive(Debug)]
pub(super) struct Feed {
    pub(super) news: Receiver<News>,
    ends: SyncSender<u64>,
}

impl Feed {
    pub(super) fn of(place: Place) -> Self {
        // Whoever looks takes them sooner than they come.
        let (sender, news) = sync_channel(4);
        let (ends, wanted) = sync_channel(4);
        runtime::thread("feed", move || {
            let fed = runtime::block_on(async { feed(&place, &sender, &wanted).await });
            if let Err(error) = fed {
                let _ = sender.send(News::Trouble(error.to_string()));
            }
        });
        Self { news, ends }
    }

    /// Ends the exchange with this serial, soon. Not while several such wait already, since nobody knows
    /// whether they will be answered.
    pub(super) fn end(&self, serial: u64) -> Result<(), News> {
        let busy = |_| News::Notice("not yet: others are to be ended before".to_owned());
        self.ends.try_send(serial).map_err(busy)
    }
}

async fn feed(place: &Place, news: &SyncSender<News>, wanted: &Receiver<u64>) {
    loop {
        if news.send(look(place).await).is_err() {
            return;
        }
        match wanted.recv_timeout(PACE) {
            Ok(serial) => {
                let _ = news.send(end(place, serial).await);
            }
            Err(RecvTimeoutError::Timeout) => {}
            Err(RecvTimeoutError::Disconnected) => return,
        }
    }
}

/// The state, or why it cannot be had.
pub(super) async fn look(place: &Place) -> News {
    let answer = match place.ask(Method::GET, "/api/state").await {
        Ok(answer) => answer,
        Err(error) => return News::Trouble(error.to_string()),
    };
    match answer.status {
        StatusCode::OK => match serde_json::from_slice(&answer.body) {
            Ok(state) => News::State(Box::new(state)),
            Err(_) => News::Trouble("what answers there is no seawall of this version".to_owned()),
        },
        StatusCode::UNAUTHORIZED => News::Trouble(
            "a token is needed: give admin.token by --token or SEAWALL_ADMIN__TOKEN".to_owned(),
        ),
        _ => News::Trouble(answer.line()),
    }
}

async fn end(place: &Place, serial: u64) -> News {
    let path = format!("/api/exchanges/{serial}/end");
    News::Notice(match place.ask(Method::POST, &path).await {
        Ok(answer) if answer.status.is_success() => "it ends".to_owned(),
        Ok(answer) => answer.line(),
        Err(error) => error.to_string(),
    })
}

/// Between two looks.
const PACE: Duration = Duration::from_secs(1);
