//! The live page as a person sees it: in a real browser, compared with what the backend saw.

use crate::harness::{Backend, Chromium, Client, Leave, Screen, Seawall, Site};

const ON: &str = "[admin]\nlisten = \"127.0.0.1:0\"\n";

#[test]
fn the_page_shows_what_the_backend_sees() {
    let backend = Backend::held();
    let join = "max_concurrency = 2\n[[route]]\npath = \"/joined\"\njoin = true\n";
    let seawall = Seawall::with(&backend, &format!("{join}{ON}"));
    let mut page = open(&seawall, Screen::DESKTOP);
    page.wait_for("#sentence", "nobody has asked for anything yet");
    page.wait_for("#bars-empty", &format!("http://{}/", seawall.address));

    let mut joined = ask(&seawall, "/joined");
    backend.wait_held("/joined", 1);
    let mut joins = ask(&seawall, "/joined");
    let left = ask(&seawall, "/left");
    backend.wait_held("/left", 1);
    let mut queued = ask(&seawall, "/queued");
    let impatient = ask(&seawall, "/impatient");
    page.wait_for(".row", "1. GET /queued queued");
    page.wait_for(".row", "2. GET /impatient queued");
    page.wait_for(".row", "GET /left at the backend");
    page.wait_for(".row", "GET /joined joined");
    page.wait_for("#backends", "2 of 2 in use");
    page.wait_for("#backends", "2 of 1,024");
    page.wait_for("#sentence", "all of its 2 slots are in use, and 2 requests wait");

    seawall.leave(left, Leave::Reset);
    seawall.leave(impatient, Leave::Fin);
    page.wait_for(".row.orphaned", "/left for nobody");
    page.wait_for("#backends", "2 of 2 in use, 1 for nobody");
    page.wait_for("#sentence", "1 of them for a client that has left");
    page.wait_for("#prevented", "1");
    page.picture("live-running-light");
    backend.release("/left");
    backend.release("/queued");
    backend.release("/joined");
    for client in [&mut joined, &mut joins, &mut queued] {
        client.answer();
    }
    page.wait_for("#prevented", "2");
    page.wait_for("#shielded", "Joined a running exchange 1");
    page.wait_for("#ledger tbody tr", "/left");
    page.wait_for("#ledger tbody tr", "before the answer began");
    page.wait_for(
        "#sentence",
        "All is well. Backend default is up. No exchange runs. Nobody waits.",
    );

    // Neither more nor less than what the backend saw has a status of the backend.
    backend.assert_unharmed();
    let mut seen = backend.targets();
    let answered = page.value(
        "[...document.querySelectorAll('.row[role=option]')].map((row) => row.innerText)
            .filter((text) => /200 (delivered|discarded)/.test(text)).map((text) => text.match(/GET (\\S+)/)[1])",
    );
    let mut shown: Vec<&str> =
        answered.as_array().unwrap().iter().map(|path| path.as_str().unwrap()).collect();
    shown.sort_unstable();
    // Who joined was answered by the exchange of another.
    seen.push("/joined".into());
    seen.sort_unstable();
    assert_eq!(shown, seen);
    page.wait_for(".row", "/impatient abandoned");
    assert!(page.complaints().is_empty(), "{:?}", page.complaints());
}

#[test]
fn what_went_wrong_is_found_from_the_page_alone() {
    let backend = Backend::start(|talk| match talk.target().as_str() {
        "/fault" => talk.answer_with("500 Internal Server Error", "", "oh"),
        "/crash" => {
            talk.reset();
            Ok(())
        }
        _ => talk.answer("well"),
    });
    let seawall = Seawall::with(&backend, &format!("queue = {{ max = 0 }}\n{ON}"));
    let mut page = open(&seawall, Screen::DESKTOP);
    page.wait_for("#problems", "None: nothing has failed");
    for path in ["/well", "/fault", "/crash"] {
        ask(&seawall, path).outcome().ok();
    }
    page.wait_for("#sentence", "2 of the 3 requests of the last minute went wrong");
    page.wait_for(".problem summary", "1 × 500");
    page.wait_for(".problem summary", "The backend answered 500");
    page.wait_for(".problem summary", "GET /crash");
    page.wait_for(".problem summary", "It may have crashed");
    page.value("document.querySelector('.problem').open = true");
    page.wait_for(".problem[open] td", "GET /crash");
    page.picture("live-problems-light");
    assert!(page.complaints().is_empty(), "{:?}", page.complaints());
}

