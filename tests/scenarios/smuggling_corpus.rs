//! The known families of request smuggling, each before a backend that writes down every byte: what is
//! refused never gets there, and what is not gets there as one request in the one form that no two
//! servers read differently (RFC 9112 section 11.2).
//!
//! The shapes are those of Linhart et al. (2005), of Kettle's HTTP desync series (CL.TE, TE.CL, TE.TE,
//! CL.0, 0.CL and the obfuscations that his scanner and smuggler.py try), and of the chunk-line family
//! (TERM.EXT, EXT.TERM, TERM.SPILL, SPILL.TERM: CVE-2025-22871, CVE-2025-4366 and their kin).

mod stage;

use stage::Fate::{InOrder, OneAndEnd, Refused};
use stage::{HIDDEN, Stage};

#[test]
fn codings_in_disguise() {
    let stage = Stage::set();
    let chunked = |field: &str| format!("POST / HTTP/1.1\r\nHost: a\r\n{field}\r\n\r\n0\r\n\r\n");
    let shapes = [
        ("Transfer-Encoding: chunked\r\nContent-Length: 5", OneAndEnd("")),
        ("Content-Length: 5\r\nTransfer-Encoding: chunked", OneAndEnd("")),
        ("Content-Length: 5\r\nX: y\nTransfer-Encoding: chunked", OneAndEnd("")),
        ("Content-Length: 0\r\nTransfer-Encoding: chunked", OneAndEnd("")),
        ("Content-Length: 6\r\nTransfer-Encoding: xchunked", Refused),
        ("Transfer-Encoding: xchunked", Refused),
        ("Transfer-Encoding: chunkedx", Refused),
        ("Transfer-Encoding: chunk", Refused),
        ("Transfer-Encoding: chunked\r\nTransfer-Encoding: x", Refused),
        ("Transfer-Encoding: x\r\nTransfer-Encoding: chunked", Refused),
        ("Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked", Refused),
        ("Transfer-Encoding: identity", Refused),
        ("Transfer-Encoding: identity\r\nTransfer-Encoding: chunked", Refused),
        ("Transfer-Encoding: chunked, identity", Refused),
        ("Transfer-Encoding: identity, chunked", Refused),
        ("Transfer-Encoding: gzip, chunked", Refused),
        ("Transfer-Encoding: chunked,", Refused),
        ("Transfer-Encoding: ,chunked", Refused),
        ("Transfer-Encoding: chunked;q=1", Refused),
        ("Transfer-Encoding: \"chunked\"", Refused),
        ("Transfer-Encoding: 'chunked'", Refused),
        ("Transfer-Encoding: [chunked]", Refused),
        ("Transfer-Encoding:\r\n chunked", Refused),
        ("Transfer-Encoding:\n chunked", Refused),
        ("Transfer-Encoding: chunked\r\n ", Refused),
        ("Transfer-Encoding:\x0bchunked", Refused),
        ("Transfer-Encoding: \x0cchunked", Refused),
        ("Transfer-Encoding: \0chunked", Refused),
        ("Transfer-Encoding: chunked\0", Refused),
        ("Transfer-Encoding: \u{a0}chunked", Refused),
        ("Transfer-Encoding: chunked\r", Refused),
        ("Transfer-Encoding : chunked", Refused),
        ("Transfer-Encoding\t: chunked", Refused),
        ("Transfer-Encoding\r\n: chunked", Refused),
        ("Transfer-Encoding\0: chunked", Refused),
        ("\0Transfer-Encoding: chunked", Refused),
        ("\x0bTransfer-Encoding: chunked", Refused),
        ("\u{ef}Transfer-Encoding: chunked", Refused),
        (" Transfer-Encoding: chunked", Refused),
        ("\tTransfer-Encoding: chunked", Refused),
        ("X: y\r\n Transfer-Encoding: chunked", Refused),
        ("X: y\r\n\rTransfer-Encoding: chunked", Refused),
        ("X: y\rTransfer-Encoding: chunked", Refused),
        ("X: y\r\r\nTransfer-Encoding: chunked", Refused),
        ("Transfer Encoding: chunked", Refused),
        ("Transfer-Encoding chunked", Refused),
        (": chunked\r\nTransfer-Encoding: chunked", Refused),
        ("Transfer-Encoding: chunked", InOrder("")),
        ("tRANSFER-eNCODING:\t cHUNKED \t", InOrder("")),
        ("Connection: Transfer-Encoding\r\nTransfer-Encoding: chunked", InOrder("")),
    ];
    for (field, fate) in shapes {
        stage.must_come_to(&[(&chunked(field), fate)]);
    }
}

