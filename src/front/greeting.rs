//! HTTP/1 or HTTP/2? TLS has agreed on it, or the first bytes tell.

use std::future::poll_fn;

use super::io::ClientIo;

/// With this begins the preface of HTTP/2 (RFC 9113, section 3.4); no method of HTTP/1 is called so
/// (section 11.6).
const PREFACE: &[u8] = b"PRI ";

/// Waits for the first bytes, within the bounds for heads and idle connections. What is read can be
/// read again, so this may be dropped at any time.
pub(super) async fn is_http2(io: &mut ClientIo) -> bool {
    if io.is_http2_agreed() {
        return true;
    }
    loop {
        if io.ahead().starts_with(PREFACE) {
            return true;
        }
        // Where nothing more comes, hyper will find out what that means.
        if !PREFACE.starts_with(io.ahead())
            || !matches!(poll_fn(|cx| io.poll_more(cx)).await, Ok(true))
        {
            return is_broken_preface(io.ahead());
        }
    }
}

/// Waits until a parked connection says something, or ends. As above, this may be dropped at any time.
pub(super) async fn speaks(io: &mut ClientIo) {
    // Whatever it is, hyper will find out what it means.
    let _ = poll_fn(|cx| io.poll_more(cx)).await;
}

/// A line like one of HTTP in nothing but its three words: neither method nor version are known. An
/// answer of HTTP/1 would be no better understood than what a broken preface calls for (RFC 9113,
/// section 3.4), which is the end.
fn is_broken_preface(ahead: &[u8]) -> bool {
    let method = ahead.split(|byte| *byte == b' ').next();
    if method.is_some_and(|method| METHODS.contains(&method)) {
        return false;
    }
    let Some(end) = ahead.windows(2).position(|two| two == b"\r\n") else { return false };
    let mut words = ahead[..end].split(|byte| *byte == b' ').skip(1);
    let (Some(_), Some(version), None) = (words.next(), words.next(), words.next()) else {
        return false;
    };
    !version.get(..4).is_some_and(|name| name.eq_ignore_ascii_case(b"http"))
}

/// RFC 9110, section 9.3, and RFC 5789.
const METHODS: [&[u8]; 9] =
    [b"GET", b"HEAD", b"POST", b"PUT", b"DELETE", b"CONNECT", b"OPTIONS", b"TRACE", b"PATCH"];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_is_no_http_at_all_is_a_broken_preface() {
        assert!(is_broken_preface(b"INVALID CONNECTION PREFACE\r\n\r\n"));
        for head in [
            &b"GET / HTTP/1.1\r\n"[..],
            b"GET / JUNK\r\n",
            b"ODD / HTTP/9.9\r\n",
            b"odd / http/1.1\r\n",
            b"nonsense\r\n",
            b"GET /\r\n",
            b"INVALID CONNECTION PREFACE",
            b"",
        ] {
            assert!(!is_broken_preface(head), "{:?}", String::from_utf8_lossy(head));
        }
    }
}
