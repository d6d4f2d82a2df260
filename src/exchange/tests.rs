use std::time::Duration;

use http::{Method, Response};

use super::*;
use crate::{
    admission::per_client::Clients,
    client::ClientKey,
    observe::{books::Books, record::Facts},
    request_id::RequestId,
};

fn opened() -> (Exchange, Watcher) {
    let key = ClientKey::of("192.0.2.1".parse().ok());
    let clients = Clients::generous();
    let share = clients.admit(&clients.account(key)).expect("room");
    let facts = Facts {
        id: RequestId::from_static("id"),
        client: None,
        line: Some((Method::GET, "/".into())),
        began: Instant::now(),
    };
    let record = Record::open(&Books::unwritten(), facts);
    let shared = Shared::new(share, None, None, record.clone());
    let exchange = Exchange::new(shared.clone(), record, None);
    (exchange, Watcher::first(shared, None))
}

fn begin(exchange: &Exchange) {
    exchange.begin(Instant::now(), &Context::from_waker(std::task::Waker::noop()));
}

fn spool() -> spool::Spool {
    spool::Store::new(&crate::config::Spool {
        memory: 1,
        patience: std::time::Duration::ZERO,
        total_memory: 1,
        total_disk: 0,
        dir: std::path::PathBuf::new(),
    })
    .spool(Retain::Nothing)
}

#[tokio::test]
async fn an_exchange_that_nobody_watches_does_not_begin() {
    let (exchange, watcher) = opened();
    drop(watcher);
    assert!(!exchange.is_wanted());
}

#[tokio::test]
async fn a_client_that_leaves_later_makes_an_orphan_and_no_more() {
    let (exchange, watcher) = opened();
    begin(&exchange);
    assert!(exchange.shared.state.lock().orphaned.is_none());
    drop(watcher);
    assert!(is_orphaned(&exchange).await);
    let spool = spool();
    exchange.answer(Response::new(()).into_parts().0, &spool, false, false, None);
    let kept = spool.write(bytes::Bytes::from_static(b"discarded")).await;
    assert_eq!(kept.expect("nothing to hold"), 9);
}

#[tokio::test]
async fn an_answer_that_is_not_taken_is_not_spooled() {
    let (exchange, watcher) = opened();
    begin(&exchange);
    let spool = spool();
    exchange.answer(Response::new(()).into_parts().0, &spool, false, false, None);
    drop(watcher);
    let kept = spool.write(bytes::Bytes::from_static(b"discarded")).await;
    assert_eq!(kept.expect("nothing to hold"), 9);
}

#[tokio::test]
async fn whoever_watches_is_told_when_the_task_is_gone() {
    let (exchange, mut watcher) = opened();
    drop(exchange);
    assert_eq!(watcher.head(drop).await.err(), Some(Refusal::Internal));
}

#[tokio::test]
#[cfg(debug_assertions)]
#[should_panic(expected = "Answering after Answering")]
async fn an_exchange_is_answered_only_once() {
    let (exchange, _watcher) = opened();
    begin(&exchange);
    let answer = || Response::new(()).into_parts().0;
    exchange.answer(answer(), &spool(), false, false, None);
    exchange.answer(answer(), &spool(), false, false, None);
}

#[tokio::test]
async fn an_exchange_that_is_sent_once_more_is_still_the_same() {
    let (exchange, watcher) = opened();
    begin(&exchange);
    begin(&exchange);
    assert_eq!(exchange.shared.state.lock().stage, Stage::Waiting);
    drop(watcher);
    assert!(is_orphaned(&exchange).await);
}

#[tokio::test]
async fn the_answer_is_handed_over_only_once() {
    let (exchange, mut watcher) = opened();
    begin(&exchange);
    exchange.refuse(&Refusal::ClosedEarly);
    exchange.refuse(&Refusal::CutShort);
    assert_eq!(watcher.head(drop).await.err(), Some(Refusal::ClosedEarly));
    let again = tokio::time::timeout(Duration::from_millis(1), watcher.head(drop)).await;
    assert!(again.is_err());
}

/// Once nobody watches it any more; false where an operator ends it.
async fn is_orphaned(exchange: &Exchange) -> bool {
    poll_fn(|cx| exchange.poll_orphaned_since(cx)).await.is_ok()
}

#[tokio::test]
async fn what_was_promised_is_sent_although_nobody_watches() {
    let (exchange, watcher) = opened();
    watcher.promise();
    drop(watcher);
    assert!(exchange.is_wanted());
    begin(&exchange);
    assert!(is_orphaned(&exchange).await);
}

#[tokio::test]
async fn who_has_all_of_the_answer_leaves_no_orphan_behind() {
    let left_behind = |is_served: bool| {
        let (exchange, mut watcher) = opened();
        begin(&exchange);
        if is_served {
            watcher.served();
        }
        drop(watcher);
        exchange.record().is_orphan()
    };
    assert!(left_behind(false));
    assert!(!left_behind(true));
}

#[tokio::test]
async fn who_leaves_in_the_moment_in_which_it_is_sent_leaves_an_orphan_behind() {
    let (exchange, watcher) = opened();
    assert!(exchange.is_wanted());
    drop(watcher);
    assert!(!exchange.record().is_orphan(), "it is not sent yet");
    begin(&exchange);
    assert!(exchange.record().is_orphan());
}
