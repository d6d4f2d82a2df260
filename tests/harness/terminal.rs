//! A terminal of 30 lines and 120 columns, a command on it, and somebody who types and reads.

use std::io::{Read as _, Write as _};
use std::num::NonZero;
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::{Arc, Mutex};
use std::thread::{self, JoinHandle};

use super::until;

pub(crate) struct Terminal {
    child: Child,
    keys: ChildStdin,
    screen: Arc<Mutex<vt100::Parser>>,
    /// Reads to the end of what is shown.
    reader: Option<JoinHandle<()>>,
}

impl Terminal {
    /// The command as its arguments and environment say, on the terminal.
    pub(crate) fn run(command: &Command) -> Self {
        let mut python = Command::new("python3");
        python.args(["-c", PTY]).arg(command.get_program()).args(command.get_args());
        for (name, value) in command.get_envs() {
            match value {
                Some(value) => python.env(name, value),
                None => python.env_remove(name),
            };
        }
        let piped =
            python.env("TERM", "xterm-256color").stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut child = piped.spawn().unwrap();
        let keys = child.stdin.take().unwrap();
        let mut shown = child.stdout.take().unwrap();
        let screen = Arc::new(Mutex::new(vt100::Parser::new(LINES, COLUMNS, 0)));
        let parser = screen.clone();
        let reader = thread::spawn(move || {
            let mut piece = [0; 4096];
            while let Ok(length @ 1..) = shown.read(&mut piece) {
                parser.lock().unwrap().process(&piece[..length]);
            }
        });
        Self { child, keys, screen, reader: Some(reader) }
    }

    pub(crate) fn press(&mut self, keys: &str) {
        self.keys.write_all(keys.as_bytes()).unwrap();
        self.keys.flush().unwrap();
    }

    pub(crate) fn text(&self) -> String {
        self.screen.lock().unwrap().screen().contents()
    }

    /// Is the program's screen gone, and what was there before shown again?
    pub(crate) fn is_as_before(&self) -> bool {
        let screen = self.screen.lock().unwrap();
        !screen.screen().alternate_screen() && !screen.screen().hide_cursor()
    }

    #[track_caller]
    pub(crate) fn wait_for(&self, what: &str) -> String {
        self.wait_until(what, |text| text.contains(what))
    }

    #[track_caller]
    pub(crate) fn wait_until(&self, what: &str, is_so: impl Fn(&str) -> bool) -> String {
        until(&format!("the screen shows {what:?}"), || {
            let text = self.text();
            is_so(&text).then_some(text)
        })
    }

    /// Waits for the end, with all that is shown before, and returns the exit code.
    pub(crate) fn wait_exit(&mut self) -> Option<i32> {
        let status = until("the command ends", || self.child.try_wait().unwrap());
        if let Some(reader) = self.reader.take() {
            reader.join().unwrap();
        }
        status.code()
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        if thread::panicking() {
            eprintln!("the terminal:\n{}", self.text());
        }
    }
}

const LINES: NonZero<u16> = NonZero::new(30).unwrap();
const COLUMNS: NonZero<u16> = NonZero::new(120).unwrap();

const PTY: &str = r#"
import fcntl, os, pty, struct, sys, termios, threading
pid, terminal = pty.fork()
if pid == 0:
    # Before the command looks at it.
    fcntl.ioctl(0, termios.TIOCSWINSZ, struct.pack("HHHH", 30, 120, 0, 0))
    os.execvp(sys.argv[1], sys.argv[1:])
def keys():
    while typed := os.read(0, 4096):
        os.write(terminal, typed)
threading.Thread(target=keys, daemon=True).start()
try:
    while shown := os.read(terminal, 65536):
        os.write(1, shown)
except OSError:
    pass
_, status = os.waitpid(pid, 0)
os._exit(os.waitstatus_to_exitcode(status) & 255)
"#;