#[test]
fn a_backend_that_is_away_is_told_with_the_reason_and_who_waits() {
    let site = Site::new();
    let seawall = Seawall::at(&site, ON);
    let mut page = open(&seawall, Screen::PHONE.dark());
    let mut waiting = ask(&seawall, "/patient");
    page.wait_for("#sentence", "Backend default has been away for");
    page.wait_for("#sentence", "1 request waits for it");
    page.wait_for(".row", "/patient held");
    page.wait_for("#backends", "Held 1 request");
    page.picture("live-away-phone-dark");
    let backend = site.open(|talk| talk.answer("back"));
    assert_eq!(waiting.answer().text(), "back");
    page.wait_for("#sentence", "All is well.");
    backend.assert_unharmed();
}

#[test]
fn an_exchange_is_chosen_looked_at_and_ended_by_keyboard() {
    let backend = Backend::held();
    let seawall = Seawall::with(&backend, ON);
    let mut page = open(&seawall, Screen::DESKTOP);
    let mut first = ask(&seawall, "/first");
    backend.wait_held("/first", 1);
    let mut second = ask(&seawall, "/second");
    page.wait_for(".row", "/second at the backend");
    page.value("document.getElementById('bars').focus()");
    page.press("ArrowDown");
    page.press("ArrowDown");
    page.wait_for(".row[aria-selected=true]", "/second");
    let named = "document.getElementById(document.getElementById('bars').getAttribute('aria-activedescendant'))";
    page.wait(&format!("{named}.innerText.startsWith('GET /second')"));
    page.press("Enter");
    page.wait_for("#detail", "At the backend, no answer yet");
    page.press("Tab");
    page.press("Enter");
    page.wait_for("#detail", "it may see a broken pipe");
    page.press("Enter");
    assert_eq!(second.answer().status(), 504);
    let line = seawall.line_of("/second");
    assert_eq!(line["reason"], "ended by an operator");
    page.wait_for("#detail", "Ended by an operator");
    page.picture("live-detail-light");
    page.press("Escape");
    page.wait("!document.getElementById('detail').open && document.activeElement.id === 'bars'");
    backend.release("/first");
    assert_eq!(first.answer().text(), "/first");
    assert!(page.complaints().is_empty(), "{:?}", page.complaints());
}

#[test]
fn nobody_is_kept_out_in_light_and_dark_and_on_a_phone() {
    let backend = Backend::held();
    let seawall = Seawall::with(&backend, &format!("max_concurrency = 1\n{ON}"));
    let mut page = open(&seawall, Screen::DESKTOP.still());
    page.wait_for("#sentence", "nobody has asked");
    assert_eq!(page.barriers(), [""; 0], "while nothing has come yet");
    let left = ask(
        &seawall,
        "/left?with=a&rather=long&query=that&has=to&be=cut&somewhere=or&other=0123456789",
    );
    backend.wait_held(
        "/left?with=a&rather=long&query=that&has=to&be=cut&somewhere=or&other=0123456789",
        1,
    );
    let _queued = ask(&seawall, "/queued");
    seawall.leave(left, Leave::Fin);
    seawall.client().send("nonsense\r\n\r\n").wait_closed();
    page.wait_for(".row.orphaned", "for nobody");
    page.wait_for(".problem", "Malformed request");
    for (name, screen) in [
        ("light", Screen::DESKTOP),
        ("dark", Screen::DESKTOP.dark()),
        ("phone-light", Screen::PHONE),
        ("phone-dark", Screen::PHONE.dark()),
    ] {
        page.show_on(screen);
        page.wait(&format!("innerWidth === {}", screen.width));
        assert_eq!(page.barriers(), [""; 0], "{name}");
        let wide = page.value("document.documentElement.scrollWidth - innerWidth");
        assert!(wide.as_i64().unwrap() <= 0, "{name} scrolls sideways");
        page.picture(&format!("live-{name}"));
    }
    page.value("document.getElementById('table-view').click()");
    page.wait_for("#table td", "queued, place 1");
    assert_eq!(page.barriers(), [""; 0], "as a table");
    page.value("document.querySelector('#table button').click()");
    page.wait_for("#detail", "Request id");
    assert_eq!(page.barriers(), [""; 0], "with the panel open");
}

