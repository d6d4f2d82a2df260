//! Several seawalls, one Redis.

use std::thread;

use tokio::sync::{Barrier, mpsc};

use super::*;
use crate::runtime;

#[tokio::test]
async fn one_runs_the_exchange_and_the_other_gets_its_answer() {
    let redis = Server::start();
    let (one, other) = (store(&redis.url()), store(&redis.url()));
    let lease = lease(&one).await;
    assert!(is_running(&other).await);
    let finished = async { lease.finish(b"answer").await };
    let (finished, ended) = tokio::join!(finished, ended(&other));
    assert_eq!(finished, Ok(()));
    assert_eq!(ended, Ok(kept("answer")));
    for store in [&one, &other] {
        let claim = store.claim(&KEY, &PRINT).await;
        assert!(matches!(&claim, Ok(Claim::Kept(answer)) if answer == "answer"), "{claim:?}");
    }
}

#[tokio::test]
async fn a_waiter_soon_learns_of_the_end() {
    let redis = Server::start();
    let (one, other) = (store(&redis.url()), store(&redis.url()));
    let mut delays = Vec::new();
    for number in 0..5_u8 {
        let key = [number; 32];
        let Ok(Claim::Ours(lease)) = one.claim(&key, &PRINT).await else { panic!("not ours") };
        let end = async {
            sleep(Duration::from_millis(300)).await;
            lease.finish(b"").await.expect("kept");
            Instant::now()
        };
        let (end, ended) = tokio::join!(end, other.ended(&key, &PRINT));
        ended.expect("an end");
        delays.push(end.elapsed());
    }
    delays.sort();
    assert!(delays[2] <= Duration::from_millis(100), "{delays:?}");
}

#[tokio::test]
async fn another_request_under_the_same_key_is_told_so_while_it_runs_and_after() {
    let redis = Server::start();
    let (one, other) = (store(&redis.url()), store(&redis.url()));
    let lease = lease(&one).await;
    for store in [&one, &other] {
        assert!(matches!(store.claim(&KEY, &OTHER_PRINT).await, Ok(Claim::Other)));
    }
    lease.finish(b"").await.expect("kept");
    for store in [&one, &other] {
        assert!(matches!(store.claim(&KEY, &OTHER_PRINT).await, Ok(Claim::Other)));
        // Whoever waited for its own finds the key with another.
        assert_eq!(store.ended(&KEY, &OTHER_PRINT).await, Ok(Ended::Released));
    }
}

#[tokio::test]
async fn a_lease_that_is_dropped_lets_a_retry_run() {
    let redis = Server::start();
    let (one, other) = (store(&redis.url()), store(&redis.url()));
    let dropped = Instant::now();
    drop(lease(&one).await);
    assert_eq!(ended(&other).await, Ok(Ended::Released));
    assert!(dropped.elapsed() < LEASE / 2, "it expired");
    let lease = lease(&other).await;
    assert!(is_running(&one).await);
    lease.finish(b"second").await.expect("kept");
    assert_eq!(ended(&one).await, Ok(kept("second")));
}

#[tokio::test]
async fn a_claim_whose_caller_leaves_meanwhile_is_released() {
    let redis = Server::start();
    let store = store(&redis.url());
    let begun = Instant::now();
    for polls in 1..=10 {
        let mut claim = Box::pin(store.claim(&KEY, &PRINT));
        for _ in 0..polls {
            tokio::select! {
                biased;
                _ = &mut claim => break,
                () = tokio::task::yield_now() => {}
            }
        }
        drop(claim);
        // Over the same connection, and so after it.
        until("released", async || matches!(store.claim(&KEY, &PRINT).await, Ok(Claim::Ours(_))))
            .await;
    }
    assert!(begun.elapsed() < LEASE / 2, "they expired");
}

#[tokio::test]
async fn a_long_exchange_keeps_its_claim() {
    let redis = Server::start();
    let one = forgetful(&redis.url(), Duration::from_millis(900));
    let other = store(&redis.url());
    let lease = lease(&one).await;
    let waits = timeout(Duration::from_millis(2_700), other.ended(&KEY, &PRINT)).await;
    assert!(waits.is_err(), "{waits:?}");
    lease.finish(b"late").await.expect("kept");
    assert_eq!(ended(&other).await, Ok(kept("late")));
}

#[tokio::test]
async fn the_claim_of_a_seawall_that_is_killed_expires() {
    let redis = Server::start();
    let url = redis.url();
    // With its runtime everything ends at once that could renew or release.
    let killed = thread::spawn(move || {
        runtime::block_on(async {
            let store = forgetful(&url, Duration::from_millis(900));
            std::mem::forget(lease(&store).await);
            Instant::now()
        })
        .expect("a runtime")
    });
    let killed = killed.join().expect("the thread ends");
    let other = store(&redis.url());
    assert!(is_running(&other).await);
    assert_eq!(ended(&other).await, Ok(Ended::Released));
    assert!(killed.elapsed() >= Duration::from_millis(800), "{:?}", killed.elapsed());
    lease(&other).await.finish(b"").await.expect("kept");
}

