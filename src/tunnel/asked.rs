//! What a client asks for, how the backend is asked, and whether its answer fits.

use http::{
    HeaderMap, HeaderValue, Method, StatusCode,
    header::{CONNECTION, HeaderName, SEC_WEBSOCKET_ACCEPT, SEC_WEBSOCKET_KEY, TE, UPGRADE},
    request, response,
};
use tungstenite::handshake::{client::generate_key, derive_accept_key};

use super::{ClientSide, Form, Opened};
use crate::refusal::Refusal;

/// What a client asks for, of which the backend may choose.
#[derive(Debug)]
pub(crate) struct Asked {
    protocols: HeaderValue,
    /// Made by us, where the client's version of HTTP has none (RFC 8441, section 5).
    key: Option<HeaderValue>,
    pub client: ClientSide,
}

/// What is spoken in a tunnel.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Protocol {
    WebSocket,
    /// Bytes, as far as we know.
    Other,
}

impl Asked {
    /// What this request asks for; none where it asks for nothing, or for nothing that a proxy can
    /// pass on. An extended CONNECT becomes the GET that the backend knows.
    pub(crate) fn of(head: &mut request::Parts) -> Option<Box<Self>> {
        let client = head.extensions.remove::<ClientSide>()?;
        let (protocols, key) = match &client.form {
            Form::Upgrade => (by_upgrade(&head.headers)?, None),
            Form::Connect(protocol) if is_websocket(protocol) => {
                head.method = Method::GET;
                let key = HeaderValue::try_from(generate_key()).ok()?;
                (HeaderValue::from_static("websocket"), Some(key))
            }
            Form::Connect(_) => return None,
        };
        Some(Box::new(Self { protocols, key, client }))
    }

    /// Says it to the backend, in a head that is cleared of what is for one hop.
    pub(crate) fn mark(&self, head: &mut request::Parts) {
        // The one option of a connection that there may be besides, of no use here.
        head.headers.remove(TE);
        head.headers.insert(CONNECTION, HeaderValue::from_static("Upgrade"));
        head.headers.insert(UPGRADE, self.protocols.clone());
        if let Some(key) = &self.key {
            head.headers.insert(SEC_WEBSOCKET_KEY, key.clone());
        }
    }

    /// What the backend has switched to; refused where that was not asked for.
    pub(crate) fn chosen(&self, answer: &response::Parts) -> Result<Protocol, Refusal> {
        let asked = |chosen: &str| {
            tokens(&self.protocols).any(|protocol| protocol.eq_ignore_ascii_case(chosen))
        };
        let mut chosen = list(&answer.headers, &UPGRADE).peekable();
        let last = chosen.peek().copied();
        if last.is_none() || !chosen.all(asked) || !self.is_accepted(&answer.headers) {
            return Err(Refusal::SwitchedElsewhere);
        }
        Ok(if last.is_some_and(is_websocket) { Protocol::WebSocket } else { Protocol::Other })
    }

    /// The client's own key is for the client to check.
    fn is_accepted(&self, headers: &HeaderMap) -> bool {
        let expected = |key: &HeaderValue| derive_accept_key(key.as_bytes());
        self.key.as_ref().is_none_or(|key| {
            headers.get(SEC_WEBSOCKET_ACCEPT).is_some_and(|value| *value == expected(key))
        })
    }

    /// Says to the client, in a head that is cleared of what is for one hop, what the backend has
    /// `chosen`.
    pub(crate) fn answer(&self, head: &mut response::Parts, chosen: Option<HeaderValue>) {
        if self.key.is_some() {
            head.status = StatusCode::OK;
            head.extensions.insert(Opened);
            head.headers.remove(SEC_WEBSOCKET_ACCEPT);
            return;
        }
        head.headers.insert(CONNECTION, HeaderValue::from_static("Upgrade"));
        if let Some(chosen) = chosen {
            head.headers.insert(UPGRADE, chosen);
        }
    }
}

fn by_upgrade(headers: &HeaderMap) -> Option<HeaderValue> {
    // Without this the field came from who knows where (RFC 9110, section 7.8).
    if !list(headers, &CONNECTION).any(|option| option.eq_ignore_ascii_case("upgrade")) {
        return None;
    }
    // Another version of HTTP is between us and the client alone (RFC 9113, section 3.1, and RFC
    // 9110, section 7.8). Behind it, requests would go unseen.
    let is_http = |name: &str| {
        let name = name.split('/').next().unwrap_or_default().trim();
        name.eq_ignore_ascii_case("h2c") || name.eq_ignore_ascii_case("http")
    };
    let names: Vec<&str> = list(headers, &UPGRADE).filter(|name| !is_http(name)).collect();
    let protocols = HeaderValue::try_from(names.join(", ")).ok()?;
    (!protocols.is_empty()).then_some(protocols)
}

