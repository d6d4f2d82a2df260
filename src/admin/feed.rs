//! What happens, as it happens: server-sent events for those who watch the page.
//!
//! While somebody watches, and only then, one task looks four times a second and writes down what is
//! new, once for all. Who has had the look before gets what is new since; who has just come, has come
//! again, or was too slow gets the whole, so that nothing is missing after a gap.

use std::{
    collections::HashMap,
    pin::Pin,
    sync::{Arc, OnceLock},
    task::{Context, Poll},
    time::Duration,
};

use axum::{
    body::{Body, Bytes},
    extract::State as Of,
    http::header::CONTENT_TYPE,
    response::{IntoResponse, Response},
};
use http_body::Frame;
use serde::Serialize;
use tokio::{
    sync::{Notify, mpsc, watch},
    time::sleep,
};

use super::{
    House,
    finished::Finished,
    series::Sample,
    state::{BackendState, Running, State, Totals},
};
use crate::tasks::Tasks;

/// What those who watch share.
#[derive(Debug)]
pub(super) struct Feed {
    looks: watch::Sender<Arc<Look>>,
    /// Somebody has come to watch.
    wanted: Notify,
}

/// One look at the house.
#[derive(Debug, Default)]
struct Look {
    /// Follows that of the look before, unless nobody watched in between.
    number: u64,
    state: Option<State>,
    /// The event for who has had the look before; none where there is nothing new.
    news: Bytes,
    /// That for all others, once somebody needs it.
    whole: OnceLock<Bytes>,
    known: Known,
}

/// How far what only grows has been told.
#[derive(Debug, Clone, Copy, Default)]
struct Known {
    finished: u64,
    series: u64,
    output: u64,
}

/// What is told of that which only grows.
#[derive(Debug, Serialize)]
struct Grown {
    finished: Vec<Finished>,
    series: Vec<Sample>,
    /// Of our child.
    output: Vec<String>,
    /// How many lines of it have come by now: some may be told twice, as with the others.
    output_come: u64,
}

#[derive(Debug, Serialize)]
struct Whole<'a> {
    #[serde(flatten)]
    state: &'a State,
    #[serde(flatten)]
    grown: Grown,
    /// Is the first backend our child?
    wrapped: bool,
}

#[derive(Debug, Serialize)]
struct News<'a> {
    now: f64,
    draining: bool,
    connections: usize,
    more: usize,
    #[serde(skip_serializing_if = "Option::is_none")]
    backends: Option<&'a [BackendState]>,
    #[serde(skip_serializing_if = "Option::is_none")]
    totals: Option<&'a [Totals]>,
    changed: Vec<&'a Running>,
    gone: Vec<u64>,
    #[serde(flatten)]
    grown: Grown,
}

/// The body of the answer.
struct Events(mpsc::Receiver<Bytes>);

pub(super) async fn show(Of(house): Of<House>) -> Response {
    // One waits here, one in the connection: who is slower gets the whole once it is read.
    let (sender, events) = mpsc::channel(1);
    let mut looks = house.feed.looks.subscribe();
    house.feed.wanted.notify_one();
    Tasks::background(async move {
        let mut had = None;
        loop {
            tokio::select! {
                // Cancel-safe, as its documentation says.
                changed = looks.changed() => if changed.is_err() { return },
                () = sender.closed() => return,
            }
            let look = looks.borrow_and_update().clone();
            let event = match had {
                Some(had) if had + 1 == look.number => look.news.clone(),
                _ => look.whole(&house),
            };
            had = Some(look.number);
            if !event.is_empty() && sender.send(event).await.is_err() {
                return;
            }
        }
    });
    ([(CONTENT_TYPE, "text/event-stream")], Body::new(Events(events))).into_response()
}

impl Feed {
    pub(super) fn new() -> Arc<Self> {
        Arc::new(Self { looks: watch::Sender::default(), wanted: Notify::new() })
    }

