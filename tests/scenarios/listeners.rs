//! Where clients connect: several places at once, IPv6, names.

use std::net::{Ipv6Addr, SocketAddr, TcpListener};

use crate::harness::command::run_to_end;
use crate::harness::{Backend, Client, Seawall, Site};

#[test]
fn several_listeners_lead_to_the_same_backend() {
    let backend = Backend::start(|talk| talk.answer("served"));
    let seawall = Seawall::start(&format!(
        "backend = \"{}\"\n[[listen]]\naddress = \"127.0.0.1:0\"\n[[listen]]\naddress = \"[::1]:0\"\n",
        backend.url()
    ));
    let places = seawall.places(2);
    assert!(places[0].starts_with("127.0.0.1:") && places[1].starts_with("[::1]:"), "{places:?}");
    for place in places {
        let mut client = Client::connect(place.parse().unwrap());
        assert_eq!(client.get(&format!("/{place}")).answer().text(), "served");
        let line = seawall.line_of(&format!("/{place}"));
        let name = line["client"].as_str().unwrap();
        assert_eq!(name, client.address().to_string());
        let head = backend.wait_answered(&format!("/{place}")).head;
        let address = client.address().ip();
        assert_eq!(head.field("x-forwarded-for"), Some(&*address.to_string()));
    }
}

#[test]
fn one_listener_for_both_kinds_names_a_client_of_ipv4_as_such() {
    let backend = Backend::start(|talk| talk.answer("served"));
    let seawall = Seawall::start(&format!("listen = \"[::]:0\"\nbackend = \"{}\"", backend.url()));
    let port = seawall.address.port();
    let mut client = Client::connect(SocketAddr::from(([127, 0, 0, 1], port)));
    client.get("/four").answer();
    assert_eq!(seawall.line_of("/four")["client"], client.address().to_string());
    Client::connect((Ipv6Addr::LOCALHOST, port).into()).get("/six").answer();
    let head = backend.wait_answered("/six").head;
    assert_eq!(head.field("x-forwarded-for"), Some("::1"));
    assert!(head.field("forwarded").unwrap().starts_with("for=\"[::1]\""));
}

#[test]
fn everywhere_of_ipv4_and_everywhere_of_ipv6_can_share_a_port() {
    let backend = Backend::start(|talk| talk.answer("served"));
    let site = Site::everywhere();
    let port = site.address.port();
    let seawall = Seawall::start(&format!(
        "backend = \"{}\"\n[[listen]]\naddress = \"0.0.0.0:{port}\"\n[[listen]]\naddress = \"[::]:{port}\"\n",
        backend.url()
    ));
    assert_eq!(seawall.places(2), [format!("0.0.0.0:{port}"), format!("[::]:{port}")]);
}

#[test]
fn a_name_is_listened_at_by_every_address_that_it_has_here() {
    let backend = Backend::start(|talk| talk.answer("served"));
    let seawall =
        Seawall::start(&format!("listen = \"localhost:0\"\nbackend = \"{}\"", backend.url()));
    let place = seawall.places(1).remove(0);
    assert_eq!(seawall.client().get("/").answer().text(), "served", "{place}");
}

#[test]
fn a_port_that_is_taken_is_named() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap();
    let toml = format!("listen = \"{address}\"\nbackend = \"http://127.0.0.1:1\"");
    let said = run_to_end(Some(&toml), |command| command);
    assert_eq!(said.code, Some(1), "{said:?}");
    assert!(said.err.contains(&format!("{address}: the address is taken")), "{said:?}");
}
