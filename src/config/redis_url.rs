//! The URL of a Redis, as the configuration has it.

use std::fmt;

use redis::Client;

/// Where Redis is, and how to get in.
#[derive(Clone)]
pub struct RedisUrl {
    pub(crate) client: Client,
    /// For the log: without user and password.
    pub(crate) name: String,
    /// As it is written.
    text: String,
}

/// A mistake in the configuration. What was written is not repeated: it may hold a password.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(crate) enum BadUrl {
    #[error("not the URL of a Redis; write \"redis://host:6379\"")]
    NotRedis,
    #[error(
        "\"rediss\" is Redis over TLS, which seawall does not speak; write \"redis://\" and let \
         a trusted network or a local TLS tunnel carry it"
    )]
    Tls,
    #[error(
        "nothing may follow the number of the database; in a password write \"?\" as %3F, \"#\" \
         as %23, \"/\" as %2F and \"@\" as %40"
    )]
    Rest,
    #[error("the path of a Redis URL is the number of a database, such as \"redis://host:6379/1\"")]
    Database,
}

impl RedisUrl {
    pub(crate) fn read(text: &str) -> Result<Self, BadUrl> {
        // Before anything is parsed: they cut a password in two, and its half passes for a port.
        if text.contains(['?', '#']) {
            return Err(BadUrl::Rest);
        }
        let url = redis::parse_redis_url(text).ok_or(BadUrl::NotRedis)?;
        match url.scheme() {
            "redis" => {}
            "rediss" => return Err(BadUrl::Tls),
            _ => return Err(BadUrl::NotRedis),
        }
        let host = url.host_str().filter(|host| !host.is_empty()).ok_or(BadUrl::NotRedis)?;
        let database = url.path().trim_start_matches('/');
        if !database.bytes().all(|byte| byte.is_ascii_digit()) {
            return Err(BadUrl::Database);
        }
        let database = if database.is_empty() { "0" } else { database };
        let name = format!("{host}:{}/{database}", url.port().unwrap_or(6379));
        let client = Client::open(text).map_err(|_| BadUrl::NotRedis)?;
        Ok(Self { client, name, text: text.to_owned() })
    }
}

impl PartialEq for RedisUrl {
    fn eq(&self, other: &Self) -> bool {
        self.text == other.text
    }
}

impl fmt::Debug for RedisUrl {
    fn fmt(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        to.debug_tuple("RedisUrl").field(&self.name).finish()
    }
}

/// The URL for people to see.
pub(super) fn masked(url: &str) -> String {
    let (scheme, rest) = url.split_once("://").unwrap_or(("", url));
    // A password that holds an "@" or a "/" is a mistake, and is not shown for that.
    match rest.rsplit_once('@') {
        Some((_, place)) => format!("{scheme}://***@{place}"),
        None => url.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mistake(url: &str) -> BadUrl {
        RedisUrl::read(url).expect_err("a mistake")
    }

    #[test]
    fn a_url_that_cannot_be_used_is_a_mistake_in_the_configuration() {
        for url in ["", "redis", "http://host", "redis://", "redis:///1", "unix:///run/redis.sock"]
        {
            assert_eq!(mistake(url), BadUrl::NotRedis, "{url}");
        }
        assert_eq!(mistake("rediss://host"), BadUrl::Tls);
        for url in ["redis://host/one", "redis://host/0/1", "redis://host/-1"] {
            assert_eq!(mistake(url), BadUrl::Database, "{url}");
        }
        // Passwords that are cut by their own characters.
        for url in
            ["redis://:12?34@host", "redis://user:12#34@host", "redis://host/1?protocol=resp3"]
        {
            assert_eq!(mistake(url), BadUrl::Rest, "{url}");
        }
        for url in ["redis://host", "redis://[::1]:7000/15", "redis://user:p%40ss@10.0.0.1/0"] {
            assert!(RedisUrl::read(url).is_ok(), "{url}");
        }
    }

    #[test]
    fn no_mistake_repeats_what_was_written() {
        for url in [
            "nonsense:hunter2@host",
            "rediss://:hunter2@host",
            "redis://:hunter2@host/x",
            "redis://:a#hunter2@host",
        ] {
            let mistake = mistake(url);
            assert!(!format!("{mistake} {mistake:?}").contains("hunter2"), "{mistake}");
        }
    }

    #[test]
    fn neither_user_nor_password_is_shown() {
        for url in ["redis://me:hunter2@host:7000/3", "redis://:hunter2@host:7000/3"] {
            assert_eq!(masked(url), "redis://***@host:7000/3");
        }
        assert_eq!(masked("redis://:hunt@er2@host"), "redis://***@host");
        assert_eq!(masked("redis://host"), "redis://host");
        let read = RedisUrl::read("redis://me:hunter2@host").expect("a URL");
        assert!(!format!("{read:?}").contains("hunter2"));
    }

    #[test]
    fn the_name_for_the_log_is_without_user_and_password() {
        let name = |url| RedisUrl::read(url).map(|url| url.name).unwrap_or_default();
        assert_eq!(name("redis://somebody:hunter2@host:7000/3"), "host:7000/3");
        assert_eq!(name("redis://:hunter2@[::1]"), "[::1]:6379/0");
    }
}
