//! A request as a command for a shell, that sends the same once more.

use std::fmt::Write as _;

use http::header::{
    ACCEPT, ACCEPT_ENCODING, CONNECTION, CONTENT_LENGTH, CONTENT_TYPE, EXPECT, HOST, TE,
    TRANSFER_ENCODING, UPGRADE, USER_AGENT,
};

use super::message;
use crate::observe::{
    capture::{Body, Field, RequestHead},
    record::Facts,
};

/// For bash, zsh, and whatever knows `$'\x00'`; with none of that where the request is text.
pub(super) fn command(facts: &Facts, head: &RequestHead, body: &Body) -> Option<String> {
    let url = message::url(facts, head)?;
    let method = facts.method()?;
    let has_body = body.len > 0;
    let mut text = String::new();
    let data = has_body.then(|| data(body));
    if let Some(Data::Piped(bytes)) = &data {
        let _ = write!(text, "printf '%b' '{bytes}' | ");
    }
    text.push_str("curl");
    match method {
        "GET" if !has_body => {}
        "POST" if has_body => {}
        "HEAD" if !has_body => text.push_str(" --head"),
        method => argument(&mut text, "--request", method.as_bytes()),
    }
    if head.version == http::Version::HTTP_10 {
        text.push_str(" --http1.0");
    }
    // Dots and brackets are sent as they are.
    text.push_str(" --path-as-is --globoff");
    if facts.path() == Some("*") {
        text.push_str(" --request-target '*'");
    }
    argument(&mut text, "", &in_ascii(&url));
    let host = url.split('/').nth(2).unwrap_or_default();
    for field in head.fields.iter().filter(|field| !is_of_curl(field, host)) {
        let line = match &*field.value {
            b"" => format!("{};", field.name).into_bytes(),
            value => [field.name.as_str().as_bytes(), b": ", value].concat(),
        };
        argument(&mut text, "\\\n  --header", &line);
    }
    // What curl would say by itself.
    let by_itself = [Some(USER_AGENT), Some(ACCEPT), has_body.then_some(CONTENT_TYPE)];
    for name in by_itself.into_iter().flatten() {
        if !head.fields.iter().any(|field| field.name == name) {
            argument(&mut text, "\\\n  --header", format!("{name}:").as_bytes());
        }
    }
    if head.fields.iter().any(|field| field.name == ACCEPT_ENCODING) {
        text.push_str(" \\\n  --compressed");
    }
    match data {
        Some(Data::Text(body)) => argument(&mut text, "\\\n  --data-raw", body.as_bytes()),
        Some(Data::Piped(_)) => text.push_str(" \\\n  --data-binary @-"),
        None => {}
    }
    text.push('\n');
    Some(text)
}

enum Data<'a> {
    Text(&'a str),
    /// As `printf '%b'` reads it.
    Piped(String),
}

/// No argument of a command holds a zero.
fn data(body: &Body) -> Data<'_> {
    match message::text(body) {
        Some(text) => Data::Text(text),
        None => {
            let mut octal = String::with_capacity(body.begin.len() * 5);
            for byte in &body.begin {
                let _ = write!(octal, "\\0{byte:03o}");
            }
            Data::Piped(octal)
        }
    }
}

/// It says these as the URL and the body have them.
fn is_of_curl(field: &Field, host: &str) -> bool {
    match field.name {
        HOST => *field.value == *host.as_bytes(),
        CONTENT_LENGTH => *field.value != *b"0",
        CONNECTION | EXPECT | TE | TRANSFER_ENCODING | UPGRADE => true,
        _ => false,
    }
}

fn argument(text: &mut String, name: &str, value: &[u8]) {
    for part in [name, &quoted(value)] {
        if !part.is_empty() {
            text.push(' ');
            text.push_str(part);
        }
    }
}

/// As one word of a shell.
fn quoted(value: &[u8]) -> String {
    let is_plain = |text: &&str| !text.chars().any(|char| char.is_control() && char != '\n');
    let body = |text: &str| format!("'{}'", text.replace('\'', "'\\''"));
    if let Some(text) = std::str::from_utf8(value).ok().filter(is_plain) {
        return body(text);
    }
    let mut text = "$'".to_owned();
    for byte in value {
        match byte {
            b'\'' | b'\\' => text.extend(['\\', char::from(*byte)]),
            0x20..0x7f => text.push(char::from(*byte)),
            // Three digits, so that none which follows is taken for one more.
            _ => drop(write!(text, "\\{byte:03o}")),
        }
    }
    text.push('\'');
    text
}

/// A URL has no letters beyond (RFC 3986, section 2.1), and the backend gets it so, too.
fn in_ascii(url: &str) -> Vec<u8> {
    let mut ascii = Vec::with_capacity(url.len());
    for byte in url.bytes() {
        match byte.is_ascii() {
            true => ascii.push(byte),
            false => ascii.extend(format!("%{byte:02X}").bytes()),
        }
    }
    ascii
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whatever_it_is_it_is_one_word() {
        assert_eq!(quoted(b"a b"), "'a b'");
        assert_eq!(quoted(b"it's $HOME `x` \\"), "'it'\\''s $HOME `x` \\'");
        assert_eq!(quoted("grün".as_bytes()), "'grün'");
        assert_eq!(quoted(b"\xffa'\\\t1"), "$'\\377a\\'\\\\\\0111'");
    }
}
