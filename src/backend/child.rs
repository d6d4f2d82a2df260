//! What is known of the command behind a backend, for those who find the backend out of reach.

use std::sync::Arc;

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
