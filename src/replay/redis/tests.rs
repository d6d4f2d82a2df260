//! Against a real Redis.

mod losses;
mod server;
mod sharing;

use std::{
    io,
    sync::{Arc, Once},
};

use tokio::time::timeout;
use tracing_subscriber::fmt::MakeWriter;

use self::server::{Server, free_port};
use super::*;
use crate::lock::Mutex;

const KEY: [u8; 32] = [0xab; 32];
const PRINT: [u8; 32] = [1; 32];
const OTHER_PRINT: [u8; 32] = [2; 32];
/// Whatever does not come within this never comes.
const DEADLINE: Duration = Duration::from_secs(20);

/// Long enough that nothing expires while the machine is busy.
fn store(url: &str) -> Redis {
    at(url, Bounds::keep(Duration::from_secs(60)))
}

/// Whose claims expire soon.
fn forgetful(url: &str, lease: Duration) -> Redis {
    let bounds = Bounds { lease, ..Bounds::keep(Duration::from_secs(60)) };
    at(url, bounds)
}

fn at(url: &str, bounds: Bounds) -> Redis {
    Redis::new(&RedisUrl::read(url).expect("a URL"), bounds)
}

async fn lease(store: &Redis) -> Lease {
    match store.claim(&KEY, &PRINT).await {
        Ok(Claim::Ours(lease)) => lease,
        other => panic!("expected to get the key, but {other:?}"),
    }
}

async fn is_running(store: &Redis) -> bool {
    matches!(store.claim(&KEY, &PRINT).await, Ok(Claim::Running))
}

async fn ended(store: &Redis) -> Result<Ended, Lost> {
    timeout(DEADLINE, store.ended(&KEY, &PRINT)).await.expect("an end")
}

fn kept(answer: &'static str) -> Ended {
    Ended::Kept(Bytes::from_static(answer.as_bytes()))
}

/// Looks again and again.
async fn until(what: &str, mut holds: impl AsyncFnMut() -> bool) {
    let looking = async {
        while !holds().await {
            sleep(Duration::from_millis(10)).await;
        }
    };
    assert!(timeout(DEADLINE, looking).await.is_ok(), "never: {what}");
}

/// What is logged on this thread, from all levels.
#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<u8>>>);

impl Log {
    fn listen() -> (Self, tracing::subscriber::DefaultGuard) {
        // Without a global subscriber, tests that begin at the same time can make tracing believe
        // that nobody listens.
        static GLOBAL: Once = Once::new();
        GLOBAL.call_once(|| {
            let _ = tracing::subscriber::set_global_default(
                tracing_subscriber::fmt()
                    .with_max_level(tracing::Level::TRACE)
                    .with_writer(io::sink)
                    .finish(),
            );
        });
        let log = Self::default();
        let subscriber = tracing_subscriber::fmt()
            .with_max_level(tracing::Level::TRACE)
            .with_ansi(false)
            .with_writer(log.clone())
            .finish();
        (log, tracing::subscriber::set_default(subscriber))
    }

    fn text(&self) -> String {
        String::from_utf8_lossy(&self.0.lock()).into_owned()
    }

    /// Lines of seawall that hold this.
    fn count(&self, part: &str) -> usize {
        self.text().lines().filter(|line| line.contains("seawall") && line.contains(part)).count()
    }
}

impl io::Write for Log {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl MakeWriter<'_> for Log {
    type Writer = Self;

    fn make_writer(&self) -> Self {
        self.clone()
    }
}

#[test]
fn waiting_is_asked_for_often_at_first_and_then_gently() {
    let at = |waited| pause(Duration::from_millis(waited)).as_millis();
    assert_eq!([at(0), at(500), at(800), at(5_000), at(60_000)], [50, 50, 80, 500, 500]);
}

#[test]
fn tokens_differ_between_claims_and_between_processes() {
    let (one, other) = (Tokens::default(), Tokens::default());
    let all = [one.token(), one.token(), other.token(), other.token()];
    for (at, token) in all.iter().enumerate() {
        assert!(!all[..at].contains(token));
    }
}
