"""The Flask app on gevent's pywsgi, patched so that a sleeping view gives way to others."""

from gevent import monkey

monkey.patch_all()

from gevent.pywsgi import WSGIServer  # noqa: E402

from flask_app import app  # noqa: E402

server = WSGIServer(("127.0.0.1", 0), app)
server.start()
print(f"http://127.0.0.1:{server.server_port}", flush=True)
server.serve_forever()
