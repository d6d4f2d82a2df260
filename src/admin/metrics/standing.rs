//! How things stand: backends and their slots, connections, memory and disk.

use std::fmt;

use super::{super::House, page::Page};
use crate::backend::{Backend, Condition, ServerState};

pub(super) fn write(page: &mut Page<'_>, house: &House) -> fmt::Result {
    backends(page, house)?;
    bounds(page, house)?;
    servers(page, house)?;
    this_house(page, house)
}

fn backends(page: &mut Page<'_>, house: &House) -> fmt::Result {
    let all = house.proxy.backends();
    page.gauge(
        "seawall_backend_up",
        "0 while the backend is known to be away, restarting or in a crash loop, else 1.",
        all.iter().map(|one| {
            let is_up = matches!(one.condition(), Condition::Up | Condition::Unknown);
            ([("backend", &*one.config.name)], u64::from(is_up))
        }),
    )?;
    page.gauge(
        "seawall_backend_condition",
        "1 for what is known of the backend, 0 for all else.",
        all.iter().flat_map(|one| {
            let now = one.condition().word();
            let name = &*one.config.name;
            Condition::WORDS
                .map(|word| ([("backend", name), ("condition", word)], u64::from(word == now)))
        }),
    )
}

fn bounds(page: &mut Page<'_>, house: &House) -> fmt::Result {
    let all = house.proxy.backends();
    let each = |number: fn(&Backend) -> usize| {
        all.iter().map(move |one| ([("backend", &*one.config.name)], number(one)))
    };
    page.gauge(
        "seawall_slots",
        "Exchanges that the backend may have at once (max_concurrency of each server).",
        each(|backend| backend.slots().count()),
    )?;
    page.gauge(
        "seawall_slots_in_use",
        "Exchanges that it has, orphans and tunnels among them.",
        each(|backend| backend.slots().in_use()),
    )?;
    page.gauge(
        "seawall_queued",
        "Requests that wait for a slot.",
        each(|backend| backend.slots().waiting()),
    )?;
    page.gauge(
        "seawall_queue_max",
        "Requests that may wait for a slot (queue.max).",
        each(|backend| backend.config.queue.max),
    )?;
    page.gauge(
        "seawall_held",
        "Requests that wait for a backend that is away.",
        each(Backend::held),
    )?;
    page.gauge(
        "seawall_hold_max",
        "Requests that may wait for a backend that is away (hold.max).",
        each(|backend| backend.config.hold.max),
    )?;
    page.gauge(
        "seawall_kept_connections",
        "Idle connections to the backend, kept for the next request.",
        each(Backend::kept),
    )
}

fn servers(page: &mut Page<'_>, house: &House) -> fmt::Result {
    let backends = house.proxy.backends();
    let all: Vec<_> = backends
        .iter()
        .flat_map(|one| one.servers().into_iter().map(move |server| (&*one.config.name, server)))
        .collect();
    let each = |number: fn(&ServerState) -> usize| {
        all.iter().map(move |(backend, server)| {
            ([("backend", *backend), ("server", &*server.name)], number(server))
        })
    };
    page.gauge(
        "seawall_server_up",
        "0 while a server is sent nobody, since it cannot be reached and others can; else 1.",
        each(|server| usize::from(!server.is_out)),
    )?;
    page.gauge(
        "seawall_server_slots",
        "Exchanges that the server may have at once (max_concurrency).",
        each(|server| server.slots),
    )?;
    page.gauge(
        "seawall_server_slots_in_use",
        "Exchanges that it has, orphans and tunnels among them.",
        each(|server| server.slots_in_use),
    )?;
    page.gauge(
        "seawall_server_kept_connections",
        "Idle connections to the server, kept for the next request.",
        each(|server| server.kept),
    )
}

fn this_house(page: &mut Page<'_>, house: &House) -> fmt::Result {
    let tasks = house.proxy.tasks();
    page.gauge("seawall_connections", "Connections of clients.", [([], tasks.open_connections())])?;
    page.gauge(
        "seawall_draining",
        "1 from the signal that ends the process on.",
        [([], u64::from(tasks.is_draining()))],
    )?;
    let [memory, disk] = house.proxy.spooled();
    page.gauge(
        "seawall_spool_bytes",
        "Bytes of bodies that are held, by place.",
        [([("place", "memory")], memory.used), ([("place", "disk")], disk.used)],
    )?;
    page.gauge(
        "seawall_spool_max_bytes",
        "Bytes of bodies that may be held (spool.total_memory, spool.total_disk).",
        [([("place", "memory")], memory.max), ([("place", "disk")], disk.max)],
    )?;
    let kept = house.proxy.kept_answers();
    page.gauge(
        "seawall_kept_answers",
        "Answers that are kept in memory for replays.",
        [([], kept.answers)],
    )?;
    page.gauge("seawall_kept_answer_bytes", "Bytes of those.", [([], kept.bytes)])?;
    page.counter(
        "seawall_log_lines_dropped",
        "Lines of the access log that its reader was too slow for.",
        [([], house.books.log().dropped())],
    )?;
    page.gauge(
        "seawall_build_info",
        "1, with the version as a label.",
        [([("version", env!("CARGO_PKG_VERSION"))], 1_u64)],
    )
}
