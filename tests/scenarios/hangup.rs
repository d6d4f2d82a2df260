//! SIGHUP: for who rotates logs it is no end; for who closes the terminal it is one, in order.

use crate::harness::command::binary_under;
use crate::harness::{Backend, DEADLINE, Family, Seawall, kill};

#[test]
fn without_a_terminal_a_hangup_ends_nothing() {
    let backend = served_when_released();
    backend.release("view");
    let mut seawall = Seawall::before(&backend);
    seawall.signal("HUP");
    assert_eq!(seawall.client().get("/").answer().text(), "served");
    seawall.signal("TERM");
    assert_eq!(seawall.wait_exit(), Some(0));
}

#[test]
fn who_closes_the_terminal_ends_what_runs_on_it_in_order() {
    // As what the terminal was opened for, and from a shell on it.
    for script in ["exec \"$@\"", "\"$@\"; true"] {
        let (family, backend) = (Family::new(), served_when_released());
        let terminal = on_a_terminal(&family, &backend, script);
        let mut client = terminal.client();
        client.get("/running");
        backend.wait_held("view", 1);
        terminal.signal("KILL");
        terminal.wait_not_listening();
        backend.release("view");
        assert_eq!(client.answer().text(), "served");
        family.wait_gone(DEADLINE);
        backend.assert_unharmed();
    }
}

#[test]
fn who_was_told_to_outlive_the_terminal_does_so() {
    let (family, backend) = (Family::new(), served_when_released());
    // As `nohup` does it.
    let mut terminal = on_a_terminal(&family, &backend, "trap '' HUP; exec \"$@\"");
    backend.release("view");
    let seawall = family.member(env!("CARGO_BIN_EXE_seawall"));
    terminal.signal("KILL");
    assert_eq!(terminal.wait_exit(), None);
    kill(seawall, "HUP");
    for _ in 0..3 {
        assert_eq!(terminal.client().get("/").answer().text(), "served");
    }
    kill(seawall, "TERM");
    family.wait_gone(DEADLINE);
}

/// The process is the terminal: what is started on it shows through, and is hung up when it dies.
fn on_a_terminal(family: &Family, backend: &Backend, script: &str) -> Seawall {
    let mut command = binary_under("python3", &["-c", TERMINAL, "sh", "-c", script, "sh"]);
    command.args(["--listen", "127.0.0.1:0", "--backend", &backend.url()]);
    Seawall::spawn(family.mark(command.env("SEAWALL_LOG__FORMAT", "json")))
}

const TERMINAL: &str = "
import os, pty, sys

pid, terminal = pty.fork()
if pid == 0:
    os.execvp(sys.argv[1], sys.argv[1:])
while shown := os.read(terminal, 65536):
    os.write(2, shown)
";

fn served_when_released() -> Backend {
    Backend::start(|talk| {
        talk.hold("view")?;
        talk.answer("served")
    })
}
