"""Load on a proxy, and what it costs."""

import pathlib
import re
import subprocess
import tempfile

# What is asked of all, under load: path, connections, and what differs from plain GETs.
KINDS = {
    "small": dict(path="/small", connections=64),
    "16 KiB": dict(path="/16k", connections=64),
    "1 MiB": dict(path="/1m", connections=16),
    "64 MiB": dict(path="/64m", connections=4),
    "upload 1 MiB": dict(path="/upload", connections=16, upload=1 << 20),
    "new connection": dict(path="/small", connections=64, close=True),
    "HTTP/2": dict(path="/small", connections=4, streams=100),
    "TLS": dict(path="/small", connections=64, tls=True),
}

# What a browser says of itself when it is sent somewhere.
BROWSER = (
    "Host: localhost:8080\r\nConnection: keep-alive\r\n"
    "Cache-Control: max-age=0\r\nUpgrade-Insecure-Requests: 1\r\n"
    "User-Agent: Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 Chrome/126.0.0.0 Safari/537.36\r\n"
    "Accept: text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8\r\n"
    "Sec-Fetch-Site: none\r\nSec-Fetch-Mode: navigate\r\nSec-Fetch-User: ?1\r\n"
    "Sec-Fetch-Dest: document\r\nAccept-Encoding: gzip, deflate, br\r\n"
    "Accept-Language: en-US,en;q=0.9\r\nCookie: session=0123456789abcdef0123456789abcdef\r\n"
)


def is_able(proxy, kind):
    return (not kind.get("streams") or proxy.can_http2) and (not kind.get("tls") or proxy.can_tls)


def run(proxy, kind, seconds):
    """CPU time of the proxy for each request, and how many it served in a second."""
    before = proxy.cpu()
    number = over_http2(proxy, kind, seconds) if kind.get("streams") else over_http1(proxy, kind, seconds)
    cpu = proxy.cpu() - before
    if not number:
        # Large answers of a slow one may all be under way at the end; or it was left out.
        return None
    return {"cpu_us": round(cpu / number, 2), "per_second": number / seconds}


def over_http1(proxy, kind, seconds):
    scheme, port = ("https", proxy.tls_port) if kind.get("tls") else ("http", proxy.port)
    command = ["wrk", "-t1", "-c", str(kind["connections"]), "-d", f"{seconds}s", "--timeout", "60s"]
    if kind.get("close"):
        command += ["-H", "Connection: close"]
    with tempfile.NamedTemporaryFile("w", suffix=".lua") as script:
        if kind.get("upload"):
            script.write(f'wrk.method = "POST"\nwrk.body = string.rep("x", {kind["upload"]})\n')
            script.flush()
            command += ["-s", script.name]
        said = subprocess.run([*command, f"{scheme}://127.0.0.1:{port}{kind['path']}"],
                              capture_output=True, text=True, check=True).stdout
    number = int(re.search(r"(\d+) requests in", said).group(1))
    wrong = re.search(r"Non-2xx.*: (\d+)", said)
    if not wrong:
        return number
    if proxy.name == "seawall":
        raise SystemExit(f"{proxy.name} answered {kind}: {said}")
    # Others send a POST over a connection that the backend is about to close, now and then.
    print(f"{kind['path']}: {proxy.name}: {wrong.group(1)} of {number} are no answers: a round left out", flush=True)
    return 0


def over_http2(proxy, kind, seconds):
    url = f"http://127.0.0.1:{proxy.http2_port}{kind['path']}"
    said = subprocess.run(["h2load", "-c", str(kind["connections"]), "-m", str(kind["streams"]),
                           "-D", str(seconds), url], capture_output=True, text=True, check=True).stdout
    found = re.search(r"status codes: (\d+) 2xx, (\d+) 3xx, (\d+) 4xx, (\d+) 5xx", said)
    if not found or any(int(found.group(n)) for n in (2, 3, 4)):
        raise SystemExit(f"{proxy.name} over HTTP/2: {said}")
    return int(found.group(1))


def latency(port, rate, seconds):
    """Microseconds from a request to its answer: p50, p99, p99.9."""
    clients = 32
    with tempfile.TemporaryDirectory() as folder:
        log = pathlib.Path(folder) / "log"
        subprocess.run(["h2load", "--h1", "-c", str(clients), f"--rps={rate / clients:.2f}", "-D", str(seconds),
                        f"--log-file={log}", f"http://127.0.0.1:{port}/small"], capture_output=True, check=True)
        took = sorted(int(line.split()[2]) for line in log.read_text().splitlines())
    return [took[min(len(took) - 1, int(len(took) * part))] for part in (0.5, 0.99, 0.999)]
