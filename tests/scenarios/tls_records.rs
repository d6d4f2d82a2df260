//! TLS: however its records come, and what becomes of one that is wrong.

use std::io::{self, Read, Write};
use std::net::TcpStream;

use rustls::version::{TLS12, TLS13};
use rustls::{AlertDescription, ClientConnection, Error, Stream};

use super::tls::{echo, encrypted};
use crate::harness::{Authority, Backend, Seawall, Trust, pattern};

#[test]
fn records_may_come_byte_by_byte() {
    let authority = Authority::new();
    let backend = echo();
    let seawall = encrypted(&backend, &authority.sign("site", &["app.test"]), "");
    for version in [&TLS12, &TLS13] {
        let mut tls = authority.trust_by(&[version], None).connection("app.test");
        let mut socket = ByteByByte(socket(&seawall));
        // More than a record takes.
        let body = pattern(20_000);
        let answer = ask(&mut Stream::new(&mut tls, &mut socket), &body);
        assert!(answer.ends_with(&body));
    }
    backend.assert_unharmed();
}

#[test]
fn several_records_may_come_at_once() {
    let authority = Authority::new();
    let backend = Backend::start(|talk| {
        let target = talk.request().head.target().to_owned();
        talk.answer(target)
    });
    let seawall = encrypted(&backend, &authority.sign("site", &["app.test"]), "");
    for version in [&TLS12, &TLS13] {
        let (mut tls, mut socket) = shaken(&seawall, &authority.trust_by(&[version], None));
        for path in ["/one", "/two"] {
            for part in [format!("GET {path} HTTP/1.1\r\n"), "Host: app.test\r\n\r\n".to_owned()] {
                tls.writer().write_all(part.as_bytes()).unwrap();
            }
        }
        tls.send_close_notify();
        let mut answers = Vec::new();
        Stream::new(&mut tls, &mut socket).read_to_end(&mut answers).unwrap();
        let answers = String::from_utf8(answers).unwrap();
        assert!(answers.contains("/one") && answers.ends_with("/two"), "{answers}");
    }
}

#[test]
fn who_renews_its_keys_is_served_on() {
    let authority = Authority::new();
    let backend = echo();
    let seawall = encrypted(&backend, &authority.sign("site", &["app.test"]), "");
    let (mut tls, mut socket) = shaken(&seawall, &authority.trust());
    tls.refresh_traffic_keys().unwrap();
    let body = pattern(100_000);
    assert!(ask(&mut Stream::new(&mut tls, &mut socket), &body).ends_with(&body));
}

#[test]
fn a_record_that_is_not_the_clients_is_answered_by_an_alert() {
    let authority = Authority::new();
    let seawall = encrypted(&echo(), &authority.sign("site", &["app.test"]), "");
    let (mut tls, mut socket) = shaken(&seawall, &authority.trust());
    socket.write_all(&[23, 3, 3, 0, 32]).unwrap();
    socket.write_all(&[7; 32]).unwrap();
    let error = Stream::new(&mut tls, &mut socket).read(&mut [0; 100]).unwrap_err();
    let told = error.get_ref().and_then(|inner| inner.downcast_ref::<Error>());
    assert_eq!(told, Some(&Error::AlertReceived(AlertDescription::BadRecordMac)), "{error}");
}

fn socket(seawall: &Seawall) -> TcpStream {
    let socket = TcpStream::connect(seawall.address).unwrap();
    socket.set_nodelay(true).unwrap();
    socket
}

fn shaken(seawall: &Seawall, trust: &Trust) -> (ClientConnection, TcpStream) {
    let (mut tls, mut socket) = (trust.connection("app.test"), socket(seawall));
    while tls.is_handshaking() {
        tls.complete_io(&mut socket).unwrap();
    }
    (tls, socket)
}

/// Posts it, and returns all that comes.
fn ask(to: &mut (impl Read + Write), body: &[u8]) -> Vec<u8> {
    let head = format!(
        "POST / HTTP/1.1\r\nHost: app.test\r\nConnection: close\r\nContent-Length: {}\r\n\r\n",
        body.len()
    );
    to.write_all(&[head.as_bytes(), body].concat()).unwrap();
    let mut answer = Vec::new();
    to.read_to_end(&mut answer).unwrap();
    answer
}

/// What is written leaves in single bytes.
struct ByteByByte(TcpStream);

impl Read for ByteByByte {
    fn read(&mut self, room: &mut [u8]) -> io::Result<usize> {
        self.0.read(room)
    }
}

impl Write for ByteByByte {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.write(&bytes[..bytes.len().min(1)])
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
