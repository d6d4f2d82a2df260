//! Shapes with which two servers are made to disagree where a request ends (RFC 9112 section 11.2):
//! each is refused, or made harmless by being rebuilt, and none reaches the backend raw.

use crate::harness::{Backend, Client, Seawall};

/// What a smuggler hides in the body of another request.
const HIDDEN: &str = "GET /hidden HTTP/1.1\r\nHost: a\r\n\r\n";

#[test]
fn two_ways_to_tell_the_length() {
    must_be_harmless(&[
        "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 6\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\nG",
        "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\nContent-Length: 50\r\n\r\n0\r\n\r\n",
        "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\nContent-Length: 0\r\n\r\n5\r\nhello\r\n0\r\n\r\n",
    ]);
}

#[test]
fn lengths_that_are_several_or_none() {
    must_end_the_connection(&[
        "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\nContent-Length: 35\r\n\r\n",
        "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 35\r\nContent-Length: 0\r\n\r\n",
        "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 0, 35\r\n\r\n",
        "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: +5\r\n\r\nhello",
        "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: -5\r\n\r\nhello",
        "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 0x5\r\n\r\nhello",
        "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5a\r\n\r\nhello",
        "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5 5\r\n\r\nhello",
        "POST / HTTP/1.1\r\nHost: a\r\nContent-Length:\r\n\r\nhello",
        "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 99999999999999999999999\r\n\r\nhello",
    ]);
}

