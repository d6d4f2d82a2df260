//! Several seawalls behind one name, and a real Redis: a retry may reach any of them.

use std::sync::atomic::{AtomicU64, Ordering::SeqCst};
use std::time::Duration;

use crate::harness::{Backend, Leave, Redis, Seawall, until};
use crate::replay::{assert_replayed, post};

#[test]
fn a_retry_that_reaches_another_seawall_gets_the_kept_answer() {
    let redis = Redis::start();
    let backend = counts();
    let [one, other] = [(); 2].map(|()| before(&backend, &redis, ""));
    assert_eq!(post(&one, "/", "k", "one").answer().text(), "order 0");
    assert_replayed(&post(&other, "/", "k", "one").answer(), 200, "order 0");
    assert_eq!(post(&other, "/", "k", "two").answer().status(), 422);
    assert_eq!(backend.exchanges().len(), 1);
    // It needs no second look there.
    drop((redis, one));
    assert_replayed(&post(&other, "/", "k", "one").answer(), 200, "order 0");
}

#[test]
fn a_retry_that_reaches_another_seawall_waits_for_the_running_one() {
    let redis = Redis::start();
    let backend = held();
    let [one, other] = [(); 2].map(|()| before(&backend, &redis, ""));
    let first = post(&one, "/", "k", "one");
    backend.wait_held("view", 1);
    one.leave(first, Leave::Reset);
    let told = redis.told_of_others();
    let mut retries = [(); 3].map(|()| post(&other, "/", "k", "one"));
    other.settle();
    until("one was told that it runs", || (redis.told_of_others() > told).then_some(()));
    backend.release("view");
    for retry in &mut retries {
        assert_replayed(&retry.answer(), 200, "order 0");
    }
    assert_eq!(backend.exchanges().len(), 1);
}

#[test]
fn a_waiting_retry_runs_it_where_the_running_one_comes_to_nothing() {
    let redis = Redis::start();
    let runs = AtomicU64::new(0);
    let backend = Backend::start(move |talk| {
        talk.hold("view")?;
        if runs.fetch_add(1, SeqCst) == 0 {
            talk.reset();
            return Ok(());
        }
        talk.answer("done")
    });
    let [one, other] = [(); 2].map(|()| before(&backend, &redis, ""));
    let mut first = post(&one, "/", "k", "one");
    backend.wait_held("view", 1);
    let told = redis.told_of_others();
    let mut retries = [(); 3].map(|()| post(&other, "/", "k", "one"));
    other.settle();
    until("one was told that it runs", || (redis.told_of_others() > told).then_some(()));
    backend.release("view");
    assert_eq!(first.answer().status(), 502);
    for retry in &mut retries {
        assert_eq!(retry.answer().text(), "done");
    }
    assert_eq!(backend.exchanges().len(), 2);
}

#[test]
fn a_conflict_is_one_at_every_seawall() {
    let redis = Redis::start();
    let backend = held();
    let [one, other] = [(); 2].map(|()| before(&backend, &redis, "while_running = \"conflict\""));
    let mut first = post(&one, "/", "k", "one");
    backend.wait_held("view", 1);
    assert_eq!(post(&other, "/", "k", "one").answer().status(), 409);
    assert_eq!(post(&other, "/", "k", "two").answer().status(), 422);
    backend.release("view");
    first.answer();
    until("the other knows the answer", || {
        (post(&other, "/", "k", "one").answer().status() == 200).then_some(())
    });
    assert_eq!(backend.exchanges().len(), 1);
}

#[test]
fn who_leaves_a_wait_for_another_seawall_leaves_it_to_the_next() {
    let redis = Redis::start();
    let backend = held();
    let [one, other] = [(); 2].map(|()| before(&backend, &redis, ""));
    let mut first = post(&one, "/", "k", "one");
    backend.wait_held("view", 1);
    let asks = post(&other, "/", "k", "one");
    other.settle();
    let mut waits = post(&other, "/", "k", "one");
    other.settle();
    other.leave(asks, Leave::Fin);
    backend.release("view");
    first.answer();
    assert_replayed(&waits.answer(), 200, "order 0");
    assert_eq!(backend.exchanges().len(), 1);
}

