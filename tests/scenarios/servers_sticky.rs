//! Clients that come to the same of several servers again: by a cookie, or by their address.

use std::net::IpAddr;

use crate::harness::tunnel::{Door, End};
use crate::harness::{Answer, Authority, Backend, Client, Seawall, Site};

#[test]
fn a_cookie_leads_its_client_back_and_the_server_never_sees_it() {
    let servers = [named("a"), named("b")];
    let seawall = start(&servers.each_ref().map(Backend::url), "sticky = \"cookie\"");
    let mut given = Vec::new();
    for name in ["a", "b"] {
        let first = ask(&seawall, "Cookie: session=1\r\n");
        assert_eq!(first.text(), name);
        let set = first.head.field("set-cookie").unwrap();
        let (cookie, rules) = set.split_once("; ").unwrap();
        given.push(cookie.to_owned());
        assert_eq!(rules, "Path=/; HttpOnly; SameSite=Lax");
        // Name and hash, and no more of the address than they leave open.
        assert_eq!(cookie.len(), "seawall-12345678=1234".len());
        for fields in [
            format!("Cookie: {cookie}\r\n"),
            format!("Cookie: session=1; {cookie}; b=2\r\n"),
            format!("Cookie: session=1\r\nCookie: {cookie}\r\nCookie: b=2\r\n"),
        ] {
            let next = ask(&seawall, &fields);
            assert_eq!((next.text().as_str(), next.head.field("set-cookie")), (name, None));
        }
    }
    for server in &servers {
        let seen: Vec<String> = server
            .exchanges()
            .iter()
            .map(|exchange| String::from_utf8_lossy(&exchange.head.raw).into_owned())
            .collect();
        let name = given[0].split('=').next().unwrap();
        assert!(seen.iter().all(|head| !head.contains(name)), "{seen:?}");
        let count = |part: &str| seen.iter().filter(|head| head.contains(part)).count();
        assert_eq!((count("session=1"), count("b=2")), (3, 2), "{seen:?}");
        server.assert_unharmed();
    }
}

#[test]
fn whoever_comes_back_waits_for_the_same_server_though_another_is_free() {
    let servers = [Backend::held(), Backend::held()];
    let settings = "max_concurrency = 1\nsticky = \"cookie\"";
    let seawall = start(&servers.each_ref().map(Backend::url), settings);
    servers[0].release("/first");
    let cookie = cookie_of(&get(&seawall, "/first", "").answer());
    let mut others = [get(&seawall, "/b", ""), get(&seawall, "/a", "")];
    servers[1].wait_begun("/b");
    servers[0].wait_begun("/a");
    let mut back = get(&seawall, "/back", &cookie);
    seawall.settle();
    servers[1].release("/b");
    assert_eq!(others[0].answer().text(), "/b");
    seawall.settle();
    assert!(back.hears_nothing());
    // Whoever has no cookie is not kept waiting by who has.
    servers[1].release("/next");
    assert_eq!(get(&seawall, "/next", "").answer().text(), "/next");
    servers[0].release("/a");
    servers[0].wait_begun("/back");
    servers[0].release("/back");
    assert_eq!((others[1].answer().text(), back.answer().text()), ("/a".into(), "/back".into()));
    servers.iter().for_each(Backend::assert_unharmed);
}

#[test]
fn when_the_server_is_away_another_is_asked_and_the_cookie_is_a_new_one() {
    let (site, there) = (Site::new(), named("there"));
    let gone = site.open(|talk| {
        talk.close();
        talk.write("HTTP/1.1 200 OK\r\nContent-Length: 4\r\nConnection: close\r\n\r\ngone")
    });
    let settings = "sticky = \"cookie\"\neject = { for = \"1h\", max = \"1h\" }";
    let seawall = start(&[site.url(), there.url()], settings);
    let cookie = cookie_of(&ask(&seawall, ""));
    assert_eq!(ask(&seawall, &cookie).text(), "gone");
    gone.close();
    let moved = ask(&seawall, &cookie);
    assert_eq!(moved.text(), "there");
    let cookie = cookie_of(&moved);
    let next = ask(&seawall, &cookie);
    assert_eq!((next.text().as_str(), next.head.field("set-cookie")), ("there", None));
}

#[test]
fn a_cookie_that_names_nobody_is_replaced() {
    let servers = [named("a"), named("b")];
    let seawall = start(&servers.each_ref().map(Backend::url), "sticky = \"cookie\"");
    let cookie = cookie_of(&ask(&seawall, ""));
    let name = cookie.split('=').next().unwrap();
    for mark in ["", "nonsense", "fffff", "\"", "-1"] {
        let answer = ask(&seawall, &format!("{name}={mark}\r\n"));
        assert!(answer.head.field("set-cookie").is_some(), "{mark}");
    }
}

#[test]
fn an_address_comes_to_the_same_server_and_few_move_when_one_is_taken_out() {
    let servers = [named("a"), named("b"), named("c")];
    let urls = servers.each_ref().map(Backend::url);
    let seawall = start(&urls, "sticky = \"client\"");
    let ask_all = || -> Vec<String> {
        let from = (1..=32).map(|last| IpAddr::from([127, 0, 1, last]));
        let ask = |from| Client::from_address(from, seawall.address).get("/").answer().text();
        from.map(ask).collect()
    };
    let before = ask_all();
    assert_eq!(ask_all(), before);
    assert!(["a", "b", "c"].iter().all(|name| before.iter().any(|one| one == name)), "{before:?}");
    seawall.reload(&toml(&urls[..2], "sticky = \"client\""));
    for (before, after) in before.iter().zip(ask_all()) {
        assert!(before == "c" || *before == after);
    }
}

