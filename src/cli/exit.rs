//! Every exit code of the program.

/// Every exit code of the program.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Exit {
    /// Nothing was left to do.
    InOrder,
    /// A port that is taken, a folder that cannot be written.
    Failed,
    /// The configuration or the command line is wrong. clap uses the same.
    Mistakes,
    /// The drain's bound, or a second signal, cut something.
    Cut,
    /// The child cannot be run; as shells have it.
    NotExecutable,
    /// There is no such command; as shells have it.
    NotFound,
    /// The child's, which was to be run once.
    Child(u8),
}

impl Exit {
    /// Those that do not come from the child.
    pub(super) const OURS: [Self; 6] = [
        Self::InOrder,
        Self::Failed,
        Self::Mistakes,
        Self::Cut,
        Self::NotExecutable,
        Self::NotFound,
    ];

    /// As the system is told.
    #[must_use]
    pub fn code(self) -> u8 {
        match self {
            Self::InOrder => 0,
            Self::Failed => 1,
            Self::Mistakes => 2,
            Self::Cut => 3,
            Self::NotExecutable => 126,
            Self::NotFound => 127,
            Self::Child(code) => code,
        }
    }

    /// As the user is told.
    pub(super) fn meaning(self) -> &'static str {
        match self {
            Self::InOrder => "ended in order",
            Self::Failed => "failed: a port that is taken, a folder that cannot be written",
            Self::Mistakes => "mistakes in configuration or command line",
            Self::Cut => "ended, but something was cut",
            Self::NotExecutable => "the command behind -- cannot be run",
            Self::NotFound => "the command behind -- was not found",
            Self::Child(_) => "its own code, or 128 and the number of the signal that ended it",
        }
    }
}
