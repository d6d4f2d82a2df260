//! The units of `docker/systemd`: valid, hardened, and run by a real systemd, which has a namespace for
//! each scene.

use std::fs;
use std::net::{SocketAddr, TcpStream};
use std::path::Path;
use std::thread;

use crate::harness::command::{binary, binary_under};
use crate::harness::systemd::{Systemd, UNITS, exposure, free_port, verify};
use crate::harness::{Backend, Client, Leave, Seawall, pattern, until};

/// The users that systemd makes up.
const DYNAMIC: std::ops::RangeInclusive<u32> = 61184..=65519;
/// Out of 10, as `systemd-analyze security` has it.
const MOST_EXPOSED: f64 = 2.0;

#[test]
fn the_units_are_valid_and_hardened() {
    assert_eq!(verify(), "");
    let exposure = exposure();
    assert!(exposure <= MOST_EXPOSED, "{exposure}");
}

#[test]
fn the_configuration_of_the_units_is_valid() {
    let file = Path::new(UNITS).join("proxy.toml");
    let said = binary().args(["check", "--quiet", "--config"]).arg(file).output().unwrap();
    assert!(said.status.success() && said.stdout.is_empty(), "{said:?}");
}

#[test]
fn rude_clients_of_the_service_harm_nobody_and_it_ends_in_order() {
    let Some(systemd) = Systemd::start() else { return };
    let backend = Backend::held();
    let service = systemd.install(&backend.url(), "");
    // Nobody has started it: the first client does.
    let mut client = Client::connect(service.address);
    client.get("/left");
    backend.wait_held("/left", 1);
    service.wait_for_property("ActiveState", |state| state == "active");
    service.wait_for_property("StatusText", |text| {
        text == format!("listening on {}", service.address)
    });
    assert!(DYNAMIC.contains(&service.uid()), "{}", service.uid());
    client.leave(Leave::Reset);
    backend.release("/left");
    service.wait_for_line(|line| line["path"] == "/left" && line["ended"] == "discarded");

    let mut last = Client::connect(service.address);
    last.get("/last");
    backend.wait_held("/last", 1);
    let stopping = service.order(&["stop", "seawall.service"]);
    service.wait_for_property("SubState", |state| state == "stop-sigterm");
    service.wait_for_property("StatusText", |text| text.starts_with("draining: "));
    backend.release("/last");
    assert_eq!(last.answer().text(), "/last");
    stopping.wait();
    assert_eq!(service.property("Result"), "success");
    backend.assert_unharmed();
}

#[test]
fn on_a_machine_without_ipv6_all_addresses_are_those_of_ipv4() {
    let Some(systemd) = Systemd::start() else { return };
    let backend = Backend::start(|talk| talk.answer("here"));
    let service = systemd.install(&backend.url(), "");
    let address = SocketAddr::from(([127, 0, 0, 1], free_port()));
    service.drop_in(&format!(
        "[Service]\nRestrictAddressFamilies=\nRestrictAddressFamilies=AF_INET AF_UNIX\n\
         Environment=SEAWALL_LISTEN=[::]:{}\n",
        address.port()
    ));
    service.order(&["start", "seawall.service"]).wait();
    assert_eq!(Client::connect(address).get("/").answer().text(), "here");
    assert_eq!(service.property("StatusText"), format!("listening on 0.0.0.0:{}", address.port()));
}

#[test]
fn nobody_is_refused_while_the_service_restarts() {
    let Some(systemd) = Systemd::start() else { return };
    let backend = Backend::held();
    let service = systemd.install(&backend.url(), "");
    let mut old = Client::connect(service.address);
    old.get("/old");
    backend.wait_held("/old", 1);
    service.wait_for_property("ActiveState", |state| state == "active");
    let first = service.property("MainPID");
    let restarting = service.order(&["restart", "seawall.service"]);
    service.wait_for_property("StatusText", |text| text.starts_with("draining: "));
    // The socket is systemd's: whoever comes now waits for the next one.
    let mut new = Client::connect(service.address);
    new.get("/new");
    backend.release("/old");
    assert_eq!(old.answer().text(), "/old");
    backend.release("/new");
    assert_eq!(new.answer().text(), "/new");
    restarting.wait();
    assert_ne!(service.property("MainPID"), first);
    backend.assert_unharmed();
}