#[tokio::test]
async fn an_answer_is_forgotten_when_it_is_old() {
    let redis = Server::start();
    let bounds = Bounds::keep(Duration::from_millis(300));
    let store = at(&redis.url(), bounds);
    lease(&store).await.finish(b"").await.expect("kept");
    until("forgotten", async || matches!(store.claim(&KEY, &PRINT).await, Ok(Claim::Ours(_))))
        .await;
}

#[tokio::test]
async fn who_lost_its_claim_does_not_overwrite_the_answer_of_who_has_it() {
    let redis = Server::start();
    let (one, other) = (store(&redis.url()), store(&redis.url()));
    let first = lease(&one).await;
    redis.say::<()>(&["DEL", &scripts::name(&KEY)]);
    let second = lease(&other).await;
    assert_eq!(first.finish(b"first").await, Err(Lost::Taken));
    assert!(is_running(&one).await);
    second.finish(b"second").await.expect("kept");
    assert_eq!(ended(&one).await, Ok(kept("second")));
}

#[tokio::test]
async fn a_lease_that_lost_its_claim_does_not_release_it() {
    let redis = Server::start();
    let (one, other) = (store(&redis.url()), store(&redis.url()));
    let first = lease(&one).await;
    redis.say::<()>(&["DEL", &scripts::name(&KEY)]);
    let second = lease(&other).await;
    drop(first);
    let waits = timeout(Duration::from_millis(300), one.ended(&KEY, &PRINT)).await;
    assert!(waits.is_err(), "{waits:?}");
    second.finish(b"second").await.expect("kept");
}

#[test]
fn of_a_thousand_claims_at_once_one_is_granted() {
    const EACH: usize = 250;
    let redis = Server::start();
    // The workers of a process end together, and no claim is released before all have their answer.
    let all_have_theirs = Barrier::new(4);
    let granted = |store: Redis| {
        let worker = async {
            let (tell, mut told) = mpsc::channel(EACH);
            for _ in 0..EACH {
                let (store, tell) = (store.clone(), tell.clone());
                Tasks::background(async move {
                    let _ = tell.send(store.claim(&KEY, &PRINT).await).await;
                });
            }
            let mut claims = Vec::new();
            for _ in 0..EACH {
                claims.push(told.recv().await.expect("a claim").expect("an answer"));
            }
            all_have_theirs.wait().await;
            claims.iter().filter(|claim| matches!(claim, Claim::Ours(_))).count()
        };
        runtime::block_on(worker).expect("a runtime")
    };
    // Two seawalls with two workers each.
    let (one, other) = (store(&redis.url()), store(&redis.url()));
    let granted: usize = thread::scope(|scope| {
        let workers =
            [one.clone(), one, other.clone(), other].map(|store| scope.spawn(|| granted(store)));
        workers.into_iter().map(|worker| worker.join().expect("a count")).sum()
    });
    assert_eq!(granted, 1);
}

#[test]
fn a_worker_that_ends_does_not_take_the_connection_of_the_others_with_it() {
    let redis = Server::start();
    let store = store(&redis.url());
    for _ in 0..3 {
        runtime::block_on(async { lease(&store).await.finish(b"").await.expect("kept") })
            .expect("a runtime");
        redis.say::<()>(&["DEL", &scripts::name(&KEY)]);
    }
}

#[tokio::test]
async fn values_of_somebody_else_are_told_apart_from_a_lost_redis() {
    let redis = Server::start();
    let (log, _listening) = Log::listen();
    let store = store(&redis.url());
    let name = scripts::name(&KEY);
    for (command, value) in [("SET", "foreign"), ("LPUSH", "list")] {
        redis.say::<()>(&["DEL", &name]);
        redis.say::<()>(&[command, &name, value]);
        let unclaimed = store.claim(&KEY, &PRINT).await.expect_err("no answer");
        assert_eq!(unclaimed.lost, Lost::Unreadable);
        assert_eq!(ended(&store).await, Err(Lost::Unreadable));
        let finished = unclaimed.lease.finish(b"").await;
        assert!(matches!(finished, Err(Lost::Taken | Lost::Unreadable)), "{finished:?}");
        let other_key = store.claim(&[0; 32], &PRINT).await;
        assert!(matches!(other_key, Ok(Claim::Ours(_) | Claim::Running)), "{other_key:?}");
    }
    assert_eq!(log.count("WARN"), 0, "{}", log.text());
}
