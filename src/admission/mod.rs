//! Who may start an exchange, and when: bounds per client, then a slot of the backend.

pub(crate) mod per_client;
pub(crate) mod queue;
pub(crate) mod room;
