//! Health probes, answered for the backend.
//!
//! A kubelet gives up after a second, and asks again; a server that is busy would be asked more and
//! more, and break a pipe each time. So the path `backend.probe` is answered here: by what the
//! backend said within the last second, or by what is known of it. It is asked at most once a second
//! for everybody, by one exchange at a time, which is given as long as an orphan.

use std::{future::poll_fn, pin::pin, sync::Arc, time::Duration};

use bytes::{Bytes, BytesMut};
use http::{HeaderValue, Method, Response, StatusCode, header::CONTENT_TYPE, request};
use tokio::{
    sync::watch,
    time::{Instant, timeout},
};

use crate::{
    backend::Backend,
    exchange::Watcher,
    observe::record::{Record, Stage},
    refusal::Refusal,
    tasks::Tasks,
};

/// How long an answer of the backend is good for.
const FRESH: Duration = Duration::from_secs(1);
/// How long a prober waits for the backend's own answer. Kubernetes gives up after a second.
const PATIENCE: Duration = Duration::from_millis(500);
/// A backend that has nothing else to do and does not answer for so long is not well.
const SILENT: Duration = Duration::from_secs(10);
/// Bytes of the backend's answer that are passed on; longer ones are passed on without their body.
const BODY: usize = 64 * 1024;

/// The probe of one backend.
#[derive(Debug)]
pub(crate) struct Probe {
    /// Empty where there is none.
    path: String,
    known: Arc<watch::Sender<Known>>,
}

#[derive(Debug, Default)]
struct Known {
    /// When the backend was asked, and has not answered yet.
    asked: Option<(Instant, Arc<Record>)>,
    /// What came of that last, and when.
    answer: Option<(Instant, Response<Bytes>)>,
    /// It was the backend's own answer, and not a refusal in its place.
    is_own: bool,
}

impl Probe {
    pub(crate) fn new(path: &str) -> Self {
        Self { path: path.to_owned(), known: Arc::default() }
    }

    /// The same with this path.
    pub(crate) fn reloaded(&self, path: &str) -> Self {
        // Of another path nothing is known.
        let known = if self.path == path { self.known.clone() } else { Arc::default() };
        Self { path: path.to_owned(), known }
    }

    pub(crate) fn is_there(&self) -> bool {
        !self.path.is_empty()
    }

    pub(crate) fn is_meant(&self, head: &request::Parts) -> bool {
        self.is_there()
            && head.uri.path() == self.path
            && (head.method == Method::GET || head.method == Method::HEAD)
    }

    /// What the backend says or said, or what is known of it. `ask` begins an exchange.
    pub(crate) async fn answer(
        &self,
        backend: &Arc<Backend>,
        ask: impl FnOnce(&str) -> Option<(Arc<Record>, Watcher)>,
    ) -> Response<Bytes> {
        let mut changes = self.known.subscribe();
        self.known.send_if_modified(|known| {
            if known.asked.is_none()
                && known.fresh().is_none()
                && let Some((record, watcher)) = ask(&self.path)
            {
                known.asked = Some((Instant::now(), record));
                // Nobody who leaves ends it.
                Tasks::background(hear(watcher, self.known.clone(), backend.clone()));
            }
            false
        });
        let told = timeout(PATIENCE, changes.wait_for(|known| known.fresh().is_some())).await;
        match told.ok().and_then(Result::ok).and_then(|known| known.fresh().cloned()) {
            Some(answer) => answer,
            None => self.known.borrow().guess(backend),
        }
    }
}

impl Known {
    fn fresh(&self) -> Option<&Response<Bytes>> {
        let fresh = self.answer.as_ref().filter(|(when, _)| when.elapsed() < FRESH);
        fresh.map(|(_, answer)| answer)
    }

    /// Without an answer in time: a backend that is away is not well, and one that works on something
    /// is as well as it was.
    fn guess(&self, backend: &Backend) -> Response<Bytes> {
        if !backend.is_there() {
            return Refusal::Restarting.render(None);
        }
        let is_silent = self.asked.as_ref().is_some_and(|(since, record)| {
            let is_alone = record.stage() == Stage::Waiting && backend.slots().in_use() <= 1;
            is_alone && since.elapsed() >= SILENT
        });
        if is_silent {
            return Refusal::ProbeUnanswered.render(None);
        }
        self.as_it_was()
    }

    /// It works, and nothing newer is known of it.
    fn as_it_was(&self) -> Response<Bytes> {
        match &self.answer {
            Some((_, last)) if self.is_own => last.clone(),
            _ => plain(StatusCode::OK, Bytes::from_static(b"busy\n")),
        }
    }
}

/// Takes the answer to its end, for all who probe. Not for ever, else a backend that never answers
/// would have the slot as long; and while it is away hardly at all, else a drain would wait for that.
async fn hear(mut watcher: Watcher, known: Arc<watch::Sender<Known>>, backend: Arc<Backend>) {
    let longest = backend.config.orphan.max_duration;
    let heard = {
        let mut own = pin!(timeout(longest, own(&mut watcher)));
        let mut heard = timeout(FRESH, own.as_mut()).await;
        while heard.is_err() && !backend.is_away() {
            heard = timeout(FRESH, own.as_mut()).await;
        }
        heard.unwrap_or(Ok(Err(Refusal::Restarting)))
    };
    // Before anybody asks again.
    drop(watcher);
    let heard = heard.unwrap_or(Err(Refusal::CutShort));
    known.send_modify(|known| {
        let (is_own, answer) = match heard {
            Ok(answer) => (true, answer),
            // All slots are taken: it was not asked, because it is busy.
            Err(Refusal::QueueFull | Refusal::QueuedTooLong) => (known.is_own, known.as_it_was()),
            Err(refusal) => (false, refusal.render(None)),
        };
        *known = Known { asked: None, answer: Some((Instant::now(), answer)), is_own };
    });
}

/// The backend's own answer, once it is whole.
async fn own(watcher: &mut Watcher) -> Result<Response<Bytes>, Refusal> {
    let mut head = watcher.head(drop).await?;
    let mut body = BytesMut::new();
    let mut is_short = true;
    while let Some(frame) = poll_fn(|cx| head.body.poll_frame(cx)).await {
        // Broken off: what came of it must not look whole.
        let frame = frame.map_err(|_| Refusal::AnswerMalformed)?;
        if let Ok(chunk) = frame.into_data() {
            is_short &= body.len() + chunk.len() <= BODY;
            if is_short {
                body.extend_from_slice(&chunk);
            }
        }
    }
    if !is_short {
        body.clear();
    }
    let mut answer = plain(head.parts.status, body.freeze());
    if let Some(kind) = head.parts.headers.get(CONTENT_TYPE) {
        answer.headers_mut().insert(CONTENT_TYPE, kind.clone());
    }
    Ok(answer)
}

fn plain(status: StatusCode, body: Bytes) -> Response<Bytes> {
    let mut response = Response::new(body);
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("text/plain"));
    response
}