fn is_websocket(protocol: &str) -> bool {
    protocol.eq_ignore_ascii_case("websocket")
}

/// The elements of a list that may be spread over several fields.
fn list<'a>(headers: &'a HeaderMap, name: &HeaderName) -> impl Iterator<Item = &'a str> {
    headers.get_all(name).into_iter().flat_map(tokens)
}

fn tokens(value: &HeaderValue) -> impl Iterator<Item = &str> {
    let text = value.to_str().unwrap_or_default();
    text.split(',').map(str::trim).filter(|token| !token.is_empty())
}

#[cfg(test)]
mod tests {
    use http::{Request, Response};

    use super::*;

    fn head(client: ClientSide, fields: &[(&str, &str)]) -> request::Parts {
        let mut request = Request::get("/chat");
        for (name, value) in fields {
            request = request.header(*name, *value);
        }
        let (mut head, ()) = request.body(()).expect("a request").into_parts();
        head.extensions.insert(client);
        head
    }

    fn asked(fields: &[(&str, &str)]) -> Option<Box<Asked>> {
        let mut head = head(ClientSide::of_upgrade(async { None }), fields);
        Asked::of(&mut head)
    }

    fn switched(fields: &[(&str, &str)]) -> response::Parts {
        let mut response = Response::builder().status(101);
        for (name, value) in fields {
            response = response.header(*name, *value);
        }
        response.body(()).expect("a response").into_parts().0
    }

    #[test]
    fn only_what_the_connection_names_is_asked_for_and_never_http() {
        assert!(asked(&[("upgrade", "websocket")]).is_none());
        assert!(asked(&[("connection", "keep-alive"), ("upgrade", "websocket")]).is_none());
        let h2c = [("connection", "Upgrade, HTTP2-Settings"), ("upgrade", "h2c")];
        assert!(asked(&h2c).is_none());
        assert!(asked(&[("connection", "upgrade"), ("upgrade", "HTTP/2.0, h2c")]).is_none());
        let asked =
            asked(&[("connection", "keep-alive, UPGRADE"), ("upgrade", "h2c, WebSocket,foo/2")]);
        let asked = asked.expect("asked for");
        assert_eq!(asked.protocols, "WebSocket, foo/2");
    }

    #[test]
    fn the_backend_can_only_choose_what_was_asked_for() {
        let asked = asked(&[("connection", "upgrade"), ("upgrade", "websocket, foo")]);
        let asked = asked.expect("asked for");
        let chosen = |value| asked.chosen(&switched(&[("upgrade", value)]));
        assert_eq!(chosen("WebSocket"), Ok(Protocol::WebSocket));
        assert_eq!(chosen("foo"), Ok(Protocol::Other));
        assert_eq!(chosen("bar"), Err(Refusal::SwitchedElsewhere));
        assert_eq!(chosen("foo, bar"), Err(Refusal::SwitchedElsewhere));
        assert_eq!(asked.chosen(&switched(&[])), Err(Refusal::SwitchedElsewhere));
    }

    #[test]
    fn an_extended_connect_becomes_a_get_and_its_101_a_200() {
        let mut head = head(ClientSide::of_connect("websocket", async { None }), &[]);
        head.method = Method::CONNECT;
        let asked = Asked::of(&mut head).expect("asked for");
        asked.mark(&mut head);
        assert_eq!(head.method, Method::GET);
        assert_eq!(head.headers[UPGRADE], "websocket");
        let accept = derive_accept_key(head.headers[SEC_WEBSOCKET_KEY].as_bytes());
        let mut answer = switched(&[("upgrade", "websocket"), ("sec-websocket-accept", &accept)]);
        assert_eq!(asked.chosen(&answer), Ok(Protocol::WebSocket));
        asked.answer(&mut answer, None);
        assert_eq!(answer.status, 200);
        assert!(!answer.headers.contains_key(SEC_WEBSOCKET_ACCEPT));
        let wrong = switched(&[("upgrade", "websocket"), ("sec-websocket-accept", "x")]);
        assert_eq!(asked.chosen(&wrong), Err(Refusal::SwitchedElsewhere));
    }

    #[test]
    fn a_connect_for_anything_else_is_none_of_ours() {
        let mut head = head(ClientSide::of_connect("connect-udp", async { None }), &[]);
        head.method = Method::CONNECT;
        assert!(Asked::of(&mut head).is_none());
        assert_eq!(head.method, Method::CONNECT);
    }
}