#[test]
fn codings_that_are_not_just_chunked() {
    must_be_refused(&[
        "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n",
        "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked, chunked\r\n\r\n0\r\n\r\n",
        "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: identity\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    ]);
    must_end_the_connection(&[
        "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked, gzip\r\n\r\n0\r\n\r\n",
        "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\nTransfer-Encoding: identity\r\n\r\n0\r\n\r\n",
        "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: xchunked\r\n\r\n0\r\n\r\n",
        "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: identity\r\nContent-Length: 0\r\n\r\n",
        "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: \"chunked\"\r\n\r\n0\r\n\r\n",
        "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked;q=1\r\n\r\n0\r\n\r\n",
        "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding:\r\n\r\n0\r\n\r\n",
        "POST / HTTP/1.0\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    ]);
}

#[test]
fn fields_with_odd_names_and_line_ends() {
    must_be_refused(&[
        "POST / HTTP/1.1\r\nHost: a\r\nContent-Length : 35\r\n\r\n",
        "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding : chunked\r\n\r\n0\r\n\r\n",
        "POST / HTTP/1.1\r\nHost: a\r\n Content-Length: 35\r\n\r\n",
        "POST / HTTP/1.1\r\n Host: a\r\nX: b\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: a\r\nno colon at all\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: a\r\n: no name\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: a\r\nX\0: b\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: a\r\nX: b\0c\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: a\r\nX(y): b\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: a\r\nX: b\rY: c\r\n\r\n",
    ]);
    must_be_harmless(&[
        "POST / HTTP/1.1\r\nHost: a\r\nX: b\r\n folded: c\r\nContent-Length: 0\r\n\r\n",
        "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding:\r\n chunked\r\n\r\n0\r\n\r\n",
        "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\rX: b\r\n\r\n",
        "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 0\nX: b\r\n\r\n",
        "POST / HTTP/1.1\nHost: a\nContent-Length: 0\n\n",
        "POST / HTTP/1.1\r\nHost: a\r\nContent-Length:\t0\t\r\n\r\n",
        "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 0\x0b\r\n\r\n",
    ]);
}

#[test]
fn hosts_that_are_several_or_none_or_no_host() {
    must_be_refused(&[
        "GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: a\r\nHost: a\r\n\r\n",
        "GET / HTTP/1.1\r\nX: a\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: a b\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: a/b\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: a, b\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: user@a\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: a:port\r\n\r\n",
        "GET http://user@a/ HTTP/1.1\r\nHost: a\r\n\r\n",
    ]);
}

#[test]
fn request_lines_that_are_none() {
    must_be_refused(&[
        "GET  / HTTP/1.1\r\nHost: a\r\n\r\n",
        "GET / HTTP/1.1 \r\nHost: a\r\n\r\n",
        "GET / b HTTP/1.1\r\nHost: a\r\n\r\n",
        "GET\t/\tHTTP/1.1\r\nHost: a\r\n\r\n",
        "GET relative HTTP/1.1\r\nHost: a\r\n\r\n",
        "GET * HTTP/1.1\r\nHost: a\r\n\r\n",
        "GET / HTTP/3.0\r\nHost: a\r\n\r\n",
        "GET / HTTP/01.1\r\nHost: a\r\n\r\n",
        "GET / http/1.1\r\nHost: a\r\n\r\n",
        "GET /a\x7fb HTTP/1.1\r\nHost: a\r\n\r\n",
        "GET /\r\n\r\n",
        " GET / HTTP/1.1\r\nHost: a\r\n\r\n",
        "CONNECT other:443 HTTP/1.1\r\nHost: other:443\r\n\r\n",
    ]);
}

#[test]
fn chunks_that_are_none() {
    let broken = [
        "0x5\r\nhello\r\n0\r\n\r\n",
        "-5\r\nhello\r\n0\r\n\r\n",
        "+5\r\nhello\r\n0\r\n\r\n",
        " 5\r\nhello\r\n0\r\n\r\n",
        "g\r\nhello\r\n0\r\n\r\n",
        "\r\nhello\r\n0\r\n\r\n",
        "FFFFFFFFFFFFFFFFF\r\nhello\r\n0\r\n\r\n",
        "10000000000000005\r\nhello\r\n0\r\n\r\n",
        "5\nhello\r\n0\r\n\r\n",
        "5\rhello\r\n0\r\n\r\n",
        "5\r\nhelloX\r\n0\r\n\r\n",
        "5\r\nhello\n0\r\n\r\n",
        "5;a=\"\n\"\r\nhello\r\n0\r\n\r\n",
        "5\r\nhello\r\n0\r\nno colon\r\n\r\n",
    ];
    let shapes: Vec<String> = broken
        .iter()
        .map(|chunks| {
            format!("POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n{chunks}")
        })
        .collect();
    must_end_the_connection(&shapes.iter().map(String::as_str).collect::<Vec<_>>());
}

#[test]
fn chunk_extensions_are_not_passed_on() {
    must_be_harmless(&[
        "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n5;x=y\r\nhello\r\n0;last\r\n\r\n",
        "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: CHUNKED\r\n\r\n0005\r\nhello\r\n00\r\n\r\n",
    ]);
}

/// Refused, and the backend hears nothing.
#[track_caller]
fn must_be_refused(shapes: &[&str]) {
    let backend = Backend::start(|talk| talk.answer("served"));
    let seawall = Seawall::before(&backend);
    for shape in shapes {
        assert_refused(&mut seawall.client(), shape);
        assert_eq!(backend.targets(), Vec::<String>::new(), "{shape:?}");
    }
}

/// Refused, and since nobody can tell where such a request ends, nothing that follows is one.
#[track_caller]
fn must_end_the_connection(shapes: &[&str]) {
    let backend = Backend::start(|talk| talk.answer("served"));
    let seawall = Seawall::before(&backend);
    for shape in shapes {
        let mut client = seawall.client();
        assert_refused(&mut client, &format!("{shape}{HIDDEN}{HIDDEN}"));
        let more = String::from_utf8_lossy(&client.wait_closed()).into_owned();
        assert!(more.is_empty(), "{shape:?}: {more:?} after the refusal");
        assert_eq!(backend.targets(), Vec::<String>::new(), "{shape:?}");
    }
}

#[track_caller]
fn assert_refused(client: &mut Client, shape: &str) {
    match client.try_send(shape).outcome() {
        Ok(answer) => {
            assert!(matches!(answer.status(), 400..=499 | 501 | 505), "{shape:?}: {answer:?}");
        }
        Err(broken) => panic!("{shape:?}: {broken:?}"),
    }
}

/// Refused, or the backend gets exactly one request of the right form and nothing that was hidden
/// in it.
#[track_caller]
fn must_be_harmless(shapes: &[&str]) {
    let backend = Backend::start(|talk| talk.answer("served"));
    let seawall = Seawall::before(&backend);
    for shape in shapes {
        backend.forget();
        let answer = seawall.client().try_send(shape).half_close_quietly().outcome();
        let status = answer.unwrap_or_else(|broken| panic!("{shape:?}: {broken:?}")).status();
        backend.assert_unharmed();
        match &backend.exchanges()[..] {
            [] => assert!(matches!(status, 400..=499 | 501), "{shape:?}: {status}"),
            [one] => {
                assert_eq!(one.head.target(), "/", "{shape:?}");
                assert!(one.head.field("transfer-encoding").is_none(), "{shape:?}");
                assert!(one.head.field("folded").is_none(), "{shape:?}");
                assert!(one.body.is_empty() || one.body == b"hello", "{shape:?}: {:?}", one.body);
            }
            several => panic!("{shape:?} became {} requests", several.len()),
        }
    }
}
