//! The pods, brought up for real.

use std::sync::atomic::Ordering::Relaxed;
use std::thread;
use std::time::{Duration, Instant};

use serde_json::json;

use crate::balancer::Balancer;
use crate::crowd::{Crowd, UPLOAD};
use crate::engine::{self, podman};
use crate::harm;
use crate::manifests::Manifests;
use crate::output::{Output, PATIENCE};
use crate::pod::Pod;
use crate::rude::Client;

#[test]
fn a_flask_server_in_a_pod_never_hears_of_rude_clients_nor_of_a_change_of_configuration() {
    let Some(manifests) = base() else { return };
    let mut pod = Pod::begin(&manifests, "one");
    let (seawall, app) = (pod.log("seawall"), pod.log("app"));
    let crowd = Crowd::at(pod.address);
    until_answered(&crowd, 200);
    pod.lay(&manifests.config().replace("max_concurrency = 32", "max_concurrency = 8"));
    seawall.wait_for("max_concurrency: 32 -> 8");
    pod.lay(&manifests.config().replace("[admin]", "[amdin]"));
    seawall.wait_for("configuration refused");
    until_answered(&crowd, 400);
    crowd.end();
    pod.end();
    is_clean(&app);
    assert!(seawall.whole().contains("\"discarded\""), "nobody left anything");
}

#[test]
fn a_rolling_restart_under_200_requests_a_second_breaks_nothing() {
    let Some(manifests) = base() else { return };
    let balancer = Balancer::start();
    let mut logs = Vec::new();
    let mut begin = |name: &str| {
        let pod = Pod::begin(&manifests, name);
        logs.push((pod.log("app"), pod.log("seawall")));
        balancer.add(pod.address);
        pod
    };
    let old = [begin("old-1"), begin("old-2")];
    let crowd = Crowd::at(balancer.address);
    until_answered(&crowd, 100);
    let mut new = Vec::new();
    for (number, old) in old.into_iter().enumerate() {
        let pod = begin(&format!("new-{number}"));
        // All nodes hear of it a little later, while the pod already ends.
        let (gone, heard) = (old.address, balancer.clone());
        let news = thread::spawn(move || {
            thread::sleep(LAG);
            heard.remove(gone);
        });
        old.end();
        news.join().unwrap();
        until_answered(&crowd, crowd.answered() + 100);
        new.push(pod);
    }
    let seen = crowd.end();
    assert!(seen.left.load(Relaxed) > 100);
    assert!(seen.rate.load(Relaxed) > 150);
    thread::scope(|scope| {
        for pod in new {
            scope.spawn(move || pod.end());
        }
    });
    for (app, _) in &logs {
        is_clean(app);
    }
}

#[test]
fn a_server_that_hangs_is_started_again_long_before_a_drain_would_be_over() {
    if !engine::is_there() {
        return;
    }
    let manifests = Manifests::of_chart(&json!({"probe": "/"})).unwrap();
    let pod = Pod::begin(&manifests, "hangs");
    podman(["kill", "--signal", "STOP", &pod.container("app")]);
    let address = pod.address;
    let client = thread::spawn(move || Client::asks(address, ASK));
    let took = pod.restart_server();
    assert!(took < pod.grace / 2, "{took:?}");
    // It has waited for that.
    assert!(client.join().unwrap().unwrap().starts_with(b"Hello."));
    pod.end();
}

fn base() -> Option<Manifests> {
    if !engine::is_there() {
        return None;
    }
    Some(Manifests::of_kustomize("base"))
}

fn until_answered(crowd: &Crowd, count: usize) {
    let start = Instant::now();
    while crowd.answered() < count {
        assert!(start.elapsed() < PATIENCE, "{} answered", crowd.answered());
        thread::sleep(Duration::from_millis(10));
    }
}

/// Of a container that has ended.
fn is_clean(app: &Output) {
    let log = app.whole();
    assert_eq!(harm::complaint(&log), None, "in:\n{log}");
    assert!(!log.contains("lines stopped"), "a view was stopped:\n{log}");
    let uploads = log.lines().filter(|line| line.contains("received "));
    let half: Vec<_> =
        uploads.filter(|line| !line.contains(&format!("received {UPLOAD} bytes"))).collect();
    assert!(half.is_empty(), "{half:?}");
}

const ASK: &str = "GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n";
/// Of endpoints that are withdrawn.
const LAG: Duration = Duration::from_secs(1);
