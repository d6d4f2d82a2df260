//! The hot steps of a small request, each by itself: its time, and what it allocates.
//!
//!     cargo bench --features steps --bench steps             all of them
//!     cargo bench --features steps --bench steps -- spool    those with this in their name
//!     cargo test --features steps --bench steps              each once, as CI does, to see that it works

use std::hint::black_box;

use bytes::Bytes;
use divan::{AllocProfiler, Bencher};
use http::{Request, request};
use http_body_util::{BodyExt as _, Empty};
use seawall::{
    config::{self, Overrides},
    proxy::Proxy,
    steps::{self, Bodies, Client, Slots},
};
use tikv_jemallocator::Jemalloc;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpListener,
    runtime::Builder,
};
use tower::ServiceExt as _;

/// As in the program, and counted.
#[global_allocator]
static ALLOCATOR: AllocProfiler<Jemalloc> = AllocProfiler::new(Jemalloc);

fn main() {
    divan::main();
}

#[divan::bench]
fn reading_the_head_of_an_answer(bencher: Bencher<'_, '_>) {
    assert_eq!(steps::read_head(ANSWER).expect("whole").headers.len(), 4);
    bencher.bench(|| steps::read_head(black_box(ANSWER)));
}

#[divan::bench]
fn writing_the_head_of_a_request(bencher: Bencher<'_, '_>) {
    let (head, lines) = forwarded();
    assert!(steps::write_head(&head, &lines) > 300);
    bencher.bench(|| steps::write_head(black_box(&head), &lines));
}

/// With the look at what has come, and an id.
#[divan::bench]
fn making_a_head_the_backends(bencher: Bencher<'_, '_>) {
    let client = client();
    let lines = String::from_utf8(forwarded().1).expect("text");
    assert!(lines.starts_with("via: 1.1 ") && lines.contains("\r\nx-forwarded-for: 192.0.2.1\r\n"));
    bencher.with_inputs(head).bench_values(|mut head| {
        let lines = client.forward(&mut head);
        (head, lines)
    });
}

/// By which another request can join.
#[divan::bench]
fn identity(bencher: Bencher<'_, '_>) {
    let (head, _) = forwarded();
    assert!(steps::identity(&head) == steps::identity(&forwarded().0));
    bencher.bench(|| steps::identity(black_box(&head)));
}

/// From the head of the request until the books are closed on it, but for the line.
#[divan::bench]
fn record(bencher: Bencher<'_, '_>) {
    let (client, head) = (client(), head());
    bencher.bench(|| client.record(black_box(&head)));
}

#[divan::bench]
fn line_of_the_access_log(bencher: Bencher<'_, '_>) {
    let (mut line, mut text) = (client().line(&head()), Vec::new());
    line.write(&mut text);
    let fields: serde_json::Value = serde_json::from_slice(&text).expect("JSON");
    assert_eq!(fields["ended"], "delivered");
    bencher.bench_local(|| {
        text.clear();
        line.write(&mut text);
        black_box(&text).len()
    });
}

#[divan::bench]
fn spool_of_a_small_body(bencher: Bencher<'_, '_>) {
    passed(bencher, &[Bytes::from_static(b"Hello, world\n")]);
}

#[divan::bench]
fn spool_of_1_mib(bencher: Bencher<'_, '_>) {
    passed(bencher, &mebibyte());
}

#[divan::bench]
fn spool_of_1_mib_without_a_reader(bencher: Bencher<'_, '_>) {
    let (bodies, chunks) = (bodies(), mebibyte());
    assert_eq!(bodies.discard(&chunks), 1 << 20);
    bencher.bench(|| bodies.discard(black_box(&chunks)));
}

fn passed(bencher: Bencher<'_, '_>, chunks: &[Bytes]) {
    let (bodies, len) = (bodies(), chunks.iter().map(Bytes::len).sum::<usize>());
    assert_eq!(bodies.pass(chunks), len);
    bencher.bench(|| bodies.pass(black_box(chunks)));
}

#[divan::bench]
fn slot_that_is_free(bencher: Bencher<'_, '_>) {
    let slots = Slots::new(32);
    assert!(slots.pass());
    bencher.bench(|| slots.pass());
}

#[divan::bench]
fn slot_that_is_waited_for(bencher: Bencher<'_, '_>) {
    let slots = Slots::new(1);
    assert!(slots.hand_over());
    bencher.bench(|| slots.hand_over());
}

/// From the head of the request to the last byte of its answer, with a backend on the same thread, over the
/// loopback: most of it is the kernel's.
#[divan::bench]
fn whole_request_but_for_its_client(bencher: Bencher<'_, '_>) {
    let runtime = Builder::new_current_thread().enable_all().build().expect("a runtime");
    let listener = runtime.block_on(TcpListener::bind("127.0.0.1:0")).expect("a port");
    let address = listener.local_addr().expect("an address");
    let proxy = steps::proxy(&defaults(&format!("http://{address}")));
    let mut backend = Box::pin(answer_all(listener));
    let mut ask = || {
        runtime.block_on(async {
            tokio::select! {
                body = ask(&proxy) => body,
                () = &mut backend => unreachable!("it has no end"),
            }
        })
    };
    assert_eq!(ask(), "Hello, world\n");
    bencher.bench_local(ask);
}

async fn ask(proxy: &Proxy) -> Bytes {
    let request = Request::from_parts(head(), Empty::<Bytes>::new());
    let Ok(answer) = proxy.clone().oneshot(request).await;
    answer.into_body().collect().await.expect("whole").to_bytes()
}

/// A backend that serves one connection after the other.
async fn answer_all(listener: TcpListener) {
    loop {
        let (mut socket, _) = listener.accept().await.expect("a connection");
        let mut come = [0; 4096];
        // Small as it is, each request comes in one piece.
        while socket.read(&mut come).await.expect("a request") > 0 {
            socket.write_all(ANSWER).await.expect("a listener");
        }
    }
}

/// One slot, so that each request finds the connection of the one before.
fn defaults(backend: &str) -> config::Config {
    let slots = ("SEAWALL_BACKEND__MAX_CONCURRENCY".to_owned(), "1".to_owned());
    let backend = Some(backend.to_owned());
    let overrides = Overrides { backend, environment: vec![slots], ..Overrides::default() };
    config::load(None, &overrides).expect("sound").config
}

fn bodies() -> Bodies {
    Bodies::new(&defaults("http://127.0.0.1:9").spool)
}

/// Copying one of these copies no bytes.
fn mebibyte() -> Vec<Bytes> {
    vec![Bytes::from(vec![0; 64 * 1024]); 16]
}

fn client() -> Client {
    Client::at("192.0.2.1:50000".parse().expect("an address"))
}

/// As curl sends it.
fn head() -> request::Parts {
    let request = Request::get("/small?page=2")
        .header("host", "shop.example:8080")
        .header("user-agent", "curl/8.5.0")
        .header("accept", "*/*");
    let mut head = request.body(()).expect("a request").into_parts().0;
    // hyper reads it into a map that an answer has left, which has as much.
    head.headers.reserve(12);
    head
}

fn forwarded() -> (request::Parts, Vec<u8>) {
    let mut head = head();
    let lines = client().forward(&mut head).expect("sound");
    (head, lines)
}

const ANSWER: &[u8] = b"HTTP/1.1 200 OK\r\n\
    Server: gunicorn\r\n\
    Date: Thu, 01 Jan 2026 00:00:00 GMT\r\n\
    Connection: keep-alive\r\n\
    Content-Type: text/plain\r\n\
    Content-Length: 13\r\n\
    \r\n\
    Hello, world\n";
