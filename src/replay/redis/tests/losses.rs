//! Redis is lost, and comes back.

use super::*;

/// A claim that cannot be granted, and how long that took to say.
async fn unclaimed(store: &Redis) -> (Unclaimed, Duration) {
    let begun = Instant::now();
    match store.claim(&KEY, &PRINT).await {
        Err(unclaimed) => (unclaimed, begun.elapsed()),
        Ok(claim) => panic!("Redis should be lost, but {claim:?}"),
    }
}

async fn until_back(store: &Redis) {
    until("Redis is back", async || store.claim(&[9; 32], &PRINT).await.is_ok()).await;
}

#[tokio::test]
async fn a_redis_that_is_not_there_is_said_once_and_costs_nothing() {
    let (log, _listening) = Log::listen();
    let store = store(&format!("redis://127.0.0.1:{}", free_port()));
    let begun = Instant::now();
    for _ in 0..200 {
        assert_eq!(unclaimed(&store).await.0.lost, Lost::Unreachable);
    }
    assert!(begun.elapsed() < Duration::from_secs(1), "{:?}", begun.elapsed());
    assert_eq!(log.count("WARN"), 1, "{}", log.text());
}

#[tokio::test]
async fn a_redis_that_was_killed_is_used_again_when_it_is_back() {
    let mut redis = Server::start();
    let (log, _listening) = Log::listen();
    let store = store(&redis.url());
    drop(lease(&store).await);
    for round in 1..=2 {
        redis.kill();
        for _ in 0..20 {
            assert_eq!(unclaimed(&store).await.0.lost, Lost::Unreachable);
        }
        redis.start_again();
        until_back(&store).await;
        assert_eq!([log.count("WARN"), log.count("INFO")], [round, round], "{}", log.text());
    }
    lease(&store).await.finish(b"").await.expect("kept");
}

#[tokio::test]
async fn a_redis_that_was_restarted_between_two_calls_was_never_lost() {
    let mut redis = Server::start();
    let (log, _listening) = Log::listen();
    let store = store(&redis.url());
    drop(lease(&store).await);
    redis.kill();
    redis.start_again();
    let lease = lease(&store).await;
    // The same for a connection that Redis closes because it was idle.
    redis.say::<()>(&["CLIENT", "KILL", "TYPE", "normal"]);
    lease.finish(b"").await.expect("kept");
    assert_eq!(log.count("replay"), 0, "{}", log.text());
}

#[tokio::test]
async fn a_restarted_redis_is_told_again_who_runs_what() {
    let mut redis = Server::start();
    let (one, other) = (store(&redis.url()), store(&redis.url()));
    let lease = lease(&one).await;
    assert!(is_running(&other).await);
    let waiter = async {
        let begun = Instant::now();
        (ended(&other).await, begun.elapsed())
    };
    let restart = async {
        sleep(Duration::from_millis(100)).await;
        redis.kill();
        sleep(Duration::from_millis(700)).await;
        redis.start_again();
        let exists = async || redis.say::<bool>(&["EXISTS", &scripts::name(&KEY)]);
        until("claimed again", exists).await;
        lease.finish(b"answer").await
    };
    let ((ended, _), finished) = tokio::join!(waiter, restart);
    assert_eq!(finished, Ok(()));
    assert_eq!(ended, Ok(kept("answer")));
}

#[tokio::test]
async fn a_waiter_bears_the_loss_for_as_long_as_the_claim_holds_and_no_longer() {
    let mut redis = Server::start();
    let one = store(&redis.url());
    let other = forgetful(&redis.url(), Duration::from_millis(1_200));
    let lease = lease(&one).await;
    assert!(is_running(&other).await);
    redis.kill();
    let begun = Instant::now();
    assert_eq!(ended(&other).await, Err(Lost::Unreachable));
    assert!(begun.elapsed() >= Duration::from_millis(1_200), "{:?}", begun.elapsed());
    drop(lease);
}

#[tokio::test]
async fn an_answer_that_came_while_redis_was_lost_is_kept_when_it_is_back() {
    let mut redis = Server::start();
    let (one, other) = (store(&redis.url()), store(&redis.url()));
    let lease = lease(&one).await;
    redis.kill();
    assert_eq!(lease.finish(b"answer").await, Err(Lost::Unreachable));
    redis.start_again();
    // Not by claiming: who has the key by then keeps it.
    let exists = async || redis.say::<bool>(&["EXISTS", &scripts::name(&KEY)]);
    until("kept", exists).await;
    assert_eq!(ended(&other).await, Ok(kept("answer")));
}

#[tokio::test]
async fn answers_that_wait_for_redis_take_no_more_memory_than_their_bound() {
    let mut redis = Server::start();
    let store = store(&redis.url());
    let (small, large) = (lease(&store).await, store.claim(&[9; 32], &PRINT).await);
    let Ok(Claim::Ours(large)) = large else { panic!("not ours") };
    redis.kill();
    let room = store.link.waiting.available_permits();
    assert!(small.finish(&[0; 10_000]).await.is_err());
    let left = async || store.link.waiting.available_permits();
    until("it waits", async || left().await == room - 10).await;
    assert!(large.finish(&vec![0; room * 1024]).await.is_err());
    tokio::task::yield_now().await;
    assert_eq!(left().await, room - 10);
}

