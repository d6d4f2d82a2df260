"""The application on gevent's own server."""

from gevent import monkey

monkey.patch_all()

import signal  # noqa: E402

import gevent  # noqa: E402
from gevent.pywsgi import WSGIServer  # noqa: E402

from app import app  # noqa: E402

server = WSGIServer(("0.0.0.0", 5000), app)
for ending in signal.SIGINT, signal.SIGTERM:
    gevent.signal_handler(ending, server.stop)
server.serve_forever()
