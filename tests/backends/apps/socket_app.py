"""An echo on Starlette, for uvicorn; it marks by which code it was told that its client has gone."""

import views
from starlette.applications import Starlette
from starlette.routing import WebSocketRoute
from starlette.websockets import WebSocketDisconnect


async def echo(socket):
    await socket.accept()
    views.mark(f"began {socket.url.path}")
    try:
        while True:
            await socket.send_text(await socket.receive_text())
    except WebSocketDisconnect as end:
        views.mark(f"ended {socket.url.path} {end.code}")


app = Starlette(routes=[WebSocketRoute("/{name}", echo)])
