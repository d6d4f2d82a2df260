//! What each refusal is called where it is counted.

use super::Refusal;

impl Refusal {
    /// One word, and the same for ever: people write queries with it.
    pub(crate) fn kind(&self) -> &'static str {
        match self {
            Self::NotEncrypted => "not_encrypted",
            Self::Malformed => "malformed",
            Self::BadField(_) => "bad_field",
            Self::Incomplete => "incomplete",
            Self::HeadTimeout => "head_timeout",
            Self::BodyStalled => "body_stalled",
            Self::BodyTooSlow => "body_too_slow",
            Self::BodyMalformed => "body_malformed",
            Self::BodyTooLong => "body_too_long",
            Self::TargetTooLong => "target_too_long",
            Self::HeadTooLong => "head_too_long",
            Self::ExpectationUnknown => "expectation_unknown",
            Self::NotImplemented(_) => "not_implemented",
            Self::TooManyConnections => "too_many_connections",
            Self::TooManyExchanges => "too_many_exchanges",
            Self::TooManyOrphans => "too_many_orphans",
            Self::KeyMalformed => "key_malformed",
            Self::KeyOfAnother => "key_of_another",
            Self::StillRunning => "still_running",
            Self::ResultUnknown => "result_unknown",
            Self::Loop => "loop",
            Self::QueueFull => "queue_full",
            Self::QueuedTooLong => "queued_too_long",
            Self::SpoolFull => "spool_full",
            Self::NameUnknown => "name_unknown",
            Self::ConnectionRefused => "connection_refused",
            Self::ConnectionTimedOut => "connection_timed_out",
            Self::Unreachable => "unreachable",
            Self::Restarting => "restarting",
            Self::NeverReached => "never_reached",
            Self::ProbeUnanswered => "probe_unanswered",
            Self::CrashLoop(_) => "crash_loop",
            Self::ClosedEarly => "closed_early",
            Self::AnswerMalformed => "answer_malformed",
            Self::SwitchedElsewhere => "switched_elsewhere",
            Self::StillWaiting => "still_waiting",
            Self::CutShort => "cut_short",
            Self::Internal => "internal",
        }
    }
}
