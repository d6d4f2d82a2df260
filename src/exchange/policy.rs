//! What becomes of an exchange whose client left, and for how long.

use std::time::Duration;

use crate::config::{self, OnDisconnect};

/// Who says what becomes of an exchange without a client, as far as neither the application nor a bound of the backend's
/// does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Policy {
    /// By the route's `on_disconnect`. `None`: nobody said anything, and endless types are let go early.
    Route(Option<OnDisconnect>),
    /// It is a request of our own, and for nobody but who hears it out: without him, it is cut at once.
    Ours,
}

/// How long an orphan may go on, and what to call it when it may no longer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Allowance {
    pub time: Duration,
    pub reason: &'static str,
}

impl Policy {
    /// The allowance by what is known so far; `endless` and `overruled` come with the head.
    pub(super) fn allowance(
        self,
        backend: &config::Backend,
        endless: bool,
        overruled: Option<OnDisconnect>,
    ) -> Allowance {
        let bound =
            Allowance { time: self.longest(backend), reason: "orphan.max_duration reached" };
        let shorter = match (overruled, self.on_disconnect()) {
            (Some(OnDisconnect::Cancel), _) => {
                Allowance { time: Duration::ZERO, reason: "cancelled by Seawall-On-Disconnect" }
            }
            (Some(OnDisconnect::FinishFor(time)), _) => {
                Allowance { time, reason: "finish_for of Seawall-On-Disconnect reached" }
            }
            (None, Some(OnDisconnect::Cancel)) => {
                Allowance { time: Duration::ZERO, reason: "cancelled by on_disconnect" }
            }
            (None, Some(OnDisconnect::FinishFor(time))) => {
                Allowance { time, reason: "on_disconnect.finish_for reached" }
            }
            (None, None) if endless => Allowance {
                time: backend.endless,
                reason: "endless response: backend.endless reached",
            },
            (Some(OnDisconnect::Finish), _) | (None, Some(OnDisconnect::Finish) | None) => bound,
        };
        // The backend's bound holds whatever a route or an application says.
        if shorter.time < bound.time { shorter } else { bound }
    }

    /// What no word of anybody can extend.
    pub(super) fn longest(self, backend: &config::Backend) -> Duration {
        match self {
            Self::Route(_) => backend.orphan.max_duration,
            Self::Ours => Duration::ZERO,
        }
    }

    fn on_disconnect(self) -> Option<OnDisconnect> {
        match self {
            Self::Route(on_disconnect) => on_disconnect,
            Self::Ours => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    fn backend() -> config::Backend {
        let named = config::Overrides {
            backend: Some("http://127.0.0.1:1".to_owned()),
            ..config::Overrides::default()
        };
        let mut loaded = config::load(None, &named).expect("valid");
        let mut backend = loaded.config.backends.remove(0);
        backend.orphan.max_duration = 100 * SECOND;
        backend.endless = 5 * SECOND;
        backend
    }

    #[test]
    fn the_application_overrules_the_route_and_the_route_the_type() {
        let backend = &backend();
        let quiet = Policy::Route(None);
        assert_eq!(quiet.allowance(backend, false, None).time, 100 * SECOND);
        assert_eq!(quiet.allowance(backend, true, None).time, 5 * SECOND);
        let cancel = Policy::Route(Some(OnDisconnect::Cancel));
        assert_eq!(cancel.allowance(backend, false, None).time, Duration::ZERO);
        let finish = Some(OnDisconnect::Finish);
        assert_eq!(cancel.allowance(backend, true, finish).time, 100 * SECOND);
        let finish = Policy::Route(finish);
        assert_eq!(finish.allowance(backend, true, None).time, 100 * SECOND);
        let brief = OnDisconnect::FinishFor(SECOND);
        assert_eq!(finish.allowance(backend, true, Some(brief)).time, SECOND);
    }

    #[test]
    fn the_backends_bound_holds_over_all() {
        let long = Policy::Route(Some(OnDisconnect::FinishFor(1_000 * SECOND)));
        let allowance = long.allowance(&backend(), false, None);
        assert_eq!(allowance.time, 100 * SECOND);
        assert_eq!(allowance.reason, "orphan.max_duration reached");
    }

    #[test]
    fn what_is_ours_is_cut_without_its_client_whatever_anybody_says() {
        for word in [None, Some(OnDisconnect::Finish), Some(OnDisconnect::FinishFor(SECOND))] {
            assert_eq!(Policy::Ours.allowance(&backend(), false, word).time, Duration::ZERO);
        }
    }
}
