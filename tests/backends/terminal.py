"""Runs a command on a terminal of its own, as a person does, and ends with its exit code. What the
terminal shows goes to standard output; each line on standard input is a Ctrl-C."""

import os
import pty
import sys
import threading

pid, terminal = pty.fork()
if pid == 0:
    os.execvp(sys.argv[1], sys.argv[1:])


def keys():
    for _ in sys.stdin:
        os.write(terminal, b"\x03")


threading.Thread(target=keys, daemon=True).start()
try:
    while shown := os.read(terminal, 65536):
        os.write(1, shown)
except OSError:
    # Nobody has the terminal open any more.
    pass
_, status = os.waitpid(pid, 0)
os._exit(os.waitstatus_to_exitcode(status) & 255)
