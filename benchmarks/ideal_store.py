"""
An ideal store for benchmarks: nginx, which serves ranges by ``sendfile`` and listings that were prepared as
files, so that what is measured is the client. Whatever has to be asked of it costs it next to nothing.

Objects have the ETag that the listing has, and ``If-Match`` holds. A listing of a part of a bucket is made by
``ideal_store.lua``. Signatures aren't checked. A second port answers after ``LATENCY_MILLISECONDS``.
"""

import contextlib
import os
import shutil
import socket
import subprocess
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final, NamedTuple

from buckets import MODIFIED

LATENCY_MILLISECONDS: Final = 20
_READY_TRIES: Final = 200
_TICKS_A_SECOND: Final = os.sysconf("SC_CLK_TCK")

MODULES: Final = "\n".join(
    f"load_module /usr/lib/nginx/modules/{name}.so;"
    for name in ("ndk_http_module", "ngx_http_lua_module")
)

# `keepalive_requests`: its default of 1,000 would make clients connect again in mid-row. The backlog takes all of
# a client's first connections at once. `tcp_nopush` puts an answer's head and its bytes into one packet.
_CONFIGURATION = """
{modules}
worker_processes auto;
pid {root}/nginx.pid;
error_log {root}/error.log;
events {{ worker_connections 4096; multi_accept on; }}
http {{
  log_format sent "$body_bytes_sent $request_uri";
  access_log {log};
  sendfile on;
  tcp_nopush on;
  tcp_nodelay on;
  etag off;
  keepalive_requests 10000000;
  keepalive_time 24h;
  default_type application/octet-stream;
  client_body_temp_path {root}/body;
  proxy_temp_path {root}/proxy;
  fastcgi_temp_path {root}/fastcgi;
  uwsgi_temp_path {root}/uwsgi;
  scgi_temp_path {root}/scgi;
  map $args $page {{ default 0; "~continuation-token=(?<token>[0-9]+)" $token; }}
  lua_package_path "{here}/?.lua;;";
  init_by_lua_block {{
    local store = require "ideal_store"
    store.modified = "{modified}"
    store.serve("{root}")
  }}
  {servers}
}}
"""
_SERVER = """
  server {{
    listen 127.0.0.1:{port} backlog=4096;
    rewrite ^/(?<bucket>[^/]+)/?$ /listings/$bucket/$page.xml break;
    rewrite ^ /objects$uri break;
    rewrite_by_lua_block {{ require("ideal_store").answer({wait_seconds}) }}
    root {root};
  }}
"""


class Ideal(NamedTuple):
    """A running store: its two endpoints, where its buckets are, and the process."""

    endpoint: str
    slow_endpoint: str
    root: Path
    pid: int

    def cpu_seconds(self) -> float:
        """What nginx's workers used up to this moment, in steps of the kernel's tick (10 ms)."""
        ticks = 0
        for worker in Path(f"/proc/{self.pid}/task/{self.pid}/children").read_text().split():
            fields = Path(f"/proc/{worker}/stat").read_text().rpartition(")")[2].split()
            ticks += int(fields[11]) + int(fields[12])
        return ticks / _TICKS_A_SECOND


@contextmanager
def ideal_store(root: Path, log: Path | None = None) -> Iterator[Ideal]:
    """
    Serve the buckets that are in ``root`` (see ``buckets.add_bucket``) for the length of the block. ``log`` gets a
    line for each answer: how many bytes of its body were sent, and what was asked for.
    """
    quick, slow = free_ports(2)
    configuration = _CONFIGURATION.format(
        root=root,
        log="off" if log is None else f"{log} sent",
        here=Path(__file__).parent,
        modified=MODIFIED,
        modules=MODULES,
        servers=two_servers(_SERVER, root, quick, slow),
    )
    with nginx(root, configuration, quick, slow) as found:
        yield found


def two_servers(server: str, root: Path, quick: int, slow: int) -> str:
    """Of one server's configuration: one that answers at once, and one that waits before."""
    return server.format(port=quick, root=root, wait_seconds=0) + server.format(
        port=slow, root=root, wait_seconds=LATENCY_MILLISECONDS / 1000
    )


@contextmanager
def nginx(root: Path, configuration: str, quick: int, slow: int) -> Iterator[Ideal]:
    """Nginx with that configuration, and its logs in ``root``, for the length of the block."""
    file = root / "nginx.conf"
    file.write_text(configuration)
    command = [nginx_program(), "-e", str(root / "error.log"), "-c", str(file), "-g", "daemon off;"]
    # In a session of its own, so that Ctrl-C ends the programs first and nginx by this block's end.
    process = subprocess.Popen(command, start_new_session=True)
    try:
        found = Ideal(f"http://127.0.0.1:{quick}", f"http://127.0.0.1:{slow}", root, process.pid)
        _wait_until_ready(process, found)
        yield found
    finally:
        process.terminate()
        process.wait()


def nginx_program() -> str:
    """Where nginx is; ends the benchmark with how to get it, where it isn't."""
    nginx = shutil.which("nginx", path=f"{os.environ['PATH']}:/usr/sbin")
    if nginx is None or not Path("/usr/lib/nginx/modules/ngx_http_lua_module.so").exists():
        raise SystemExit(
            "nginx with its Lua module is missing: apt-get install nginx-light libnginx-mod-http-lua"
        )
    return nginx


def nginx_version() -> str:
    """As ``nginx -v`` says it, on stderr: ``nginx version: nginx/1.22.1``."""
    said = subprocess.run([nginx_program(), "-v"], check=True, capture_output=True, text=True)
    return said.stderr.strip().rpartition("/")[2]


def free_ports(count: int) -> list[int]:
    with contextlib.ExitStack() as stack:
        probes = [stack.enter_context(socket.socket()) for _ in range(count)]
        for probe in probes:
            probe.bind(("127.0.0.1", 0))
        return [probe.getsockname()[1] for probe in probes]


def _wait_until_ready(process: subprocess.Popen[bytes], found: Ideal) -> None:
    for _ in range(_READY_TRIES):
        if process.poll() is not None:
            break
        try:
            urllib.request.urlopen(found.endpoint)  # noqa: S310 - this machine's own nginx
        except urllib.error.HTTPError:
            return
        except OSError:
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(0.02)
        else:
            return
    said = (found.root / "error.log").read_text(errors="replace")[-2000:]
    raise SystemExit(f"nginx did not start: {said}")
