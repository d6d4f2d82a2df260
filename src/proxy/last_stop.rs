//! `Max-Forwards: 0`: the request ends here (RFC 9110, sections 7.6.2, 9.3.7 and 9.3.8).

use bytes::Bytes;
use http::{
    HeaderValue, Method, Response, StatusCode,
    header::{AUTHORIZATION, CONTENT_TYPE, COOKIE, PROXY_AUTHORIZATION},
    request,
};

/// That of TRACE is the request itself, but for its secrets.
pub(super) fn answer(head: &request::Parts) -> Response<Bytes> {
    if head.method != Method::TRACE {
        let mut response = Response::new(Bytes::new());
        *response.status_mut() = StatusCode::NO_CONTENT;
        return response;
    }
    let mut text = format!("TRACE {} {:?}\r\n", head.uri, head.version).into_bytes();
    for (name, value) in &head.headers {
        if ![AUTHORIZATION, COOKIE, PROXY_AUTHORIZATION].contains(name) {
            text.extend_from_slice(name.as_str().as_bytes());
            text.extend_from_slice(b": ");
            text.extend_from_slice(value.as_bytes());
            text.extend_from_slice(b"\r\n");
        }
    }
    text.extend_from_slice(b"\r\n");
    let mut response = Response::new(Bytes::from(text));
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("message/http"));
    response
}