    /// Looks, as long as the process lasts.
    pub(super) async fn run(self: Arc<Self>, house: House) {
        let mut before = Arc::new(Look::default());
        loop {
            if self.looks.receiver_count() == 0 {
                self.wanted.notified().await;
                // Nobody has had the one before.
                before = Arc::new(Look { number: before.number + 1, ..Look::default() });
            }
            before = Arc::new(Look::after(&before, &house));
            self.looks.send_replace(before.clone());
            sleep(PAUSE).await;
        }
    }
}

impl Look {
    fn after(before: &Self, house: &House) -> Self {
        let state = State::of(house, RUNNING_SHOWN);
        let number = before.number + 1;
        let (grown, known) = Grown::since(before.known, house);
        let news = match &before.state {
            None => Bytes::new(),
            Some(before) => {
                let news = News::between(before, &state, grown);
                // Once a second a sign of life.
                match news.is_empty() && !number.is_multiple_of(LOOKS_A_SECOND) {
                    true => Bytes::new(),
                    false => event(number, "news", &news),
                }
            }
        };
        Self { number, state: Some(state), news, whole: OnceLock::new(), known }
    }

    /// What has come since the look is told once more by the next one: who reads it knows it by its
    /// number.
    fn whole(&self, house: &House) -> Bytes {
        let Some(state) = &self.state else { return Bytes::new() };
        let whole = || {
            let (grown, _) = Grown::since(Known::default(), house);
            let wrapped = house.wraps();
            event(self.number, "whole", &Whole { state, grown, wrapped })
        };
        self.whole.get_or_init(whole).clone()
    }
}

impl<'a> News<'a> {
    fn between(before: &State, state: &'a State, grown: Grown) -> Self {
        let mut had: HashMap<u64, &Running> =
            before.running.iter().map(|one| (one.serial, one)).collect();
        let mut changed = Vec::new();
        for one in &state.running {
            if had.remove(&one.serial) != Some(one) {
                changed.push(one);
            }
        }
        let new = |differs: bool| differs.then_some(());
        Self {
            now: state.now,
            draining: state.draining,
            connections: state.connections,
            more: state.more,
            backends: new(before.backends != state.backends).map(|()| &*state.backends),
            totals: new(before.totals != state.totals).map(|()| &*state.totals),
            changed,
            gone: had.into_keys().collect(),
            grown,
        }
    }

    /// Connections alone are told with the next sign of life.
    fn is_empty(&self) -> bool {
        let Grown { finished, series, output, .. } = &self.grown;
        self.changed.is_empty()
            && self.gone.is_empty()
            && self.backends.is_none()
            && self.totals.is_none()
            && finished.is_empty()
            && series.is_empty()
            && output.is_empty()
    }
}

impl Grown {
    fn since(known: Known, house: &House) -> (Self, Known) {
        let finished = house.books.recent().since(known.finished);
        let series = house.series.since(known.series);
        let (output, come) = house.proxy.child().output.since(known.output);
        let known = Known {
            finished: finished.first().map_or(known.finished, |one| one.number),
            series: series.last().map_or(known.series, Sample::number),
            output: come,
        };
        let finished = finished.iter().rev().map(|one| Finished::of(house, one)).collect();
        (Self { finished, series, output, output_come: come }, known)
    }
}

impl http_body::Body for Events {
    type Data = Bytes;
    type Error = std::convert::Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Self::Error>>> {
        self.0.poll_recv(cx).map(|event| event.map(|event| Ok(Frame::data(event))))
    }
}

/// As the standard of HTML has it (Server-sent events).
fn event(number: u64, name: &str, data: &impl Serialize) -> Bytes {
    // Nothing here can refuse to be serialised, and there is no line break in the text.
    let data = serde_json::to_string(data).unwrap_or_default();
    format!("retry: 1000\nid: {number}\nevent: {name}\ndata: {data}\n\n").into()
}

const LOOKS_A_SECOND: u64 = 4;
const PAUSE: Duration = Duration::from_millis(1000 / LOOKS_A_SECOND);
/// The oldest ones; how many more there are is told.
const RUNNING_SHOWN: usize = 2000;
