//! The inspector as a person sees it, in a real browser.

use super::{ON, detail};
use crate::harness::{Backend, Chromium, Leave, Screen, Seawall};

const BODIES: &str = "[inspect]\nbodies = \"1KiB\"\n";

#[test]
fn what_went_wrong_is_found_and_looked_into() {
    let backend = backend();
    let (seawall, mut page) = open(&backend, Screen::DESKTOP);
    page.wait_for("#empty", "Send a request to seawall, and it is listed here");
    seawall.client().get_with("/good", "Authorization: Bearer SECRET\r\n").answer();
    seawall.client().get("/bad").answer();
    let mut left = seawall.client();
    left.get("/left");
    backend.wait_held("/left", 1);
    page.wait_for("#list li", "GET /left at the backend");
    seawall.leave(left, Leave::Reset);
    page.wait_for("#list li", "GET /left for nobody");
    backend.release("/left");
    page.wait_for("#list li", "GET /left discarded");
    page.wait_for("#count", "3 exchanges");

    page.value("document.querySelector('[name=status]').focus()");
    page.type_in("5xx");
    page.wait_for("#count", "1 exchange");
    page.wait_for("#list li", "GET /bad delivered 500");
    assert_eq!(page.value("document.querySelector('#har').search"), "?status=5xx");
    page.picture("inspector-filtered");
    page.value("document.querySelector('[name=status]').value = ''; document.querySelector('form').requestSubmit()");
    page.value("document.querySelector('form [type=reset]').click()");
    page.wait_for("#count", "3 exchanges");

    // By keyboard alone: down to the last, into it, through its tabs, and out again.
    page.value("document.querySelector('#list button').focus()");
    page.press("ArrowDown");
    page.press("ArrowDown");
    page.press("Enter");
    page.wait_for("#detail h2", "GET /good");
    page.wait_for("#detail", "At the backend");
    page.picture("inspector-light");
    assert_eq!(page.barriers(), [""; 0]);
    page.value("document.querySelector('#tab-Request').click()");
    page.wait_for("#detail .fields tr", "authorization Bearer ***masked");
    page.value("document.querySelector('#tab-Answer').click()");
    page.wait_for("#detail .fields tr", "x-answer yes");
    page.wait_for("#detail pre", "<b>fine</b>");
    page.show_on(Screen::DESKTOP.dark());
    page.picture("inspector-dark");
    assert_eq!(page.barriers(), [""; 0]);
    page.press("Escape");
    page.wait("document.querySelector('#detail').hidden");
    assert_eq!(
        page.value("document.activeElement.closest('li').innerText.includes('/good')"),
        true
    );
    assert_eq!(page.complaints(), [""; 0]);
    backend.assert_unharmed();
}

#[test]
fn what_runs_is_ended_once_that_is_wanted_twice() {
    let backend = backend();
    let (seawall, mut page) = open(&backend, Screen::DESKTOP);
    let mut upload = seawall.client();
    upload.send("POST /up HTTP/1.1\r\nHost: app.test\r\nContent-Length: 4\r\n\r\nda");
    page.wait_for("#list li", "POST /up receiving");
    upload.send("ta").answer();
    let mut client = seawall.client();
    client.get("/left");
    backend.wait_held("/left", 1);
    page.wait_for("#list li", "GET /left at the backend");
    page.value("document.querySelector('#list button').click()");
    page.wait_for("#detail h2", "GET /left");
    press(&mut page, "end");
    page.wait_for("#detail .actions", "it may see a broken pipe");
    press(&mut page, "keep");
    page.wait_for("#detail .actions", "End this exchange…");
    press(&mut page, "end");
    page.wait_for("#detail .actions", "End it");
    page.picture("inspector-ending");
    assert_eq!(page.barriers(), [""; 0]);
    press(&mut page, "end");
    assert_eq!(client.answer().status(), 504);
    page.wait_for("#list li", "GET /left cut 504");
    assert_eq!(seawall.line_of("/left")["reason"], "ended by an operator");
}

