"""The views on Flask, 1.1 as well as 3. Run as a script it is Werkzeug's own development server."""

import sys

from flask import Flask, Response, request

import views

app = Flask(__name__)


@app.route("/plain/<id>")
def plain(id):
    return views.plain(id)


@app.route("/nap/<id>")
def nap(id):
    return views.nap(id)


@app.route("/drip/<id>")
def drip(id):
    return Response(views.drip(id), mimetype="text/plain")


@app.route("/big/<id>")
def big(id):
    return Response(views.big(id), headers={"Content-Length": str(views.EIGHT_MIB)})


@app.route("/upload/<id>", methods=["POST"])
def upload(id):
    return views.upload(id, request.get_data)


if __name__ == "__main__":
    app.run("127.0.0.1", 0, threaded="--threaded" in sys.argv)
