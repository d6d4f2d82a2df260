"""The views on Starlette: those that wait do so as coroutines."""

import asyncio

from starlette.applications import Starlette
from starlette.responses import PlainTextResponse, StreamingResponse
from starlette.routing import Route

import views


async def plain(request):
    return PlainTextResponse(views.plain(request.path_params["id"]))


async def nap(request):
    id = request.path_params["id"]
    with views.view("nap", id):
        await asyncio.sleep(views.NAP_SECONDS)
        return PlainTextResponse(f"napped {id}\n")


async def drip(request):
    async def pieces(id):
        with views.view("drip", id):
            for _ in range(views.PIECES):
                yield views.PIECE
                await asyncio.sleep(views.PAUSE_SECONDS)

    return StreamingResponse(pieces(request.path_params["id"]))


async def big(request):
    async def piece(id):
        with views.view("big", id):
            yield b"x" * views.EIGHT_MIB

    return StreamingResponse(
        piece(request.path_params["id"]), headers={"Content-Length": str(views.EIGHT_MIB)}
    )


async def upload(request):
    id = request.path_params["id"]
    with views.view("upload", id):
        received = len(await request.body())
        views.mark(f"received {received} {id}")
        return PlainTextResponse(f"received {received}\n")


app = Starlette(
    routes=[
        Route("/plain/{id}", plain),
        Route("/nap/{id}", nap),
        Route("/drip/{id}", drip),
        Route("/big/{id}", big),
        Route("/upload/{id}", upload, methods=["POST"]),
    ]
)
