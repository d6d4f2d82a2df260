//! `seawall demo`.
#[derive(Debug, thiserror::Error)]
#[error("todo")]
pub(crate) struct Failed;
pub(crate) fn run(_once: bool) -> Result<(), Failed> {
    Ok(())
}
