//! Through seawall: the server notices nothing, and the access log says what became of each
//! exchange.

use crate::harm;
use crate::scenes::{Play, Scene, plain};
use crate::seawall::Seawall;
use crate::server::{Running, Server};

pub(crate) fn unharmed(server: &Server) {
    let running = server.start();
    let seawall = Seawall::start(running.address, server.configuration);
    let plays = [Scene::Nap, Scene::Drip, Scene::Big, Scene::Upload, Scene::ChunkedUpload]
        .map(Scene::plays);
    let plays = plays.as_flattened();

    for play in plays {
        leave(*play, &running, &seawall);
        if let Err(why) = play.again(seawall.address) {
            panic!("{}: {play:?}: again, {why}", server.name);
        }
        plain("after", seawall.address);
    }
    for play in plays {
        if play.scene.is_upload() {
            seawall.logged(&play.path()).has("abandoned", Some("receiving"), None);
        } else {
            running.output.wait_for(&play.done());
            let stage = if play.scene == Scene::Nap { "waiting" } else { "answering" };
            seawall.logged(&play.path()).has("discarded", Some(stage), Some(200));
        }
        running.output.wait_for(&play.done_again());
        seawall.logged(&play.path_again()).has("delivered", None, Some(200));
    }
    seawall.end();
    // By the time it has answered this, a server has also said what it had to say about the
    // connections before.
    plain("at-last", running.address);

    let written = running.end();
    assert_eq!(harm::complaint(&written), None, "{} complains:\n{written}", server.name);
    assert_eq!(harm::shown(&written), [], "{} was harmed:\n{written}", server.name);
    for play in plays {
        let runs = written.matches(&play.began()).count();
        let expected = usize::from(!play.scene.is_upload());
        assert_eq!(runs, expected, "{}: {play:?}: views begun, in:\n{written}", server.name);
    }
}

fn leave(play: Play, running: &Running, seawall: &Seawall) {
    if play.scene.is_upload() {
        // The interim answer says that the request has met seawall: a reset may overtake what
        // nobody has read.
        let proceed = "HTTP/1.1 100 Continue\r\n\r\n";
        play.leave_upload(seawall.address, "Expect: 100-continue\r\n", |client| {
            assert_eq!(client.reads(proceed.len()), proceed.as_bytes());
        });
    } else {
        play.leave_answer(seawall.address, &running.output);
    }
}
