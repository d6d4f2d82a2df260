//! Scenes with a scripted backend, rude clients and seawall between them: a file for each promise
//! of the design, in the design's order, and one for each kind of rule that users rely on besides.

#![allow(
    clippy::disallowed_types,
    reason = "scenes measure real time: nothing here has a paused clock"
)]

#[path = "../harness/mod.rs"]
mod harness;

mod connections_and_slots;
mod curl;
mod cut_behind_the_head;
mod drain;
mod half_closed_or_gone;
mod large_bodies;
mod leaves_in_mid_response;
mod leaves_in_mid_upload;
mod leaves_the_queue;
mod leaves_while_waiting;
mod orphans_are_bounded;
mod orphans_are_shown;
mod reset_floods;
mod slow_reader;
mod slow_sender;
mod stalled_client;

mod access_log_file;
mod admin;
mod backend_out_of_reach;
mod broken_answers;
mod browser;
mod client_bounds;
mod command_line;
mod command_line_help;
mod config_mistakes;
mod connection_bounds;
mod few_segments;
mod forwarded;
mod hangup;
mod headers;
mod health;
mod hold;
mod hold_bounds;
mod hold_restarts;
mod hold_stand_in;
mod hostile_clients;
mod http2;
mod http2_bounds;
mod http2_fields;
mod http2_floods;
mod http2_leaves;
mod http2_parked;
mod http2_parked_terms;
mod http2_property;
mod http2_tunnels;
mod inspect;
mod interim_answers;
mod join;
mod join_leaves;
mod join_property;
mod join_whom;
mod join_writes;
mod listeners;
mod live_feed;
mod live_page;
mod log_contents;
mod log_lines;
mod messages;
mod metrics;
mod metrics_files;
mod on_disconnect;
mod parked;
mod per_client_bounds;
mod probe;
mod property;
mod proxy_protocol;
mod queue_bounds;
mod readiness;
mod refusals;
mod reload;
mod reload_file;
mod reload_listeners;
mod reload_under_load;
mod replay;
mod replay_kept;
mod replay_redis;
mod reuse;
mod servers;
mod servers_health;
mod servers_named;
mod servers_out;
mod servers_property;
mod servers_shown;
mod servers_sticky;
mod service_manager;
mod smuggling;
mod smuggling_corpus;
mod spool_full;
mod systemd_units;
mod the_harness_sees_harm;
mod tls;
mod tls_ends;
mod tls_records;
mod top;
mod traces;
mod traces_sent;
mod trailers;
mod tunnel;
mod tunnel_ends;
mod tunnel_sockets;
mod unix_sockets;
mod wrapped_command;
mod wrapped_command_ends;
