"""The views on Django, in one file. Run as a script it is manage.py."""

import sys

from django.conf import settings
from django.core.management import execute_from_command_line
from django.http import HttpResponse, StreamingHttpResponse
from django.urls import path

import views

settings.configure(DEBUG=True, ROOT_URLCONF=__name__, ALLOWED_HOSTS=["*"], SECRET_KEY="of no use")


def drip(request, id):
    return StreamingHttpResponse(views.drip(id))


def big(request, id):
    return StreamingHttpResponse(views.big(id), headers={"Content-Length": views.EIGHT_MIB})


def upload(request, id):
    return HttpResponse(views.upload(id, request.read))


urlpatterns = [
    path("plain/<id>", lambda request, id: HttpResponse(views.plain(id))),
    path("nap/<id>", lambda request, id: HttpResponse(views.nap(id))),
    path("drip/<id>", drip),
    path("big/<id>", big),
    path("upload/<id>", upload),
]

if __name__ == "__main__":
    execute_from_command_line(sys.argv)
