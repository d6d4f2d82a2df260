"""The proxies that are compared, one worker each, and the backend behind them."""

import pathlib
import re
import shutil
import socket
import subprocess
import time

NGINX = """daemon off; worker_processes 1; pid {folder}/{name}.pid; error_log {folder}/{name}.err;
events {{ worker_connections 50000; }}
http {{ access_log off; keepalive_requests 1000000000; keepalive_timeout 600s; client_max_body_size 0;
 client_body_temp_path {folder}/{name}-1; proxy_temp_path {folder}/{name}-2; fastcgi_temp_path {folder}/{name}-3;
 uwsgi_temp_path {folder}/{name}-4; scgi_temp_path {folder}/{name}-5; {http} }}
"""
BACKEND = """server {{ listen 127.0.0.1:{backend} backlog=16384; root {folder}/files; default_type text/plain;
 location = /small {{ return 200 "hello, world, this is a small answer of some sixty-four bytes.\\n"; }}
 location = /upload {{ client_max_body_size 0; return 200 "taken"; }} }}"""
PEER = """upstream b {{ server 127.0.0.1:{backend}; keepalive 64; keepalive_requests 1000000000; }}
server {{ listen 127.0.0.1:{port} backlog=16384; {listen}
 location / {{ proxy_pass http://b; proxy_http_version 1.1; proxy_set_header Connection "";
 proxy_ignore_client_abort on; proxy_read_timeout 600s; proxy_max_temp_file_size 1024m; }} }}"""
HAPROXY = """global
 maxconn 9500
 nbthread 1
 no strict-limits
defaults
 mode http
 option http-buffer-request
 http-reuse always
 timeout connect 5s
 timeout client 600s
 timeout server 600s
frontend f
 bind 127.0.0.1:{port} backlog 16384
 {bind}
 default_backend b
backend b
 server s 127.0.0.1:{backend} pool-max-conn 64
"""
VARNISH = """vcl 4.1; backend default {{ .host = "127.0.0.1"; .port = "{backend}"; .first_byte_timeout = 600s; }}
sub vcl_recv {{ return (pass); }}
"""
CADDY = """{{
 admin off
 auto_https off
 servers {{
  protocols h1 h2 h2c
 }}
}}
http://127.0.0.1:{port} {{
 reverse_proxy 127.0.0.1:{backend}
}}
{site}
"""
ENVOY = """static_resources:
  listeners:
  - address: {{ socket_address: {{ address: 127.0.0.1, port_value: {port} }} }}
    filter_chains:
    - filters:
      - name: envoy.filters.network.http_connection_manager
        typed_config:
          "@type": type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager
          stat_prefix: f
          codec_type: AUTO
          route_config: {{ virtual_hosts: [{{ name: v, domains: ["*"], routes: [{{ match: {{ prefix: "/" }}, route: {{ cluster: b, timeout: 0s }} }}] }}] }}
          http_filters: [{{ name: envoy.filters.http.router, typed_config: {{ "@type": type.googleapis.com/envoy.extensions.filters.http.router.v3.Router }} }}]
  clusters:
  - name: b
    type: STATIC
    circuit_breakers: {{ thresholds: [{{ max_connections: 45000, max_pending_requests: 45000, max_requests: 45000 }}] }}
    load_assignment: {{ cluster_name: b, endpoints: [{{ lb_endpoints: [{{ endpoint: {{ address: {{ socket_address: {{ address: 127.0.0.1, port_value: {backend} }} }} }} }}] }}] }}
"""


class Peer:
    def __init__(self, program, version, command, files, http2=False, tls=False):
        self.program, self.version, self.command = program, version, command
        self.files, self.http2, self.tls = files, http2, tls


ALL = {
    "nginx": Peer("nginx", "-v", "nginx -c {folder}/nginx.conf -p {folder}",
                  {"nginx.conf": NGINX.replace("{http}", PEER).replace("{name}", "nginx")}, True, True),
    "HAProxy": Peer("haproxy", "-v", "haproxy -db -f {folder}/haproxy.cfg", {"haproxy.cfg": HAPROXY}, True, True),
    "Varnish": Peer("varnishd", "-V", "varnishd -F -n {folder}/varnish -a 127.0.0.1:{port} -f {folder}/v.vcl "
                    "-p thread_pools=1 -p thread_pool_max=5000", {"v.vcl": VARNISH}),
    "Caddy": Peer("caddy", "version", "env GOMAXPROCS=1 HOME={folder} caddy run --adapter caddyfile "
                  "--config {folder}/Caddyfile", {"Caddyfile": CADDY}, True, True),
    "Envoy": Peer("envoy", "--version", "envoy --concurrency 1 -l off -c {folder}/envoy.yaml", {"envoy.yaml": ENVOY}, True),
}
# nginx speaks HTTP/2 without TLS at a port of its own; the others find out.
TLS = {
    "nginx": "listen 127.0.0.1:{tls} ssl; ssl_certificate {folder}/c.pem; ssl_certificate_key {folder}/k.pem; "
             "keepalive_disable none;",
    "HAProxy": "bind 127.0.0.1:{tls} ssl crt {folder}/both.pem",
    "Caddy": "https://127.0.0.1:{tls} {{\n tls {folder}/c.pem {folder}/k.pem\n reverse_proxy 127.0.0.1:{backend}\n}}",
}


