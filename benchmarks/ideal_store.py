"""
An ideal store for benchmarks: nginx, which serves ranges by ``sendfile`` and listings that were prepared as
files, so that what is measured is the client. Whatever has to be asked of it costs it next to nothing.

It checks no signature and no condition: ``If-Match`` is taken off, since nginx would compare it with an ETag of
its own making. A second port answers after ``LATENCY_SECONDS``.
"""

import hashlib
import json
import os
import random
import shutil
import socket
import subprocess
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final, NamedTuple
from xml.sax.saxutils import escape

import google_crc32c

LATENCY_SECONDS: Final = 0.02
MANIFEST: Final = ".lighterman-manifest.json"
_PAGE_KEYS: Final = 1000
_BLOCK_BYTES: Final = 1 << 20
_READY_TRIES: Final = 200

_CONFIGURATION = """
{modules}
worker_processes 2;
pid {root}/nginx.pid;
error_log {root}/error.log;
events {{ worker_connections 2048; }}
http {{
  access_log off;
  sendfile on;
  tcp_nopush on;
  keepalive_requests 1000000;
  default_type application/octet-stream;
  client_body_temp_path {root}/body;
  proxy_temp_path {root}/proxy;
  fastcgi_temp_path {root}/fastcgi;
  uwsgi_temp_path {root}/uwsgi;
  scgi_temp_path {root}/scgi;
  map $args $page {{ default 0; "~continuation-token=(?<token>[0-9]+)" $token; }}
  {servers}
}}
"""
_SERVER = """
  server {{
    listen 127.0.0.1:{port};
    rewrite ^/(?<bucket>[^/]+)/?$ /listings/$bucket/$page.xml break;
    rewrite ^ /objects$uri break;
    rewrite_by_lua_block {{ ngx.req.clear_header("If-Match") }}
    {wait}
    root {root};
  }}
"""


class Ideal(NamedTuple):
    """A running store: its two endpoints, and where its objects are."""

    endpoint: str
    slow_endpoint: str
    root: Path


@contextmanager
def ideal_store(root: Path) -> Iterator[Ideal]:
    """Serve the buckets that are in ``root`` (see ``add_bucket``) for the length of the block."""
    quick, slow = _free_ports(2)
    wait = f"access_by_lua_block {{ ngx.sleep({LATENCY_SECONDS}) }}"
    servers = _SERVER.format(port=quick, root=root, wait="") + _SERVER.format(
        port=slow, root=root, wait=wait
    )
    modules = "\n".join(
        f"load_module /usr/lib/nginx/modules/{name}.so;"
        for name in ("ndk_http_module", "ngx_http_lua_module")
    )
    file = root / "nginx.conf"
    file.write_text(_CONFIGURATION.format(root=root, modules=modules, servers=servers))
    nginx = shutil.which("nginx", path=f"{os.environ['PATH']}:/usr/sbin")
    if nginx is None:
        raise SystemExit("nginx is missing: apt-get install nginx-light libnginx-mod-http-lua")
    process = subprocess.Popen([nginx, "-c", str(file), "-g", "daemon off;"])
    try:
        found = Ideal(f"http://127.0.0.1:{quick}", f"http://127.0.0.1:{slow}", root)
        _wait_until_ready(process, found)
        yield found
    finally:
        process.terminate()
        process.wait()


def add_bucket(root: Path, name: str, sizes: dict[str, int], *, manifest: bool) -> None:
    """
    A bucket of random objects of these sizes, by their keys. In the listing the ETag of each is its MD5; with
    ``manifest`` it looks like that of an object that came by parts, and a manifest holds the CRC32C.
    """
    objects = root / "objects" / name
    rows, checksums = [], {}
    draw = random.Random(7)
    for key, size_bytes in sorted(sizes.items()):
        path = objects / key
        path.parent.mkdir(parents=True, exist_ok=True)
        md5, crc = hashlib.md5(usedforsecurity=False), 0
        with path.open("wb") as file:
            for start in range(0, size_bytes, _BLOCK_BYTES):
                block = draw.randbytes(min(_BLOCK_BYTES, size_bytes - start))
                md5.update(block)
                crc = google_crc32c.extend(crc, block)
                file.write(block)
        etag = f"{md5.hexdigest()}-{max(1, -(-size_bytes >> 23))}" if manifest else md5.hexdigest()
        rows.append((key, size_bytes, etag))
        checksums[key] = {"size_bytes": size_bytes, "crc32c": f"{crc:08x}"}
    if manifest:
        text = json.dumps({"version": 1, "files": checksums}).encode()
        (objects / MANIFEST).write_bytes(text)
        digest = hashlib.md5(text, usedforsecurity=False).hexdigest()
        rows.append((MANIFEST, len(text), digest))
    _write_listings(root / "listings" / name, name, sorted(rows))


def _write_listings(directory: Path, bucket: str, rows: list[tuple[str, int, str]]) -> None:
    directory.mkdir(parents=True)
    pages = [rows[at : at + _PAGE_KEYS] for at in range(0, len(rows), _PAGE_KEYS)]
    for number, page in enumerate(pages):
        is_last = number + 1 == len(pages)
        token = "" if is_last else f"<NextContinuationToken>{number + 1}</NextContinuationToken>"
        contents = "".join(
            f"<Contents><Key>{escape(key)}</Key><LastModified>2026-11-01T10:00:00.000Z</LastModified>"
            f"<ETag>&quot;{etag}&quot;</ETag><Size>{size}</Size><StorageClass>STANDARD</StorageClass></Contents>"
            for key, size, etag in page
        )
        (directory / f"{number}.xml").write_text(
            '<?xml version="1.0" encoding="UTF-8"?>'
            '<ListBucketResult xmlns="http://s3.amazonaws.com/doc/2006-03-01/">'
            f"<Name>{bucket}</Name><Prefix></Prefix><KeyCount>{len(page)}</KeyCount><MaxKeys>1000</MaxKeys>"
            f"<EncodingType>url</EncodingType><IsTruncated>{'false' if is_last else 'true'}</IsTruncated>"
            f"{token}{contents}</ListBucketResult>"
        )


def _free_ports(count: int) -> list[int]:
    probes = [socket.socket() for _ in range(count)]
    try:
        for probe in probes:
            probe.bind(("127.0.0.1", 0))
        return [probe.getsockname()[1] for probe in probes]
    finally:
        for probe in probes:
            probe.close()


def _wait_until_ready(process: subprocess.Popen[bytes], found: Ideal) -> None:
    for _ in range(_READY_TRIES):
        if process.poll() is not None:
            break
        try:
            urllib.request.urlopen(found.endpoint)  # noqa: S310 - this machine's own nginx
        except urllib.error.HTTPError:
            return
        except OSError:
            try:
                process.wait(0.02)
            except subprocess.TimeoutExpired:
                continue
        else:
            return
    raise SystemExit(f"nginx did not start; see {found.root}/error.log")