#[test]
fn newcomers_share_an_answer_and_its_cookie_and_caches_have_none() {
    let servers = [(); 2].map(|()| {
        Backend::start(|talk| {
            let target = talk.target();
            talk.hold(&target)?;
            match target.as_str() {
                "/cached" => talk.answer_with("200 OK", "Cache-Control: public, max-age=9\r\n", ""),
                _ => talk.answer(target),
            }
        })
    });
    let urls = servers.each_ref().map(Backend::url);
    let seawall = start(&urls, "sticky = \"cookie\"\n[[route]]\njoin = true");
    let mut clients: Vec<_> = (0..5).map(|_| get(&seawall, "/page", "")).collect();
    servers[0].wait_held("/page", 1);
    seawall.settle();
    servers[0].release("/page");
    let cookies: Vec<_> = clients.iter_mut().map(|client| cookie_of(&client.answer())).collect();
    assert!(cookies.iter().all(|cookie| *cookie == cookies[0]), "{cookies:?}");
    assert_eq!(servers.each_ref().map(|server| server.exchanges().len()), [1, 0]);
    for server in &servers {
        server.release("/cached");
    }
    assert_eq!(ask_for(&seawall, "/cached").head.field("set-cookie"), None);
}

#[test]
fn a_cookie_that_was_given_over_tls_is_for_tls_alone() {
    let servers = [named("a"), named("b")];
    let urls = servers.each_ref().map(Backend::url);
    let authority = Authority::new();
    let listeners = |settings: &str| {
        let tls = authority.sign("site", &["app.test"]);
        Seawall::start(&format!(
            "[[listen]]\naddress = \"127.0.0.1:0\"\ntls = {tls}\n[[listen]]\naddress = \"127.0.0.1:0\"\n\
             [[backend]]\nservers = {urls:?}\nsticky = \"cookie\"\n{settings}"
        ))
    };
    let told = |mut client: Client, fields: &str| {
        let answer = client.get_with("/", fields).answer();
        let set = answer.head.field("set-cookie").unwrap();
        set.split_once("; ").unwrap().1.to_owned()
    };
    let (plain, secure) =
        ("Path=/; HttpOnly; SameSite=Lax", "Path=/; HttpOnly; SameSite=Lax; Secure");
    for (settings, by_forwarder) in
        [("", plain), ("[client]\ntrusted_proxies = [\"127.0.0.0/8\"]", secure)]
    {
        let seawall = listeners(settings);
        let places = seawall.places(2);
        let [tls, tcp] = [&places[0], &places[1]].map(|place| place.parse().unwrap());
        let by_tls = Client::connect_tls(tls, &authority.trust(), "app.test");
        assert_eq!(told(by_tls, ""), secure);
        assert_eq!(told(Client::connect(tcp), ""), plain);
        for said in ["https", "https, http", "WSS"] {
            let fields = format!("X-Forwarded-Proto: {said}\r\n");
            assert_eq!(told(Client::connect(tcp), &fields), by_forwarder, "{settings}: {said}");
        }
        assert_eq!(told(Client::connect(tcp), "X-Forwarded-Proto: http, https\r\n"), plain);
    }
}

#[test]
fn a_tunnel_leads_its_client_back_as_well() {
    let doors = [Door::new(), Door::new()];
    let urls = doors.each_ref().map(|door| format!("http://{}", door.address()));
    let seawall = start(&urls, "sticky = \"cookie\"");
    let mut client = End::connect(seawall.address);
    client.ask("/first");
    let mut backend = doors[0].accept();
    backend.head();
    backend.switch();
    let head = client.head();
    assert_eq!(head.status(), 101);
    let cookie = head.field("set-cookie").unwrap().split(';').next().unwrap().to_owned();
    // The other one is the less busy.
    let mut again = End::connect(seawall.address);
    again.ask_with("/again", &format!("Cookie: {cookie}\r\n"));
    let mut backend = doors[0].accept();
    assert_eq!(backend.head().field("cookie"), None);
    backend.switch();
    let head = again.head();
    assert_eq!((head.status(), head.field("set-cookie")), (101, None));
    assert!(doors[1].is_left_alone());
}

fn ask_for(seawall: &Seawall, target: &str) -> Answer {
    get(seawall, target, "").answer()
}

/// As its client sends it.
fn cookie_of(answer: &Answer) -> String {
    let set = answer.head.field("set-cookie").unwrap();
    format!("Cookie: {}\r\n", set.split(';').next().unwrap())
}

/// Its name is its answer.
fn named(name: &'static str) -> Backend {
    Backend::start(move |talk| talk.answer(name))
}

fn start(urls: &[String], settings: &str) -> Seawall {
    Seawall::start(&toml(urls, settings))
}

fn toml(urls: &[String], settings: &str) -> String {
    format!("listen = \"127.0.0.1:0\"\n[[backend]]\nservers = {urls:?}\n{settings}")
}

fn ask(seawall: &Seawall, fields: &str) -> Answer {
    get(seawall, "/", fields).answer()
}

fn get(seawall: &Seawall, target: &str, fields: &str) -> Client {
    let mut client = seawall.client();
    client.get_with(target, fields);
    client
}