#[test]
fn a_reload_puts_a_valid_file_in_force_and_fails_with_an_invalid_one() {
    let Some(systemd) = Systemd::start() else { return };
    let (one, other) =
        (Backend::start(|talk| talk.answer("one")), Backend::start(|talk| talk.answer("other")));
    let service = systemd.install(&one.url(), "");
    assert_eq!(Client::connect(service.address).get("/").answer().text(), "one");
    service.configure(&other.url(), "");
    service.order(&["reload", "seawall.service"]).wait();
    service.wait_for_line(|line| line["message"] == "configuration reloaded");
    assert_eq!(Client::connect(service.address).get("/").answer().text(), "other");
    service.configure(&one.url(), "[drian]\n");
    assert!(!service.order(&["reload", "seawall.service"]).ends_well());
    // It has seen the file by itself, too.
    service.wait_for_property("ActiveState", |state| state == "active");
    assert_eq!(Client::connect(service.address).get("/").answer().text(), "other");
}

#[test]
fn a_long_body_lies_in_the_state_folder_of_the_service() {
    let Some(systemd) = Systemd::start() else { return };
    let body = pattern(20_000_000);
    let sent = body.clone();
    let backend = Backend::start(move |talk| talk.answer(&sent));
    let service = systemd.install(&backend.url(), "[spool]\nmemory = \"64KiB\"\n");
    let mut client = Client::with_small_window(service.address);
    client.get("/long");
    backend.wait_answered("/long");
    let open = service.open_files();
    let is_spool = |open: &String| open.starts_with("/var/lib/private/seawall/");
    assert!(open.iter().any(is_spool), "{open:?}");
    assert_eq!(client.answer().body.len(), body.len());
}

#[test]
fn a_worker_that_stands_still_has_the_service_started_again() {
    let Some(systemd) = Systemd::start() else { return };
    let backend = Backend::start(|talk| talk.answer("served"));
    let service = systemd.install(&backend.url(), "");
    service.drop_in("[Service]\nWatchdogSec=1s\nRestartSec=0\n");
    assert_eq!(Client::connect(service.address).get("/").answer().text(), "served");
    let first = service.property("MainPID");
    service.order(&["kill", "--signal=STOP", "seawall.service"]).wait();
    service.wait_for_property("MainPID", |now| now != first && now != "0");
    assert_eq!(Client::connect(service.address).get("/").answer().text(), "served");
}

#[test]
fn mistakes_in_the_configuration_are_told_and_not_tried_again() {
    let Some(systemd) = Systemd::start() else { return };
    let service = systemd.install("http://127.0.0.1:1", "[drian]\n");
    assert!(!service.order(&["start", "seawall.service"]).ends_well());
    assert_eq!(service.property("ExecMainStatus"), "2");
    assert_eq!(service.property("NRestarts"), "0");
    assert!(service.output().contains("drian"), "{}", service.output());
}

#[test]
fn the_tool_that_stands_for_a_socket_unit_hands_its_socket_over() {
    let backend = Backend::held();
    let port = free_port();
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("proxy.toml");
    fs::write(&file, format!("listen = \"systemd:web\"\nbackend = \"{}\"", backend.url())).unwrap();
    let mut tool = binary_under(
        "systemd-socket-activate",
        &[&format!("--listen=127.0.0.1:{port}"), "--fdname=web"],
    );
    // It starts seawall when somebody connects.
    let address = SocketAddr::from(([127, 0, 0, 1], port));
    let first = thread::spawn(move || until("it listens", || TcpStream::connect(address).ok()));
    let seawall = Seawall::spawn(tool.arg("--config").arg(&file));
    assert_eq!(seawall.address, address);
    drop(first.join().unwrap());
    let mut client = seawall.client();
    client.get("/first");
    backend.wait_held("/first", 1);
    client.leave(Leave::Reset);
    backend.release("/first");
    assert_eq!(seawall.line_of("/first")["ended"], "discarded");
    backend.release("/second");
    assert_eq!(seawall.client().get("/second").answer().text(), "/second");
    backend.assert_unharmed();
}
