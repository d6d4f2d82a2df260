//! Two real servers behind one name, of which one is killed and started again, under load: the other
//! answers meanwhile. No GET fails, and none waits for it.

use std::process::Command;

use crate::family::kill;
use crate::load::Load;
use crate::output::Output;
use crate::restarts::{AWAY, address, assert_held, reserve, wait_for_lives};
use crate::seawall::Seawall;
use crate::server::CURRENT;
use crate::stage::Stage;

const TELLS: &str = "Running on http://127.0.0.1:";

#[test]
fn one_of_two_flasks_is_killed_and_no_get_fails_and_no_post_runs_twice() {
    let stages = [Stage::set(), Stage::set()];
    let (output, writer) = Output::pipe();
    let reserved = [reserve(), reserve()];
    let start = |which: usize| {
        let port = format!("--port={}", reserved[which].1);
        let mut command = Command::new(CURRENT.path().join("bin").join("flask"));
        command.args(["--app", "app", "run", &port]);
        stages[which].start(command, writer.try_clone().expect("another end"));
    };
    (0..2).for_each(start);
    wait_for_lives(&output, TELLS, 2);
    let seawall = Seawall::before(&reserved.each_ref().map(|(_, port)| address(*port)));
    let load = Load::on(seawall.address, |load| {
        load.wait();
        for (life, which) in [0, 1, 0].into_iter().enumerate() {
            load.note("KILL");
            stages[which].family.members().iter().for_each(|(pid, _)| kill(*pid, "KILL"));
            // The other one answers.
            load.wait();
            std::thread::sleep(AWAY);
            start(which);
            wait_for_lives(&output, TELLS, 3 + life);
            load.wait();
        }
    });
    assert_held("one of two flasks", &load, &output, Some(&seawall));
}