#[test]
fn a_coding_under_another_name_is_none_and_not_passed_on() {
    let stage = Stage::set();
    for name in ["Transfer_Encoding", "TRANSFER_ENCODING"] {
        // There is no body, so what follows is the next request, and this one is none.
        let shape = format!("POST / HTTP/1.1\r\nHost: a\r\n{name}: chunked\r\n\r\n0\r\n\r\n");
        let (requests, _) = stage.play(&shape);
        assert_eq!(requests.len(), 1, "{name}");
        assert_eq!((requests[0].0.all("transfer_encoding").len(), requests[0].1.len()), (0, 0));
    }
}

#[test]
fn lengths_in_disguise() {
    let stage = Stage::set();
    let sized =
        |value: &str| format!("POST / HTTP/1.1\r\nHost: a\r\nContent-Length:{value}\r\n\r\nhello");
    for (value, fate) in [
        (" 5, 5", Refused),
        (" 5,6", Refused),
        (" 5 6", Refused),
        (" +5", Refused),
        (" -5", Refused),
        (" -0", Refused),
        (" 0x5", Refused),
        (" 5h", Refused),
        (" 5.0", Refused),
        (" 5e0", Refused),
        (" 5;", Refused),
        (" 5_0", Refused),
        (" \"5\"", Refused),
        (" \u{b2}5", Refused),
        ("", Refused),
        (" ", Refused),
        ("\n5", Refused),
        ("\r\n 5", Refused),
        (" 5\r\n ", Refused),
        (" 5\x0b", Refused),
        (" 5\0", Refused),
        (" 99999999999999999999999", Refused),
        (" 18446744073709551615", Refused),
        (" 5\r\nContent-Length: 6", Refused),
        (" 6\r\nContent-Length: 5", Refused),
        (" 5\r\nContent-Length: 5, 5", Refused),
        (" 5\r\nContent-Length : 6", Refused),
        // The same twice is once (RFC 9112 section 6.3).
        (" 5\r\nContent-Length: 5", InOrder("hello")),
        (" 5\r\nContent_Length: 6", InOrder("hello")),
        (" 5\r\nConnection: Content-Length", InOrder("hello")),
        (" 005", InOrder("hello")),
        ("\t5\t", InOrder("hello")),
    ] {
        stage.must_come_to(&[(&sized(value), fate)]);
    }
}

#[test]
fn chunk_lines_that_end_elsewhere() {
    let stage = Stage::set();
    let shape = |chunks: &str| {
        format!("POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n{chunks}")
    };
    for (chunks, fate) in [
        ("5\nhello\r\n0\r\n\r\n", Refused),
        ("5\rhello\r\n0\r\n\r\n", Refused),
        ("5;a\nb\r\nhello\r\n0\r\n\r\n", Refused),
        ("5;a\rb\r\nhello\r\n0\r\n\r\n", Refused),
        ("5;\n\r\nhello\r\n0\r\n\r\n", Refused),
        ("5;a=\"\r\n\"\r\nhello\r\n0\r\n\r\n", Refused),
        ("5\r\r\nhello\r\n0\r\n\r\n", Refused),
        ("5\r\nhello\n0\r\n\r\n", Refused),
        ("5\r\nhello\r0\r\n\r\n", Refused),
        ("5\r\nhelloXX0\r\n\r\n", Refused),
        ("5\r\nhello0\r\n\r\n", Refused),
        ("5\r\nhello\r\n\r\n0\r\n\r\n", Refused),
        ("5\r\nhello\r\n0\n\n", Refused),
        ("5\r\nhello\r\n0\r\n\r", Refused),
        ("\r\n5\r\nhello\r\n0\r\n\r\n", Refused),
        (" 5\r\nhello\r\n0\r\n\r\n", Refused),
        ("0x5\r\nhello\r\n0\r\n\r\n", Refused),
        ("+5\r\nhello\r\n0\r\n\r\n", Refused),
        ("-5\r\nhello\r\n0\r\n\r\n", Refused),
        ("5_0\r\nhello\r\n0\r\n\r\n", Refused),
        ("5,5\r\nhello\r\n0\r\n\r\n", Refused),
        ("5\0\r\nhello\r\n0\r\n\r\n", Refused),
        ("5g\r\nhello\r\n0\r\n\r\n", Refused),
        ("10000000000000005\r\nhello\r\n0\r\n\r\n", Refused),
        ("FFFFFFFFFFFFFFFF\r\nhello\r\n0\r\n\r\n", Refused),
        ("7FFFFFFFFFFFFFFF\r\nhello\r\n0\r\n\r\n", Refused),
        ("0\r\nX: y\nContent-Length: 5\r\n\r\n", Refused),
        ("0\r\nX: y\r\n folded\r\n\r\n", Refused),
        ("0\r\nno colon\r\n\r\n", Refused),
        ("0\r\nX\0: y\r\n\r\n", Refused),
        ("5\r\nhello\r\n0\r\n\r\n", InOrder("hello")),
        ("5;a=b;c=\"d\"\r\nhello\r\n0;last\r\n\r\n", InOrder("hello")),
        ("5 ;a\r\nhello\r\n0\r\n\r\n", InOrder("hello")),
        ("0000005\r\nhello\r\n000\r\n\r\n", InOrder("hello")),
        ("5\r\nhello\r\n0\r\nContent-Length: 3\r\nX: y\r\n\r\n", InOrder("hello")),
        ("2\r\nhe\r\n1\r\nl\r\n2\r\nlo\r\n0\r\n\r\n", InOrder("hello")),
    ] {
        stage.must_come_to(&[(&shape(chunks), fate)]);
    }
}

