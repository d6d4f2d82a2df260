"""A small application, as fragile as its server is."""

import time

from flask import Flask, request

app = Flask(__name__)


@app.get("/")
def hello():
    return "Hello. Try /report, and leave before it is done.\n"


@app.get("/report")
def report():
    """Takes a while, and is long: whoever leaves before its end breaks an unshielded server's pipe."""
    app.logger.warning("report begun")
    time.sleep(float(request.args.get("seconds", 3)))
    app.logger.warning("report done")
    return "A line of the report.\n" * 100_000


@app.get("/lines")
def lines():
    """One line after the other."""

    def written():
        try:
            for number in range(20):
                yield f"line {number}\n" * 1000
                time.sleep(0.05)
            app.logger.warning("lines done")
        except GeneratorExit:
            app.logger.warning("lines stopped")
            raise

    return written(), {"Content-Type": "text/plain"}


@app.post("/upload")
def upload():
    length = len(request.get_data())
    app.logger.warning("received %s bytes", length)
    return f"{length}\n"
