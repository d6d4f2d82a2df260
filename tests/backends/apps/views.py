"""The views every server here is given, free of any framework.

A view marks what happens to it on standard output: `[began nap a]`, and then either `[done nap a]`
or `[stopped nap a]`. The tests wait for these marks. A generator that its server drops half-way is
stopped.
"""

import os
import time
from contextlib import contextmanager

NAP_SECONDS = 0.3
PIECE = b"drip " * 800
PIECES = 8
PAUSE_SECONDS = 0.04
EIGHT_MIB = 8 * 1024 * 1024


def mark(text):
    # One write to the pipe, so that marks of several threads and processes never mix.
    os.write(1, f"[{text}]\n".encode())


@contextmanager
def view(name, id):
    mark(f"began {name} {id}")
    try:
        yield
    except BaseException:
        mark(f"stopped {name} {id}")
        raise
    mark(f"done {name} {id}")


def plain(id):
    with view("plain", id):
        return f"plain {id}\n".encode()


def nap(id):
    with view("nap", id):
        time.sleep(NAP_SECONDS)
        return f"napped {id}\n".encode()


def drip(id):
    """A streamed answer of no stated length."""
    with view("drip", id):
        for _ in range(PIECES):
            yield PIECE
            time.sleep(PAUSE_SECONDS)


def big(id):
    """8 MiB in one piece. The view is done when the server, that piece written, asks for more."""
    with view("big", id):
        yield b"x" * EIGHT_MIB


def upload(id, receive):
    """What the view was handed as the body, whole or not: the length tells."""
    with view("upload", id):
        received = len(receive())
        mark(f"received {received} {id}")
        return f"received {received}\n".encode()