class Proxy:
    """One that runs: its ports, and all of its processes."""

    def __init__(self, name, process, ports, can_http2, can_tls):
        self.name, self.process = name, process
        self.port, self.tls_port, self.http2_port = ports
        self.can_http2, self.can_tls = can_http2, can_tls

    def pids(self):
        found, todo = [], [self.process.pid]
        while todo:
            found.append(pid := todo.pop())
            for children in pathlib.Path(f"/proc/{pid}/task").glob("*/children"):
                todo += [int(child) for child in children.read_text().split()]
        return found

    def cpu(self):
        """Microseconds, of all its processes."""
        fields = [pathlib.Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split() for pid in self.pids()]
        return sum(int(one[11]) + int(one[12]) for one in fields) * 10_000

    def memory(self):
        """KiB that are its own, of all its processes."""
        texts = [pathlib.Path(f"/proc/{pid}/status").read_text() for pid in self.pids()]
        return sum(int(n) for text in texts for n in re.findall(r"Rss(?:Anon|Shmem):\s+(\d+)", text))


def free_port():
    with socket.create_server(("127.0.0.1", 0)) as probe:
        return probe.getsockname()[1]


def run(command, folder, **more):
    log = open(folder / "said", "a")
    return subprocess.Popen(command, stdout=log, stderr=log, cwd=folder, **more)


class Stage:
    """The backend and all proxies, running."""

    def __init__(self, folder, binary, tls=False, backend_port=None, slots=32):
        self.folder, self.binary, self.tls, self.slots = folder, binary, tls, slots
        self.backend_port = backend_port or free_port()
        self.owns_backend = backend_port is None
        self.processes, self.proxies = [], []

    def __enter__(self):
        (self.folder / "files").mkdir(exist_ok=True)
        for name, size in [("16k", 1 << 14), ("1m", 1 << 20), ("64m", 1 << 26)]:
            file = self.folder / "files" / name
            if not file.exists():
                file.write_bytes(b"x" * size)
        if self.tls and not (self.folder / "both.pem").exists():
            subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256",
                            "-nodes", "-days", "2", "-subj", "/CN=localhost", "-keyout", self.folder / "k.pem",
                            "-out", self.folder / "c.pem"], check=True, capture_output=True)
            both = (self.folder / "c.pem").read_text() + (self.folder / "k.pem").read_text()
            (self.folder / "both.pem").write_text(both)
        if self.owns_backend:
            text = NGINX.replace("{http}", BACKEND).format(
                folder=self.folder, name="backend", backend=self.backend_port)
            (self.folder / "backend.conf").write_text(text)
            self.processes.append(run(["nginx", "-c", self.folder / "backend.conf", "-p", self.folder], self.folder))
        self.seawall()
        for name, peer in ALL.items():
            if shutil.which(peer.program):
                self.peer(name, peer)
        for proxy in self.proxies:
            self.wait(proxy)
        return self

    def seawall(self):
        port, tls = free_port(), free_port()
        listen = f'[[listen]]\naddress = "127.0.0.1:{port}"\n'
        if self.tls:
            cert = f'{{ cert = "{self.folder}/c.pem", key = "{self.folder}/k.pem" }}'
            listen += f'[[listen]]\naddress = "127.0.0.1:{tls}"\ntls = {cert}\n'
        (self.folder / "proxy.toml").write_text(
            f'{listen}[[backend]]\nurl = "http://127.0.0.1:{self.backend_port}"\n'
            f'max_concurrency = {self.slots}\n[client]\nexchanges = 1000000\norphans = 1000000\nconnections = 1000000\n'
            f'[spool]\ntotal_disk = "64GiB"\n[log]\nformat = "json"\n[runtime]\nworkers = 1\n')
        log = open(self.folder / "access", "w")
        process = subprocess.Popen([self.binary, "--config", self.folder / "proxy.toml"], stdout=log,
                                   stderr=open(self.folder / "said", "a"), cwd=self.folder)
        self.add(Proxy("seawall", process, (port, tls, port), True, True))

    def peer(self, name, peer):
        port, tls, http2 = free_port(), free_port(), free_port()
        more = TLS.get(name, "") if self.tls else ""
        names = dict(folder=self.folder, backend=self.backend_port, port=port, tls=tls)
        more = more.format(**names)
        if name == "nginx":
            more += f" listen 127.0.0.1:{http2} http2;"
        else:
            http2 = port
        for file, text in peer.files.items():
            (self.folder / file).write_text(text.format(**names, listen=more, bind=more, site=more))
        process = run(peer.command.format(**names).split(), self.folder)
        self.add(Proxy(name, process, (port, tls, http2), peer.http2, peer.tls))

    def add(self, proxy):
        self.processes.append(proxy.process)
        self.proxies.append(proxy)

    def wait(self, proxy):
        for _ in range(200):
            try:
                return socket.create_connection(("127.0.0.1", proxy.port)).close()
            except ConnectionRefusedError:
                time.sleep(0.1)
        raise SystemExit(f"{proxy.name} does not listen: {(self.folder / 'said').read_text()[-2000:]}")

    def versions(self):
        said = {"seawall": [self.binary, "--version"]}
        said |= {one.name: [ALL[one.name].program, ALL[one.name].version] for one in self.proxies[1:]}
        of = lambda command: subprocess.run(command, capture_output=True, text=True)
        number = lambda out: re.search(r"\d+\.\d+(\.\d+)?", out.stdout + out.stderr).group()
        return {name: number(of(command)) for name, command in said.items()}

    def __exit__(self, *_):
        for process in self.processes:
            process.terminate()
        for process in self.processes:
            try:
                process.wait(timeout=10)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