#[tokio::test]
async fn who_runs_an_exchange_without_redis_claims_it_when_redis_is_back() {
    let mut redis = Server::start();
    let (one, other) = (store(&redis.url()), store(&redis.url()));
    redis.kill();
    let (unclaimed, _) = unclaimed(&one).await;
    redis.start_again();
    let begun = Instant::now();
    let exists = async || redis.say::<bool>(&["EXISTS", &scripts::name(&KEY)]);
    until("claimed", exists).await;
    // At once, and not only when a renewal is due.
    assert!(begun.elapsed() < LEASE / 4, "{:?}", begun.elapsed());
    assert!(is_running(&other).await);
    unclaimed.lease.finish(b"answer").await.expect("kept");
    assert_eq!(ended(&other).await, Ok(kept("answer")));
}

#[tokio::test]
async fn a_redis_that_hangs_holds_nobody_up_for_long() {
    let redis = Server::start();
    let (log, _listening) = Log::listen();
    let store = store(&redis.url());
    let held = lease(&store).await;
    redis.hang();
    let (first, took) = unclaimed(&store).await;
    assert_eq!(first.lost, Lost::Silent);
    assert!(took < 2 * TIMEOUT, "{took:?}");
    // From now on it is known.
    for _ in 0..50 {
        let (unclaimed, took) = unclaimed(&store).await;
        assert_eq!(unclaimed.lost, Lost::Silent);
        assert!(took < Duration::from_millis(300), "{took:?}");
    }
    redis.go_on();
    until_back(&store).await;
    assert_eq!(held.finish(b"answer").await, Ok(()));
    assert_eq!([log.count("WARN"), log.count("INFO")], [1, 1], "{}", log.text());
}

#[tokio::test]
async fn a_redis_that_hangs_from_the_start_holds_nobody_up_for_long() {
    let redis = Server::start();
    redis.hang();
    let store = store(&redis.url());
    let (unclaimed, took) = unclaimed(&store).await;
    assert_eq!(unclaimed.lost, Lost::Silent);
    assert!(took < 2 * TIMEOUT, "{took:?}");
    redis.go_on();
    until_back(&store).await;
}

#[tokio::test]
async fn a_wrong_password_is_refused_and_never_repeated() {
    let redis = Server::with(&["--requirepass", "hunter2"]);
    let (log, _listening) = Log::listen();
    for wrong in [":hunter3@", "somebody:hunter3@", ""] {
        let url = format!("redis://{wrong}127.0.0.1:{}", redis.port);
        let store = store(&url);
        let (unclaimed, _) = unclaimed(&store).await;
        assert_eq!(unclaimed.lost, Lost::Refused);
        let shown = format!("{store:?} {unclaimed:?} {unclaimed}");
        assert!(!shown.contains("hunter"), "{shown}");
    }
    assert_eq!(log.count("WARN"), 3, "{}", log.text());
    assert!(!log.text().contains("hunter"), "{}", log.text());
}

#[tokio::test]
async fn an_error_that_repeats_the_password_does_not_reach_the_log() {
    // What is no command to it is quoted, with what follows.
    let redis = Server::with(&["--rename-command", "AUTH", ""]);
    let (log, _listening) = Log::listen();
    let store = store(&format!("redis://:hunter2@127.0.0.1:{}", redis.port));
    let (unclaimed, _) = unclaimed(&store).await;
    assert_eq!(unclaimed.lost, Lost::Refused);
    assert_eq!(log.count("WARN"), 1, "{}", log.text());
    assert!(!log.text().contains("hunter2"), "{}", log.text());
}

#[tokio::test]
async fn user_password_and_database_come_from_the_url() {
    let redis = Server::with(&["--user", "sea", "on", ">p@ss", "~seawall:replay:*", "+@all"]);
    let one = store(&format!("redis://sea:p%40ss@127.0.0.1:{}/3", redis.port));
    let lease = lease(&one).await;
    assert!(is_running(&one).await);
    // In another database the key is free.
    drop(self::lease(&store(&redis.url())).await);
    lease.finish(b"").await.expect("kept");
}

#[tokio::test]
async fn a_redis_that_is_full_is_lost_until_it_has_room() {
    let redis = Server::start();
    let (log, _listening) = Log::listen();
    let store = store(&redis.url());
    assert!(store.claim(&[9; 32], &PRINT).await.is_ok());
    redis.say::<()>(&["CONFIG", "SET", "maxmemory", "1"]);
    for _ in 0..20 {
        assert_eq!(unclaimed(&store).await.0.lost, Lost::Refused);
    }
    redis.say::<()>(&["CONFIG", "SET", "maxmemory", "0"]);
    until_back(&store).await;
    assert_eq!([log.count("WARN"), log.count("INFO")], [1, 1], "{}", log.text());
    assert!(log.text().contains("OOM"), "{}", log.text());
}
