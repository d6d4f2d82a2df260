//! What of a field is secret, and is not kept.

use http::{
    HeaderName,
    header::{
        AUTHORIZATION, CONTENT_LOCATION, COOKIE, LOCATION, PROXY_AUTHORIZATION, REFERER, REFRESH,
        SET_COOKIE,
    },
};

use super::redact::Redact;

/// Which fields hold secrets.
#[derive(Debug)]
pub(super) struct Mask {
    /// Besides those that always do.
    others: Vec<HeaderName>,
    /// What is secret of targets is so of what refers to them.
    redact: Redact,
}

impl Mask {
    pub(super) fn new(others: &[HeaderName], redact: Redact) -> Self {
        Self { others: others.to_vec(), redact }
    }

    /// What is shown of this value instead; `None`: it is no secret.
    pub(super) fn of(&self, name: &HeaderName, value: &[u8]) -> Option<Vec<u8>> {
        if self.others.contains(name) || SECRET.contains(&name.as_str()) {
            return Some(HIDDEN.to_vec());
        }
        match *name {
            AUTHORIZATION | PROXY_AUTHORIZATION => Some(scheme(value)),
            // Names and attributes are what one looks for, and no secrets.
            COOKIE => Some(pairs(value, usize::MAX)),
            SET_COOKIE => Some(pairs(value, 1)),
            LOCATION | CONTENT_LOCATION | REFERER | REFRESH => self.url(value),
            _ if URLS.contains(&name.as_str()) => self.url(value),
            _ => None,
        }
    }

    fn url(&self, value: &[u8]) -> Option<Vec<u8>> {
        let url = String::from_utf8_lossy(value);
        let shown = self.redact.reference(&url);
        (*shown != *url).then(|| shown.into_owned().into_bytes())
    }
}

/// `Bearer abc` becomes `Bearer ***`.
fn scheme(value: &[u8]) -> Vec<u8> {
    let word = value.iter().position(|byte| *byte == b' ').map_or(&b""[..], |end| &value[..=end]);
    let is_word = word.trim_ascii().iter().all(u8::is_ascii_alphanumeric);
    [if is_word { word } else { b"" }, HIDDEN].concat()
}

/// `a=b; c=d` becomes `a=***; c=***`, or where only the first is secret, `a=***; c=d`.
fn pairs(value: &[u8], secret: usize) -> Vec<u8> {
    let mut masked = Vec::with_capacity(value.len());
    for (index, pair) in value.split(|byte| *byte == b';').enumerate() {
        if index > 0 {
            masked.push(b';');
        }
        if index >= secret {
            masked.extend_from_slice(pair);
            continue;
        }
        // Without a name, it is a value.
        if let Some(end) = pair.iter().position(|byte| *byte == b'=') {
            masked.extend_from_slice(&pair[..=end]);
        } else if index > 0 {
            masked.push(b' ');
        }
        masked.extend_from_slice(HIDDEN);
    }
    masked
}

/// What stands for a secret.
const HIDDEN: &[u8] = b"***";

/// In use by many, though by no standard.
const SECRET: [&str; 18] = [
    "api-key",
    "apikey",
    "cf-access-jwt-assertion",
    // Where scripts in browsers put a token, for want of another field.
    "sec-websocket-protocol",
    "x-access-token",
    "x-amz-security-token",
    "x-amzn-oidc-accesstoken",
    "x-amzn-oidc-data",
    "x-api-key",
    "x-auth-token",
    "x-csrf-token",
    "x-forwarded-access-token",
    "x-goog-api-key",
    "x-goog-iap-jwt-assertion",
    "x-ms-token-aad-access-token",
    "x-ms-token-aad-id-token",
    "x-vault-token",
    "x-xsrf-token",
];

/// Where proxies repeat the target.
const URLS: [&str; 3] = ["x-forwarded-uri", "x-original-url", "x-rewrite-url"];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_secret_is_hidden_and_the_rest_is_told() {
        let mask = Mask::new(
            &[HeaderName::from_static("x-my-secret")],
            Redact::new(&["token".to_owned()]),
        );
        let shown = |name: &'static str, value: &str| {
            let masked = mask.of(&HeaderName::from_static(name), value.as_bytes())?;
            Some(String::from_utf8(masked).expect("text"))
        };
        for (name, value, expected) in [
            ("authorization", "Bearer abc.def", "Bearer ***"),
            ("authorization", "abcdef", "***"),
            ("authorization", "a:b c", "***"),
            ("authorization", "Digest username=\"me\", response=\"1\"", "Digest ***"),
            ("proxy-authorization", "Basic eDp5", "Basic ***"),
            ("cookie", "session=abc; theme=dark", "session=***; theme=***"),
            ("cookie", "abc; d", "***; ***"),
            ("cookie", "a=b=c;", "a=***; ***"),
            ("set-cookie", "session=abc; Path=/; HttpOnly", "session=***; Path=/; HttpOnly"),
            ("referer", "http://a.test/b?token=1&c=2", "http://a.test/b?token=REDACTED&c=2"),
            ("location", "/b?token=1", "/b?token=REDACTED"),
            ("x-forwarded-uri", "/b?token=1", "/b?token=REDACTED"),
            ("x-original-url", "/b?token=1", "/b?token=REDACTED"),
            ("location", "/b#token=1", "/b#token=REDACTED"),
            ("refresh", "0; url=/b?token=1", "0; url=/b?token=REDACTED"),
            ("x-api-key", "abc", "***"),
            ("sec-websocket-protocol", "bearer, abc", "***"),
            ("x-forwarded-access-token", "abc", "***"),
            ("cf-access-jwt-assertion", "abc", "***"),
            ("x-amzn-oidc-data", "abc", "***"),
            ("x-goog-iap-jwt-assertion", "abc", "***"),
            ("x-my-secret", "abc def", "***"),
        ] {
            assert_eq!(shown(name, value).as_deref(), Some(expected), "{name}: {value}");
        }
        assert_eq!(shown("accept", "*/*"), None);
        assert_eq!(shown("location", "/b?c=1"), None);
    }
}
