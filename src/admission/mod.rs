//! Who may start an exchange, and when: bounds per client, then a slot of the backend.

mod line;
pub(crate) mod per_client;
pub(crate) mod queue;
pub(crate) mod room;
mod seats;
