//! The real servers: how each is started, and the harm it is known to come to when its clients
//! leave.

use crate::harm::Harm::{Complains, HalfUpload, StopsView};
use crate::scenes::Scene::{Big, Drip, Nap, Upload};
use crate::server::{CLASSIC, CURRENT, Server};

pub(crate) const FLASK_THREADED: Server = Server {
    name: "Flask, threaded",
    venv: &CURRENT,
    command: &["python", "flask_app.py", "--threaded"],
    tells: "Running on http://127.0.0.1:",
    configuration: "",
    known_harm: &[(Drip, &[StopsView]), (Big, &[StopsView]), (Upload, &[StopsView])],
};

pub(crate) const FLASK_ONE_THREAD: Server =
    Server { name: "Flask, one thread", command: &["python", "flask_app.py"], ..FLASK_THREADED };

pub(crate) const CLASSIC_FLASK: Server =
    Server { name: "Flask 1.1 on Werkzeug 0.16", venv: &CLASSIC, ..FLASK_THREADED };

pub(crate) const GUNICORN_SYNC: Server = Server {
    name: "gunicorn, sync",
    venv: &CURRENT,
    command: &[
        "gunicorn",
        "--bind=127.0.0.1:0",
        // "Ignoring EPIPE" is said at this level only.
        "--log-level=debug",
        "--no-control-socket",
        "flask_app:app",
    ],
    tells: "Listening at: http://127.0.0.1:",
    configuration: "",
    known_harm: &[
        (Nap, &[Complains]),
        (Drip, &[Complains, StopsView]),
        (Big, &[Complains, StopsView]),
        (Upload, &[Complains, StopsView, HalfUpload]),
    ],
};

pub(crate) const GUNICORN_GTHREAD: Server = Server {
    name: "gunicorn, gthread",
    command: &[
        "gunicorn",
        "--bind=127.0.0.1:0",
        "--log-level=debug",
        "--no-control-socket",
        "--worker-class=gthread",
        "--threads=4",
        "flask_app:app",
    ],
    ..GUNICORN_SYNC
};

pub(crate) const UWSGI_HTTP_SOCKET: Server = Server {
    name: "uWSGI, --http-socket",
    venv: &CURRENT,
    command: &[
        "uwsgi",
        "--http-socket=127.0.0.1:0",
        "--home={venv}",
        "--wsgi-file=flask_app.py",
        "--callable=app",
        "--need-app",
        "--master",
        "--die-on-term",
        "--no-orphans",
    ],
    tells: "bound to TCP address 127.0.0.1:",
    configuration: "",
    known_harm: &[
        (Nap, &[Complains]),
        (Drip, &[Complains, StopsView]),
        (Big, &[Complains, StopsView]),
        (Upload, &[Complains, StopsView]),
    ],
};

pub(crate) const UWSGI_HTTP_ROUTER: Server = Server {
    name: "uWSGI, --http",
    command: &[
        "uwsgi",
        "--http=127.0.0.1:{port}",
        "--home={venv}",
        "--wsgi-file=flask_app.py",
        "--callable=app",
        "--need-app",
        "--master",
        "--die-on-term",
        "--no-orphans",
    ],
    tells: "http bound on 127.0.0.1:",
    ..UWSGI_HTTP_SOCKET
};

pub(crate) const GEVENT: Server = Server {
    name: "gevent pywsgi",
    venv: &CURRENT,
    command: &["python", "gevent_server.py"],
    tells: "http://127.0.0.1:",
    configuration: "",
    known_harm: &[(Drip, &[StopsView]), (Big, &[StopsView]), (Upload, &[Complains, StopsView])],
};

pub(crate) const WAITRESS: Server = Server {
    name: "waitress",
    venv: &CURRENT,
    command: &["waitress-serve", "--listen=127.0.0.1:0", "flask_app:app"],
    tells: "Serving on http://127.0.0.1:",
    configuration: "",
    known_harm: &[(Drip, &[Complains, StopsView])],
};

pub(crate) const DJANGO: Server = Server {
    name: "Django's runserver",
    venv: &CURRENT,
    command: &["python", "django_app.py", "runserver", "127.0.0.1:0", "--noreload"],
    tells: "development server at http://127.0.0.1:",
    configuration: "",
    known_harm: &[(Drip, &[StopsView]), (Big, &[StopsView]), (Upload, &[StopsView, HalfUpload])],
};

pub(crate) const UVICORN: Server = Server {
    name: "uvicorn with Starlette",
    venv: &CURRENT,
    command: &["uvicorn", "starlette_app:app", "--port=0", "--no-use-colors"],
    tells: "running on http://127.0.0.1:",
    configuration: "",
    known_harm: &[(Drip, &[StopsView]), (Upload, &[Complains, StopsView])],
};

pub(crate) const HTTP_SERVER_THREADED: Server = Server {
    name: "http.server, threaded",
    venv: &CURRENT,
    command: &["python", "http_server.py", "--threaded"],
    tells: "http://127.0.0.1:",
    configuration: "",
    known_harm: &[
        (Nap, &[Complains]),
        (Drip, &[Complains, StopsView]),
        (Big, &[Complains, StopsView]),
        (Upload, &[Complains, StopsView, HalfUpload]),
    ],
};

pub(crate) const HTTP_SERVER_ONE_THREAD: Server = Server {
    name: "http.server, one thread",
    command: &["python", "http_server.py"],
    // It keeps connections alive and serves one of them at a time.
    configuration: "max_concurrency = 1",
    ..HTTP_SERVER_THREADED
};