#[test]
fn chunks_without_measure() {
    let stage = Stage::set();
    let shape = |chunks: &str| {
        format!("POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n{chunks}")
    };
    // More than 16 KiB of extensions in all, of trailers more than client.max_head or max_fields.
    stage.must_come_to(&[(
        &shape(&format!("5;{}\r\nhello\r\n0\r\n\r\n", "x".repeat(20_000))),
        Refused,
    )]);
    let extended = format!("1;{}\r\nx\r\n", "y".repeat(100)).repeat(300);
    stage.must_come_to(&[(&shape(&format!("{extended}0\r\n\r\n")), Refused)]);
    stage.must_come_to(&[(&shape(&format!("0\r\nX: {}\r\n\r\n", "y".repeat(70_000))), Refused)]);
    stage.must_come_to(&[(&shape(&format!("0\r\n{}\r\n", "X: y\r\n".repeat(101))), Refused)]);
    // Thousands of chunks of a byte are one body.
    let (requests, _) = stage.play(&shape(&format!("{}0\r\n\r\n", "1\r\nx\r\n".repeat(5000))));
    assert_eq!(requests.iter().map(|(_, body)| body.len()).collect::<Vec<_>>(), [5000, 0]);
}

#[test]
fn heads_that_two_servers_read_differently() {
    let stage = Stage::set();
    for (shape, fate) in [
        ("GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n", Refused),
        ("GET / HTTP/1.1\r\nHost: a\r\nhost: a\r\n\r\n", Refused),
        ("GET / HTTP/1.1\r\nHost: a, b\r\n\r\n", Refused),
        ("GET / HTTP/1.1\r\nHost: a#@b\r\n\r\n", Refused),
        ("GET / HTTP/1.1\r\nHost: a\\b\r\n\r\n", Refused),
        ("GET / HTTP/1.1\r\nHost : a\r\n\r\n", Refused),
        ("GET / HTTP/1.1\r\n Host: a\r\nX: y\r\n\r\n", Refused),
        ("GET / HTTP/1.1\r\n\r\n", Refused),
        ("GET http:///x HTTP/1.1\r\nHost: a\r\n\r\n", Refused),
        ("GET http://b@c/ HTTP/1.1\r\nHost: a\r\n\r\n", Refused),
        ("GET http://b:99999/ HTTP/1.1\r\nHost: a\r\n\r\n", Refused),
        ("GET ftp://b/ HTTP/1.1\r\nHost: a\r\n\r\n", Refused),
        ("GET file:///etc/passwd HTTP/1.1\r\nHost: a\r\n\r\n", Refused),
        ("GET a:80 HTTP/1.1\r\nHost: a\r\n\r\n", Refused),
        ("GET ?x HTTP/1.1\r\nHost: a\r\n\r\n", Refused),
        ("GET * HTTP/1.1\r\nHost: a\r\n\r\n", Refused),
        ("CONNECT a:80 HTTP/1.1\r\nHost: a:80\r\n\r\n", Refused),
        ("GET /\0 HTTP/1.1\r\nHost: a\r\n\r\n", Refused),
        ("GET /\x01 HTTP/1.1\r\nHost: a\r\n\r\n", Refused),
        ("GET / HTTP/1.1 HTTP/1.1\r\nHost: a\r\n\r\n", Refused),
        ("GET / HTTP/1.1\rHost: a\r\n\r\n", Refused),
        ("GET / HTTP/1.10\r\nHost: a\r\n\r\n", Refused),
        ("GET / HTTP/2.0\r\nHost: a\r\n\r\n", Refused),
        ("GET / HTTP/0.9\r\nHost: a\r\n\r\n", Refused),
        ("GET /\r\n\r\n", Refused),
        ("\rGET / HTTP/1.1\r\nHost: a\r\n\r\n", Refused),
        ("\0GET / HTTP/1.1\r\nHost: a\r\n\r\n", Refused),
        ("G\tT / HTTP/1.1\r\nHost: a\r\n\r\n", Refused),
        ("GET / HTTP/1.1\r\nHost: a\r\nX: \x01\r\n\r\n", Refused),
        ("GET / HTTP/1.1\r\nHost: a\r\nX: \x7f\r\n\r\n", Refused),
        ("GET / HTTP/1.1\r\nHost: a\r\nX: y\0\r\n\r\n", Refused),
        ("GET / HTTP/1.1\r\nHost: a\r\nX: y\r\n z\r\n\r\n", Refused),
        ("GET / HTTP/1.1\r\nHost: a\r\nExpect: 100-continue, x\r\n\r\n", InOrder("")),
        // A line may end in LF alone (section 2.2), where no field hides in that.
        ("GET / HTTP/1.1\nHost: a\n\n", InOrder("")),
        ("\r\n\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n", InOrder("")),
        ("GET http://a HTTP/1.1\r\nHost: other\r\n\r\n", InOrder("")),
        ("GET http://a?x HTTP/1.1\r\nHost: a\r\n\r\n", InOrder("")),
        ("GET /#fragment HTTP/1.1\r\nHost: a\r\n\r\n", InOrder("")),
        ("GET /\u{fc} HTTP/1.1\r\nHost: a\r\n\r\n", Refused),
        // In UTF-8.
        ("GET /\u{c3}\u{bc}?\u{c3}\u{bc} HTTP/1.1\r\nHost: a\r\n\r\n", InOrder("")),
        ("GET / HTTP/1.1\r\nHost: a\r\nProxy: http://evil\r\nX: \u{ff}\r\n\r\n", InOrder("")),
    ] {
        if shape.contains("Expect") {
            // Refused as such; where it ends is not in doubt.
            let (requests, answers) = stage.play(shape);
            assert_eq!((requests.len(), &answers[..]), (1, &[417, 200][..]), "{shape:?}");
            continue;
        }
        stage.must_come_to(&[(shape, fate)]);
    }
}