#[test]
fn a_seawall_that_is_gone_is_told_and_the_next_one_is_watched() {
    let backend = Backend::held();
    let mut seawall = Seawall::with(&backend, ON);
    let admin = seawall.admin();
    let mut page = open(&seawall, Screen::DESKTOP);
    page.wait_for("#link", "live");
    seawall.signal("KILL");
    seawall.wait_exit();
    page.wait_for("#link", "seawall is gone");
    page.wait_for("#sentence", "Nothing heard from seawall");
    page.picture("live-gone-light");
    let next = Seawall::with(&backend, &format!("[admin]\nlisten = \"{admin}\"\n"));
    page.wait_for("#link", "live");
    let _running = ask(&next, "/next");
    page.wait_for(".row", "/next at the backend");
}

#[test]
fn a_thousand_that_run_are_shown_with_few_elements_and_move_smoothly() {
    let backend = Backend::held();
    let settings = "max_concurrency = 1\n[client]\nexchanges = 2000\nconnections = 2000\n";
    let seawall = Seawall::with(&backend, &format!("{settings}{ON}"));
    seawall.limit_descriptors(Some(4096));
    let _clients: Vec<Client> =
        (0..1000).map(|number| ask(&seawall, &format!("/{number}"))).collect();
    let mut page = open(&seawall, Screen::DESKTOP);
    page.wait_for(".row.group", "In line · 999");
    let rows = page.value("document.querySelectorAll('.row').length");
    assert!(rows.as_u64().unwrap() < 60, "{rows}");
    page.value("document.getElementById('bars').focus()");
    page.value("document.getElementById('bars').scrollTop = 1e6");
    page.wait_for(".row", "999. GET /999");
    let frames = page.value(
        "new Promise((done) => {
            const at = [];
            const frame = (now) => (at.push(now) < 120 ? requestAnimationFrame(frame) : done(at));
            requestAnimationFrame(frame);
        })",
    );
    let frames: Vec<f64> =
        frames.as_array().unwrap().iter().map(|at| at.as_f64().unwrap()).collect();
    let mut gaps: Vec<f64> = frames.windows(2).map(|pair| pair[1] - pair[0]).collect();
    gaps.sort_by(f64::total_cmp);
    println!(
        "frames: median {:.1} ms, longest {:.1} ms",
        gaps[gaps.len() / 2],
        gaps[gaps.len() - 1]
    );
    // Sixty a second where nothing else runs; tests run beside each other.
    assert!(gaps[gaps.len() / 2] < 50.0, "{gaps:?}");
}

#[test]
fn a_token_is_typed_in_once() {
    let backend = Backend::held();
    let seawall = Seawall::with(&backend, &format!("{ON}token = \"s3cret\"\n"));
    let mut page = Chromium::open(&format!("http://{}/", seawall.admin()), Screen::PHONE);
    page.wait("document.activeElement?.id === 'token'");
    assert_eq!(page.barriers(), [""; 0]);
    page.picture("login-phone-light");
    page.type_in("guess");
    page.press("Enter");
    page.wait_for(".wrong", "This is not the value of admin.token.");
    page.wait("document.activeElement?.id === 'token'");
    page.type_in("s3cret");
    page.press("Enter");
    page.wait_for("#sentence", "seawall is ready");
}

/// Has heard from seawall when this returns.
fn open(seawall: &Seawall, screen: Screen) -> Chromium {
    let mut page = Chromium::open(&format!("http://{}/", seawall.admin()), screen);
    page.wait_for("#link", "live");
    page
}

fn ask(seawall: &Seawall, path: &str) -> Client {
    let mut client = seawall.client();
    client.get(path);
    client
}
