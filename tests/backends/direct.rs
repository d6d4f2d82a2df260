//! Without seawall: the harm that a server is known to come to must show, so that its absence means
//! something.

use crate::harm::{self, Harm};
use crate::scenes::{Play, Scene, plain};
use crate::server::{Running, Server};

pub(crate) fn harmed(server: &Server) {
    let running = server.start();
    for scene in [Scene::Nap, Scene::Drip, Scene::Big, Scene::Upload] {
        let before = running.output.length();
        let known = server.known_harm(scene);
        for play in scene.plays() {
            leave(play, &running, known);
            // What harm does to the next request is the server's own affair: told, not required.
            if let Err(why) = play.again(running.address) {
                println!("{}, direct, {play:?}: again, {why}", server.name);
            }
        }
        plain("after", running.address);
        let shown = running.output.look_for(|written| {
            let shown = harm::shown(&written[before..]);
            known.iter().all(|harm| shown.contains(harm)).then_some(shown)
        });
        let written = &running.output.text()[before..];
        let Some(shown) = shown else {
            panic!(
                "{}, direct, {scene:?}: known for {known:?}, which did not show in:\n{written}",
                server.name
            );
        };
        let complaint = harm::complaint(written).unwrap_or_default();
        println!("{}, direct, {scene:?}: {shown:?} {complaint}", server.name);
    }
}

fn leave(play: Play, running: &Running, known: &[Harm]) {
    if play.scene.is_upload() {
        play.leave_upload(running.address, "", |_| {
            // Not harmed by a half upload is also who waits for the whole before the view begins.
            if !known.is_empty() {
                running.output.wait_for(&play.began());
            }
        });
    } else {
        play.leave_answer(running.address, &running.output);
    }
}