#[test]
fn a_body_where_none_is_looked_for_is_not_the_next_request() {
    let stage = Stage::set();
    // CL.0: a server that leaves such a body unread finds a request in it, if it reads on.
    for method in ["GET", "HEAD", "DELETE", "OPTIONS"] {
        for fields in ["", "TE: trailers\r\n", "TE: trailers\r\nConnection: TE, keep-alive\r\n"] {
            let length = HIDDEN.len();
            let shape = format!(
                "{method} / HTTP/1.1\r\nHost: a\r\n{fields}Content-Length: {length}\r\n\r\n{HIDDEN}"
            );
            let (requests, _) = stage.play(&shape);
            let (head, body) = &requests[0];
            assert_eq!(String::from_utf8_lossy(body), HIDDEN, "{method}");
            // Some look at the first line alone.
            assert_eq!(head.all("connection"), ["close"], "{method} {fields:?}");
        }
    }
}

#[test]
fn shapes_one_after_the_other_over_one_connection() {
    let stage = Stage::set();
    let chunked =
        "POST /1 HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n";
    let sized = "POST /2 HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhello";
    let both = "POST /3 HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n";
    stage.must_come_to(&[
        (chunked, InOrder("hello")),
        (sized, InOrder("hello")),
        ("GET /0 HTTP/1.1\r\nHost: a\r\n\r\n", InOrder("")),
        (chunked, InOrder("hello")),
        (both, OneAndEnd("")),
    ]);
}