#[test]
fn of_many_equal_requests_at_two_seawalls_one_runs() {
    let redis = Redis::start();
    let backend = counts();
    let [one, other] = [(); 2].map(|()| before(&backend, &redis, ""));
    for round in 0..10 {
        let key = format!("k{round}");
        let mut clients: Vec<_> = [&one, &other]
            .into_iter()
            .cycle()
            .take(20)
            .map(|seawall| post(seawall, "/", &key, "one"))
            .collect();
        for client in &mut clients {
            assert_eq!(client.answer().text(), format!("order {round}"));
        }
    }
    assert_eq!(backend.exchanges().len(), 10);
}

#[test]
fn without_redis_requests_go_on_and_nothing_runs_twice_here() {
    let mut redis = Redis::start();
    let backend = held();
    let seawall = before(&backend, &redis, "");
    let mut running = post(&seawall, "/", "running", "one");
    backend.wait_held("view", 1);
    redis.kill();
    // One that began with it, and one that begins without.
    let mut without = post(&seawall, "/", "without", "one");
    backend.wait_held("view", 2);
    let mut retries = ["running", "without"].map(|key| post(&seawall, "/", key, "one"));
    seawall.settle();
    backend.release("view");
    for client in [&mut running, &mut without].into_iter().chain(&mut retries) {
        assert_eq!(client.answer().status(), 200);
    }
    for key in ["running", "without"] {
        let again = post(&seawall, "/", key, "one").answer();
        assert_eq!(again.head.field("idempotency-replayed"), Some("true"));
    }
    assert_eq!(backend.exchanges().len(), 2);
    let warned = seawall.diagnostics().into_iter().filter(|line| line["level"] == "WARN").count();
    assert_eq!(warned, 1, "{:?}", seawall.diagnostics());
}

#[test]
fn what_ended_without_redis_is_told_to_it_when_it_is_back() {
    let mut redis = Redis::start();
    let backend = held();
    let [one, other] = [(); 2].map(|()| before(&backend, &redis, ""));
    let mut first = post(&one, "/", "k", "one");
    backend.wait_held("view", 1);
    redis.kill();
    backend.release("view");
    first.answer();
    redis.start_again();
    until("Redis is told", || (redis.requests() == 1).then_some(()));
    assert_replayed(&post(&other, "/", "k", "one").answer(), 200, "order 0");
    assert_eq!(backend.exchanges().len(), 1);
}

#[test]
fn what_is_known_to_run_at_another_seawall_is_not_run_here_when_redis_is_lost() {
    let mut redis = Redis::start();
    let backend = held();
    let [one, other] = [(); 2].map(|()| before(&backend, &redis, ""));
    let mut first = post(&one, "/", "k", "one");
    backend.wait_held("view", 1);
    let told = redis.told_of_others();
    let mut retry = post(&other, "/", "k", "one");
    until("it was told that the request runs", || (redis.told_of_others() > told).then_some(()));
    redis.kill();
    // A claim holds for so long without Redis, and then nobody knows.
    let answer = retry.answer_within(Duration::from_secs(30));
    assert_eq!(answer.status(), 503, "{}", answer.text());
    backend.release("view");
    first.answer();
    assert_eq!(backend.exchanges().len(), 1);
}

fn before(backend: &Backend, redis: &Redis, more: &str) -> Seawall {
    Seawall::with(
        backend,
        &format!("[[route]]\nreplay = true\n[replay]\nredis = \"{}\"\n{more}", redis.url()),
    )
}

fn counts() -> Backend {
    let orders = AtomicU64::new(0);
    Backend::start(move |talk| {
        let number = orders.fetch_add(1, SeqCst);
        talk.answer(format!("order {number}"))
    })
}

fn held() -> Backend {
    let orders = AtomicU64::new(0);
    Backend::start(move |talk| {
        // Again, since a lease lasts as long as a scene may wait for one thing.
        talk.hold("view").or_else(|_| talk.hold("view"))?;
        let number = orders.fetch_add(1, SeqCst);
        talk.answer(format!("order {number}"))
    })
}
