use super::*;

const HINTS: &str = "HTTP/1.1 103 Early Hints\r\nLink: </a>\r\nLink: </b>\r\n\r\n";

/// What is told of a stream.
#[derive(Debug, Default, PartialEq)]
struct Told {
    statuses: Vec<u16>,
    links: usize,
    body: Vec<u8>,
    trailers: Option<HeaderMap>,
    is_whole: bool,
}

/// Of a stream that comes in these pieces and then ends.
fn told(pieces: &[&[u8]]) -> Result<Told, Malformed> {
    let (mut inbound, mut told) = (Inbound::new(), Told::default());
    let mut is_answered = false;
    for piece in pieces {
        inbound.hear(piece);
        if !is_answered {
            let head = inbound.head(|interim| {
                told.statuses.push(interim.status().as_u16());
                told.links += interim.headers().get_all("link").iter().count();
            })?;
            let Some(head) = head else { continue };
            told.statuses.push(head.status.as_u16());
            is_answered = true;
        }
        while let Some(piece) = inbound.piece()? {
            match piece {
                Piece::Data(data) => told.body.extend_from_slice(&data),
                Piece::Trailers(trailers) => told.trailers = Some(*trailers),
            }
        }
    }
    told.is_whole = is_answered && inbound.close();
    Ok(told)
}

/// The same however it is cut in two, and byte by byte.
fn told_anyhow(text: &str) -> Told {
    let bytes = text.as_bytes();
    let whole = told(&[bytes]).expect("well-formed");
    for at in 1..bytes.len() {
        let (one, other) = bytes.split_at(at);
        assert_eq!(told(&[one, other]).expect("well-formed"), whole, "cut at {at}");
    }
    let single: Vec<_> = bytes.chunks(1).collect();
    assert_eq!(told(&single).expect("well-formed"), whole);
    whole
}

#[test]
fn interim_answers_are_found_however_they_are_cut() {
    let text = format!("{HINTS}HTTP/1.1 102 Processing\r\n\r\nHTTP/1.1 204 None\r\n\r\n");
    let told = told_anyhow(&text);
    assert_eq!((told.statuses, told.links, told.is_whole), (vec![103, 102, 204], 2, true));
}

#[test]
fn a_continue_is_passed_over_and_an_upgrade_is_an_answer() {
    let told =
        told_anyhow("HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 101 Switching Protocols\r\n\r\nx");
    assert_eq!((told.statuses, told.body.len()), (vec![101], 0));
}

#[test]
fn a_body_has_the_length_that_is_said() {
    let told = told_anyhow("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello");
    assert_eq!((&told.body[..], told.is_whole), (&b"hello"[..], true));
    let told = told_anyhow("HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\nhello");
    assert!(!told.is_whole);
    let told = told_anyhow("HTTP/1.1 200 OK\r\n\r\nhello");
    assert_eq!((&told.body[..], told.is_whole), (&b"hello"[..], true));
}

#[test]
fn chunks_are_put_together_however_they_are_cut() {
    let head = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n";
    let told = told_anyhow(&format!("{head}5;a=\"b\"\r\nhello\r\n01 \r\n!\r\n0\r\nA: b\r\n\r\n"));
    assert_eq!((&told.body[..], told.is_whole), (&b"hello!"[..], true));
    assert_eq!(told.trailers.expect("trailers")["a"], "b");
    let told = told_anyhow(&format!("{head}5\r\nhello\r\n0\r\n\r\n"));
    assert!(told.is_whole && told.trailers.is_none());
    let told = told_anyhow(&format!("{head}5\r\nhello\r\n0\r\n"));
    assert!(!told.is_whole);
}

#[test]
fn what_is_no_chunk_is_refused() {
    for body in [
        "5\nhello\r\n",
        "+5\r\nhello",
        "0x5\r\nhello",
        " 5\r\nhello",
        "\r\nhello",
        ";a\r\nhello",
        "5\r\nhello!\r\n",
        "5\r\nhello\n0\r\n\r\n",
        "5;a\rb\r\nhello",
        "ffffffffffffffffff\r\nhello",
    ] {
        let text = format!("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n{body}");
        let told = told(&[text.as_bytes()]);
        assert!(matches!(told, Err(Malformed::Chunk)), "{body:?}: {told:?}");
    }
    let endless = format!("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5;{LINE:5000}");
    assert!(matches!(told(&[endless.as_bytes()]), Err(Malformed::Chunk)));
}

#[test]
fn a_head_is_refused_with_the_first_line_that_is_none() {
    let told = told(&[b"HTTP/1.1 200 OK\r\n", b"no field\r\n"]);
    assert!(matches!(told, Err(Malformed::Head(_))), "{told:?}");
}

#[test]
fn an_answer_to_head_has_no_body_and_what_follows_an_answer_is_for_nobody() {
    let mut inbound = Inbound::new();
    inbound.expect(true, true);
    inbound.hear(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n");
    assert!(inbound.head(|_| ()).expect("well-formed").is_some());
    assert!(inbound.is_read() && inbound.is_ready());
    inbound.hear(b"hello");
    assert!(!inbound.is_ready());
}

#[test]
fn a_connection_is_kept_where_both_sides_say_so() {
    for (kept, text, ready) in [
        (true, "HTTP/1.1 204 None\r\n\r\n", true),
        (false, "HTTP/1.1 204 None\r\n\r\n", false),
        (true, "HTTP/1.1 204 None\r\nConnection: close\r\n\r\n", false),
        (true, "HTTP/1.0 204 None\r\n\r\n", false),
        (true, "HTTP/1.0 204 None\r\nConnection: keep-alive\r\n\r\n", true),
        (true, "HTTP/1.1 101 Switching Protocols\r\n\r\n", false),
        // It may send what it says.
        (true, "HTTP/1.1 304 Not Modified\r\nContent-Length: 5\r\n\r\n", false),
        (true, "HTTP/1.1 204 None\r\nTransfer-Encoding: chunked\r\n\r\n", false),
    ] {
        let mut inbound = Inbound::new();
        inbound.expect(false, kept);
        inbound.hear(text.as_bytes());
        assert!(inbound.head(|_| ()).expect("well-formed").is_some());
        assert_eq!(inbound.is_ready(), ready, "{text}");
    }
}

#[test]
fn while_nothing_comes_nothing_is_kept_of_what_has_come() {
    let (head, chunk) = ("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", "5\r\nhello\r\n");
    let mut inbound = Inbound::new();
    for text in [head, chunk] {
        let kept = std::sync::Arc::new(text.as_bytes().to_vec());
        let read = Read(kept.clone());
        inbound.hear_all(Bytes::from_owner(read));
        if text == head {
            drop(inbound.head(|_| {}).expect("well-formed").expect("whole"));
        }
        while let Some(piece) = inbound.piece().expect("well-formed") {
            drop(piece);
        }
        assert_eq!(std::sync::Arc::strong_count(&kept), 1, "{text}");
    }
}

/// What a read has brought.
struct Read(std::sync::Arc<Vec<u8>>);

impl AsRef<[u8]> for Read {
    fn as_ref(&self) -> &[u8] {
        &self.0
    }
}
