"""An echo on the websockets library's own server, which complains of clients that just leave."""

import asyncio
import logging

import views
from websockets.asyncio.server import serve

logging.basicConfig(level=logging.INFO)


async def echo(socket):
    views.mark(f"began {socket.request.path}")
    async for message in socket:
        await socket.send(message)
    views.mark(f"ended {socket.request.path} {socket.close_code}")


async def main():
    async with serve(echo, "127.0.0.1", 0) as server:
        await server.serve_forever()


asyncio.run(main())
