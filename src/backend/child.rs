//! What is known of the command behind a backend, for those who find the backend out of reach.

use std::sync::Arc;

use tokio::sync::watch;

use super::LastLines;
use crate::refusal::Refusal;

/// What runs behind a backend, where that is our child. Cloning gives another handle on the same.
#[derive(Debug, Clone, Default)]
pub(crate) struct Behind {
    /// Sent by the supervisor; whoever waits for the backend subscribes to it.
    pub(crate) state: watch::Sender<Child>,
    /// What it wrote; empty where the backend is not our child.
    pub(crate) output: Arc<LastLines>,
}

/// The child as its supervisor sees it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) enum Child {
    /// The backend is not our child.
    #[default]
    None,
    /// It runs; whether it listens yet is another matter.
    Running,
    /// It has ended, and will be back soon.
    Restarting,
    /// It has ended again and again, with these last lines. It is still tried, and leaves this
    /// state when it has lived for a while.
    CrashLoop(Arc<str>),
}

impl Child {
    /// What is said to those who ask for a child that ends again and again.
    pub(super) fn crash_loop(&self) -> Option<Refusal> {
        match self {
            Self::CrashLoop(lines) => Some(Refusal::CrashLoop(lines.clone())),
            Self::None | Self::Running | Self::Restarting => None,
        }
    }
}
