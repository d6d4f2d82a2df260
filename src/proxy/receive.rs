//! The body of a request, taken in whole.

use std::{error::Error, future::poll_fn, io, pin::Pin, task::Poll, time::Duration};

use bytes::Bytes;
use http_body::Body;
use tokio::time::{Instant, timeout_at};

use super::House;
use crate::{
    config::Client,
    refusal::Refusal,
    replay::Naming,
    spool::{End, Full, Received, Retain},
    visit::Visit,
};

impl House {
    /// Takes in the whole body before anything is asked of the backend.
    pub(super) async fn receive<B>(
        &self,
        visit: &Visit,
        mut body: B,
        max: u64,
        mut naming: Option<&mut Naming>,
    ) -> Result<Received, Refusal>
    where
        B: Body<Data = Bytes, Error: Error + 'static> + Unpin,
    {
        if body.is_end_stream() {
            return Ok(Received::Nothing);
        }
        if body.size_hint().lower() > max {
            return Err(Refusal::BodyTooLong);
        }
        let spool = self.store.spool(Retain::All);
        let mut pace = Pace::new(&self.bounds);
        while let Some(frame) = self.next_frame(visit, &mut body, &mut pace).await? {
            // Trailers end here: a body that is sent with its length has no place for them.
            let Ok(chunk) = frame.into_data() else { continue };
            pace.came += chunk.len() as u64;
            if let Some(mut capture) = visit.record().capture() {
                capture.request_body(&chunk);
            }
            if spool.written() + chunk.len() as u64 > max {
                return Err(Refusal::BodyTooLong);
            }
            if let Some(naming) = &mut naming {
                naming.body(&chunk);
            }
            spool.write(chunk).await.map_err(|full: Full| {
                tracing::warn!(reason = %full, "no room for a request body");
                Refusal::SpoolFull
            })?;
        }
        spool.end(End::Whole(None));
        visit.received();
        Ok(Received::Spooled(spool))
    }

    async fn next_frame<B>(
        &self,
        visit: &Visit,
        body: &mut B,
        pace: &mut Pace,
    ) -> Result<Option<http_body::Frame<Bytes>>, Refusal>
    where
        B: Body<Data = Bytes, Error: Error + 'static> + Unpin,
    {
        let mut frame = poll_fn(|cx| match Pin::new(&mut *body).poll_frame(cx) {
            Poll::Ready(None) => Poll::Ready(Ok(None)),
            Poll::Ready(Some(Ok(frame))) => Poll::Ready(Ok(Some(frame))),
            Poll::Ready(Some(Err(error))) => Poll::Ready(Err(why_none(&error))),
            // The rest will never come.
            Poll::Pending if visit.is_short() => Poll::Ready(Err(Refusal::Incomplete)),
            Poll::Pending => Poll::Pending,
        });
        let at_once = poll_fn(|cx| Poll::Ready(Pin::new(&mut frame).poll(cx))).await;
        let frame = match at_once {
            // What is there already takes no time, and nobody looks at the clock for it.
            Poll::Ready(frame) => Ok(frame),
            Poll::Pending => {
                let now = Instant::now();
                let stalled = now + self.bounds.body_stall;
                let slow = pace.due(now).filter(|due| *due < stalled);
                let frame = timeout_at(slow.unwrap_or(stalled), frame).await;
                frame.map_err(|_| slow.map_or(Refusal::BodyStalled, |_| Refusal::BodyTooSlow))
            }
        };
        if let Ok(Err(refusal @ Refusal::Incomplete)) = &frame {
            // Half-closed, it can still be told; else nobody is there.
            visit.let_go(refusal.reason());
        }
        frame?
    }
}

/// How a body keeps pace: each byte buys time, but never more than twice `client.body_stall` ahead. So
/// a pause is borne where bytes have come before, and a byte now and then does not buy another one.
struct Pace {
    /// Bytes in a second; zero for no bound.
    least: u64,
    most: Duration,
    /// Bytes since the last look.
    came: u64,
    /// When the time that they have bought is over. None before the first look.
    due: Option<Instant>,
}

impl Pace {
    fn new(bounds: &Client) -> Self {
        Self { least: bounds.body_pace, most: bounds.body_stall * 2, came: 0, due: None }
    }

    fn due(&mut self, now: Instant) -> Option<Instant> {
        let bought = self.came.saturating_mul(1_000_000).checked_div(self.least)?;
        let bought = Duration::from_micros(bought).min(self.most);
        self.came = 0;
        let furthest = now + self.most;
        self.due = Some(self.due.map_or(furthest, |due| (due + bought).min(furthest)));
        self.due
    }
}

/// Did the client stop sending, or does it send what is no body?
fn why_none(error: &(dyn Error + 'static)) -> Refusal {
    let mut cause = Some(error);
    while let Some(error) = cause {
        if let Some(error) = error.downcast_ref::<io::Error>()
            && matches!(error.kind(), io::ErrorKind::InvalidData | io::ErrorKind::InvalidInput)
        {
            return Refusal::BodyMalformed;
        }
        cause = error.source();
    }
    Refusal::Incomplete
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ends(least: u64, came: impl Fn(u64) -> u64) -> Option<u64> {
        let (start, most) = (Instant::now(), Duration::from_secs(60));
        let mut pace = Pace { least, most, came: 0, due: None };
        (0..100_000).find(|second| {
            pace.came += came(*second);
            let now = start + Duration::from_secs(*second);
            pace.due(now).is_some_and(|due| due <= now)
        })
    }

    #[test]
    fn a_byte_now_and_then_buys_next_to_nothing() {
        assert_eq!(ends(100, |second| u64::from(second % 29 == 0)), Some(61));
    }

    #[test]
    fn what_keeps_pace_may_go_on_for_ever_and_so_may_all_where_there_is_no_bound() {
        assert_eq!(ends(100, |_| 100), None);
        // In bursts, too.
        assert_eq!(ends(100, |second| if second % 50 == 0 { 5000 } else { 0 }), None);
        assert_eq!(ends(0, |_| 0), None);
    }

    #[test]
    fn a_good_start_buys_a_minute_and_no_more() {
        assert_eq!(ends(100, |second| if second == 5 { 1 << 40 } else { 0 }), Some(65));
    }
}
