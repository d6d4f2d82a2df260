"""The application on gevent's own server."""

from gevent import monkey

monkey.patch_all()

from gevent.pywsgi import WSGIServer  # noqa: E402

from app import app  # noqa: E402

WSGIServer(("0.0.0.0", 5000), app).serve_forever()
