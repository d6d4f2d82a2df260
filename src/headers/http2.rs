//! What the head of a request is over HTTP/2 (RFC 9113), and what it has to be for the backend.

use http::{
    HeaderValue,
    header::{COOKIE, HOST},
    request,
};

use crate::refusal::Refusal;

/// What each field counts for besides its bytes (RFC 9113, section 6.5.2).
const FIELD: u64 = 32;
/// Refuses what is too much, or not to be passed on.
pub(crate) fn check_http2(
    head: &request::Parts,
    max_head: u64,
    max_fields: usize,
) -> Result<(), Refusal> {
    let target = head.uri.path_and_query().map_or(0, |target| target.as_str().len());
    let mut size = target as u64;
    for (name, value) in &head.headers {
        size += (name.as_str().len() + value.len()) as u64 + FIELD;
        if value.as_bytes().trim_ascii().len() != value.len() {
            // Section 8.2.1.
            return Err(Refusal::BadField("A field value begins or ends with white space."));
        }
    }
    if size > max_head || head.headers.len() > max_fields {
        return Err(Refusal::HeadTooLong);
    }
    let host = head.headers.get(HOST);
    match (head.uri.authority(), host) {
        (None, None) => Err(Refusal::BadField("The request names no host.")),
        // Section 8.3.1.
        (Some(authority), Some(host))
            if !authority.as_str().as_bytes().eq_ignore_ascii_case(host.as_bytes()) =>
        {
            Err(Refusal::BadField("The Host field and :authority name different hosts."))
        }
        _ => Ok(()),
    }
}

/// Makes one field of the crumbs (section 8.2.3).
pub(crate) fn join_cookies(head: &mut request::Parts) {
    let mut crumbs = head.headers.get_all(COOKIE).iter();
    let (Some(first), Some(second)) = (crumbs.next(), crumbs.next()) else { return };
    let mut whole = first.as_bytes().to_vec();
    for crumb in std::iter::once(second).chain(crumbs) {
        whole.extend_from_slice(b"; ");
        whole.extend_from_slice(crumb.as_bytes());
    }
    // Pieces of values are a value.
    if let Ok(whole) = HeaderValue::from_bytes(&whole) {
        head.headers.insert(COOKIE, whole);
    }
}
