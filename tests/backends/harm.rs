//! What counts as harm in a server's output.

/// What a leaving client can do to a server.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Harm {
    /// It wrote a line of complaint.
    Complains,
    /// It stopped a view that had begun.
    StopsView,
    /// It handed half an upload to a view as if it were whole, and the view ran on it.
    HalfUpload,
}

/// The harm that shows in a server's output, each kind once.
pub(crate) fn shown(output: &str) -> Vec<Harm> {
    let mut shown = Vec::new();
    if complaint(output).is_some() {
        shown.push(Harm::Complains);
    }
    if output.contains("[stopped ") {
        shown.push(Harm::StopsView);
    }
    if half_uploads(output) > 0 {
        shown.push(Harm::HalfUpload);
    }
    shown
}

/// The first line of complaint.
pub(crate) fn complaint(output: &str) -> Option<&str> {
    output.lines().find(|line| {
        let line = line.to_ascii_lowercase();
        COMPLAINTS.iter().any(|complaint| line.contains(complaint))
    })
}

/// Uploads that a view took for whole, and were not.
fn half_uploads(output: &str) -> usize {
    let whole = WHOLE_UPLOAD.to_string();
    let received = output.lines().filter_map(|line| line.strip_prefix("[received "));
    received.filter(|rest| rest.split(' ').next() != Some(&whole)).count()
}

/// Every upload in these tests is so long.
pub(crate) const WHOLE_UPLOAD: usize = 8 * 1024 * 1024;

/// In lower case. Wide on purpose: a server that has noticed nothing writes none of these.
const COMPLAINTS: &[&str] = &[
    "broken pipe",
    "brokenpipe",
    "errno",
    "connection reset",
    "connectionreset",
    "econnreset",
    "epipe",
    "sigpipe",
    "write error",
    "write()",
    "writev()",
    "read error",
    "timed out",
    "bad file descriptor",
    "disconnected",
    "clientdisconnect",
    "premature",
    "traceback",
    "exception",
    "oserror",
    "ioerror",
    "[error]",
    "[critical]",
    "error:",
    "bad request",
    "\" 400 ",
    "\" 500 ",
];
