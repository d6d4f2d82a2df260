//! What becomes of an exchange whose client left, and for how long.

use std::time::Duration;

use crate::config::{OnDisconnect, Orphan};

/// The route's word, the backend's bounds, and the application's word over both.
#[derive(Debug, Clone)]
pub(crate) struct Policy {
    /// `None`: nobody said anything, and endless types are let go early.
    pub on_disconnect: Option<OnDisconnect>,
    pub orphan: Orphan,
    pub endless: Duration,
}

/// How long an orphan may go on, and what to call it when it may no longer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Allowance {
    pub time: Duration,
    pub reason: &'static str,
}

impl Policy {
    /// The allowance by what is known so far; `endless` and `overruled` come with the head.
    pub(super) fn allowance(&self, endless: bool, overruled: Option<OnDisconnect>) -> Allowance {
        let bound =
            Allowance { time: self.orphan.max_duration, reason: "orphan.max_duration reached" };
        let shorter = match (overruled, self.on_disconnect) {
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
                time: self.endless,
                reason: "endless response: backend.endless reached",
            },
            (Some(OnDisconnect::Finish), _) | (None, Some(OnDisconnect::Finish) | None) => bound,
        };
        // The backend's bound holds whatever a route or an application says.
        if shorter.time < bound.time { shorter } else { bound }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    fn policy(on_disconnect: Option<OnDisconnect>) -> Policy {
        let orphan = Orphan { max_duration: 100 * SECOND, max_bytes: 1 };
        Policy { on_disconnect, orphan, endless: 5 * SECOND }
    }

    #[test]
    fn the_application_overrules_the_route_and_the_route_the_type() {
        let quiet = policy(None);
        assert_eq!(quiet.allowance(false, None).time, 100 * SECOND);
        assert_eq!(quiet.allowance(true, None).time, 5 * SECOND);
        let cancel = policy(Some(OnDisconnect::Cancel));
        assert_eq!(cancel.allowance(false, None).time, Duration::ZERO);
        assert_eq!(cancel.allowance(true, Some(OnDisconnect::Finish)).time, 100 * SECOND);
        let finish = policy(Some(OnDisconnect::Finish));
        assert_eq!(finish.allowance(true, None).time, 100 * SECOND);
        let brief = OnDisconnect::FinishFor(SECOND);
        assert_eq!(finish.allowance(true, Some(brief)).time, SECOND);
    }

    #[test]
    fn the_backends_bound_holds_over_all() {
        let long = policy(Some(OnDisconnect::FinishFor(1_000 * SECOND)));
        let allowance = long.allowance(false, None);
        assert_eq!(allowance.time, 100 * SECOND);
        assert_eq!(allowance.reason, "orphan.max_duration reached");
    }
}