#[test]
fn a_request_is_replayed_beside_the_first_once_its_secrets_are_given() {
    let backend = backend();
    let (seawall, mut page) = open(&backend, Screen::DESKTOP);
    seawall.client().get_with("/count", "Cookie: a=SECRET\r\n").answer();
    page.wait_for("#list li", "/count");
    page.value("document.querySelector('#list button').click()");
    page.wait_for("#detail h2", "GET /count");
    press(&mut page, "curl");
    page.wait("document.querySelector('#detail textarea')?.value.startsWith('curl ')");
    press(&mut page, "replay");
    page.wait_for(".again", "These secrets were masked");
    assert_eq!(backend.exchanges().len(), 1);
    page.picture("inspector-secrets");
    page.wait("document.activeElement.type == 'password'");
    page.type_in("a=again");
    press(&mut page, "send");
    page.wait_for(".again tr", "Status 200 200");
    page.wait_for(".again tr.differs", "Body 1 2");
    page.picture("inspector-replayed");
    let exchanges = backend.exchanges();
    assert_eq!(exchanges.len(), 2);
    assert_eq!(exchanges[1].head.field("cookie"), Some("a=again"));
    press(&mut page, "second");
    page.wait_for("#detail .facts", "Client operator");
    // The question was an answer of that kind.
    let others = page.complaints().iter().filter(|said| !said.contains("409 (Conflict)"));
    assert_eq!(others.collect::<Vec<_>>(), [""; 0]);
}

#[test]
fn what_strangers_send_stays_text() {
    let backend = Backend::start(|talk| {
        let evil = "<img src=x onerror=alert(1)>";
        talk.answer_with("200 OK", &format!("X-Evil: {evil}\r\n"), format!("</pre>{evil}"))
    });
    let (seawall, mut page) = open(&backend, Screen::DESKTOP);
    let mut client = seawall.client();
    client.send("GET /{\"'&lt;img HTTP/1.1\r\nHost: app.test\r\n");
    client.send(b"X-Evil: \"><script>alert(1)</script>\xff\r\n\r\n").answer();
    detail(&seawall, "/{\"'&lt;img");
    page.wait_for("#list li", "/{\"'&lt;img");
    for tab in ["Request", "Answer"] {
        page.value("document.querySelector('#list button').click()");
        page.wait_for("#detail h2", "/{\"'&lt;img");
        page.value(&format!("document.querySelector('#tab-{tab}').click()"));
        page.wait_for("#detail .fields tr", "x-evil");
    }
    page.wait_for("#detail pre", "</pre><img src=x onerror=alert(1)>");
    assert_eq!(page.value("document.querySelectorAll('main img, main script').length"), 0);
    assert_eq!(page.complaints(), [""; 0]);
}

#[test]
fn on_a_phone_there_is_one_thing_at_a_time_and_nothing_to_scroll_sideways() {
    let backend = backend();
    let (seawall, mut page) = open(&backend, Screen::PHONE);
    let long = format!("/{}", "long".repeat(40));
    seawall.client().get_with(&long, &format!("X-Long: {}\r\n", "x".repeat(300))).answer();
    page.wait_for("#list li", &long);
    page.picture("inspector-phone");
    let fits = "document.documentElement.scrollWidth <= 360";
    page.wait(fits);
    page.value("document.querySelector('#list button').click()");
    page.wait_for("#detail h2", &long);
    page.value("document.querySelector('#tab-Request').click()");
    page.wait_for("#detail .fields tr", "x-long");
    page.wait(fits);
    assert_eq!(page.value("document.querySelector('#list').checkVisibility()"), false);
    page.picture("inspector-phone-detail");
    assert_eq!(page.barriers(), [""; 0]);
    press(&mut page, "close");
    page.wait("document.querySelector('#list').checkVisibility()");
}

fn backend() -> Backend {
    let count = std::sync::atomic::AtomicU32::new(0);
    Backend::start(move |talk| match talk.target().as_str() {
        "/bad" => talk.answer_with("500 Internal Server Error", "", "oh"),
        "/count" => {
            let before = count.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
            talk.answer((before + 1).to_string())
        }
        "/left" => {
            talk.hold("/left")?;
            talk.answer("late")
        }
        _ => talk.answer_with("200 OK", "X-Answer: yes\r\n", "<b>fine</b>"),
    })
}

fn open(backend: &Backend, screen: Screen) -> (Seawall, Chromium) {
    let seawall = Seawall::with(backend, &format!("{ON}{BODIES}"));
    let page = Chromium::open(&format!("http://{}/inspect", seawall.admin()), screen);
    (seawall, page)
}

fn press(page: &mut Chromium, button: &str) {
    page.value(&format!("document.querySelector('[data-button={button}]').click()"));
}
