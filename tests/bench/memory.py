"""What many cost who do nothing, or leave, or hardly read."""

import asyncio
import multiprocessing
import shutil
import socket
import statistics
import time

import peers

KINDS = ["idle", "waiting", "orphans", "slow readers", "storm"]
BIG = 20_000_000
CHUNK = b"x" * 100_000
PATIENCE = 60


def measure(kind, binary, folder, descriptors, rounds, quick, results):
    count = min(10_000, (descriptors - 2_000) // 2) // (10 if quick else 1)
    seen = None
    if kind == "idle":
        stage = peers.Stage(folder, binary)
    else:
        if kind == "slow readers":
            count = min(1_000, shutil.disk_usage(folder).free // 2 // BIG) // (20 if quick else 1)
        if kind == "storm":
            count = 20 if quick else 200
        backend = Backend()
        seen = backend.seen
        stage = peers.Stage(folder, binary, backend_port=backend.port, slots=1 if kind == "storm" else count + 10)
    rounds = rounds if kind == "slow readers" else 1
    with stage:
        proxies = list(stage.proxies)
        all_taken = {proxy.name: [] for proxy in proxies}
        before = {proxy.name: proxy.memory() for proxy in proxies}
        for number in range(rounds):
            for proxy in proxies:
                if seen and (number or proxy is not proxies[0]):
                    # Anew: it would run out of descriptors over what the one before has left there.
                    backend.end()
                    backend = Backend(backend.port)
                    seen = backend.seen
                try:
                    run = RUN[kind](proxy, before[proxy.name], count, seen)
                    taken = asyncio.run(asyncio.wait_for(run, 3 * PATIENCE))
                except (TimeoutError, OSError, asyncio.IncompleteReadError) as error:
                    print(f"{kind}: {proxy.name}: not all were served: {error!r}", flush=True)
                    continue
                all_taken[proxy.name].append(taken)
                print(f"{kind}: {proxy.name}: {taken}", flush=True)
            # Who came to no end now would not in another round; and nobody is always the first, for whom the system
            # has yet to find memory.
            ended = lambda proxy: all_taken[proxy.name] and None not in all_taken[proxy.name][-1].values()
            proxies = [proxy for proxy in reversed(proxies) if ended(proxy)]
    for name, taken in all_taken.items():
        if taken:
            results[name] = {key: median(one[key] for one in taken) for key in taken[0]}
    if seen:
        backend.end()


def median(figures):
    figures = list(figures)
    return None if None in figures else round(statistics.median(figures), 2)


class Backend:
    """One in a process of its own, with descriptors of its own."""

    def __init__(self, port=0):
        listener = socket.create_server(("127.0.0.1", port), backlog=16384)
        self.port = listener.getsockname()[1]
        # Requests that came; answers that were taken to their last byte; those that were not.
        self.seen = multiprocessing.Array("i", 3)
        self.process = multiprocessing.get_context("fork").Process(
            target=lambda: asyncio.run(serve(listener, self.seen)), daemon=True)
        self.process.start()
        listener.close()

    def end(self):
        self.process.kill()
        self.process.join()


async def serve(listener, seen):
    turn = asyncio.Lock()

    async def talk(reader, writer):
        try:
            while True:
                target = (await reader.readuntil(b"\r\n\r\n")).split()[1]
                seen[0] += 1
                if target == b"/hold":
                    # For ever: until the other side ends.
                    return await reader.read()
                if target == b"/big":
                    writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % BIG)
                    for _ in range(BIG // len(CHUNK)):
                        writer.write(CHUNK)
                        await writer.drain()
                else:
                    async with turn:
                        await asyncio.sleep(0.005)
                    if reader.at_eof() or writer.transport.is_closing():
                        seen[2] += 1
                        return
                    writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\ndone")
                    await writer.drain()
                seen[1] += 1
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            writer.close()

    server = await asyncio.start_server(talk, sock=listener, backlog=16384)
    await server.serve_forever()


async def connect_all(proxy, count, request, answered):
    """So many clients that have asked, and perhaps been answered."""
    clients = []
    for start in range(0, count, 200):
        batch = await asyncio.gather(*(
            asyncio.open_connection("127.0.0.1", proxy.port) for _ in range(min(200, count - start))))
        for _, writer in batch:
            writer.write(request)
        for reader, _ in batch if answered else []:
            await reader.readuntil(b"\r\n\r\n")
            await reader.read(64)
        clients += batch
    return clients


def get(path):
    return f"GET {path} HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n".encode()


async def idle(proxy, before, count, _):
    clients = await connect_all(proxy, count, get("/small"), True)
    await asyncio.sleep(3)
    taken = proxy.memory() - before
    close(clients)
    return {"count": count, "kib_each": round(taken / count, 2)}


async def waiting(proxy, before, count, seen, leave=False):
    clients = await connect_all(proxy, count, get("/hold"), False)
    until = time.monotonic() + PATIENCE
    while seen[0] < count and time.monotonic() < until:
        await asyncio.sleep(0.1)
    if leave:
        close(clients)
    await asyncio.sleep(3)
    taken = {"count": seen[0], "kib_each": round((proxy.memory() - before) / max(1, seen[0]), 2)}
    close(clients)
    return taken


async def orphans(proxy, before, count, seen):
    return await waiting(proxy, before, count, seen, leave=True)


async def slow_readers(proxy, before, count, seen):
    """The clients take what the kernel takes for them, and no more."""
    began, clients = time.monotonic(), []
    for _ in range(count):
        client = socket.socket()
        client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        client.connect(("127.0.0.1", proxy.port))
        client.sendall(get("/big"))
        clients.append(client)
    most = 0
    while seen[1] < count and time.monotonic() - began < PATIENCE:
        await asyncio.sleep(0.2)
        most = max(most, proxy.memory() - before)
    free = round(time.monotonic() - began, 1) if seen[1] == count else None
    for client in clients:
        client.close()
    return {"count": count, "mib_at_most": round(most / 1024, 1), "backend_free_after_s": free,
            "answers_read": seen[1]}


async def storm(proxy, _, count, seen):
    """A page that takes its turn, and people who do not wait: each asks, leaves after 50 ms and asks again, four
    times, and only then waits."""
    async def person():
        for _ in range(4):
            _, writer = await asyncio.open_connection("127.0.0.1", proxy.port)
            writer.write(get("/page"))
            await asyncio.sleep(0.05)
            writer.close()
        reader, writer = await asyncio.open_connection("127.0.0.1", proxy.port)
        writer.write(get("/page"))
        answer = await asyncio.wait_for(reader.readuntil(b"\r\n"), PATIENCE)
        writer.close()
        return b" 200 " in answer
    began = time.monotonic()
    served = await asyncio.gather(*(person() for _ in range(count)), return_exceptions=True)
    return {"people": count, "served": served.count(True), "seconds": round(time.monotonic() - began, 1),
            "requests_at_the_backend": seen[0], "broken_there": seen[2]}


def close(clients):
    for _, writer in clients:
        writer.close()


RUN = dict(zip(KINDS, [idle, waiting, orphans, slow_readers, storm]))
