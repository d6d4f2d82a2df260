//! The process, under the names that all programs give it. What `/proc` does not tell is left out.

use std::{
    fmt,
    time::{Duration, SystemTime},
};

use procfs::{
    WithCurrentSystemInfo as _,
    process::{LimitValue, Process},
};

use super::page::Page;

pub(super) fn write(page: &mut Page<'_>, began: SystemTime) -> fmt::Result {
    let own = Process::myself().ok();
    let stat = own.as_ref().and_then(|own| own.stat().ok());
    let limits = own.as_ref().and_then(|own| own.limits().ok());
    page.counter(
        "process_cpu_seconds",
        "Time on processors, of the system's calls as well.",
        stat.iter().map(|stat| ([], seconds(stat.utime + stat.stime))),
    )?;
    page.gauge(
        "process_resident_memory_bytes",
        "Memory that is in use.",
        stat.iter().map(|stat| ([], stat.rss_bytes().get())),
    )?;
    page.gauge(
        "process_virtual_memory_bytes",
        "Addresses that are taken.",
        stat.iter().map(|stat| ([], stat.vsize)),
    )?;
    page.gauge("process_threads", "Threads.", stat.iter().map(|stat| ([], stat.num_threads)))?;
    page.gauge(
        "process_open_fds",
        "Descriptors that are open.",
        own.iter().filter_map(|own| Some(([], own.fd_count().ok()?))),
    )?;
    let most = limits.map(|limits| match limits.max_open_files.soft_limit {
        LimitValue::Value(most) => most,
        LimitValue::Unlimited => u64::MAX,
    });
    page.gauge("process_max_fds", "Descriptors that may be open.", most.map(|most| ([], most)))?;
    let began = began.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    page.gauge(
        "process_start_time_seconds",
        "When the process began, in seconds since 1970 (UTC).",
        [([], began.as_secs_f64())],
    )
}

/// Of the kernel's clock.
fn seconds(ticks: u64) -> f64 {
    let a_second = procfs::ticks_per_second().max(1);
    let rest = Duration::from_millis(ticks % a_second * 1000 / a_second);
    (Duration::from_secs(ticks / a_second) + rest).as_secs_f64()
}
