"""
A sink for benchmarks: nginx, which takes PUTs into files of a tmpfs, so that what is measured is the client. Whatever
has to be asked of it costs it next to nothing; what was put is listed. An object that came by parts is a directory of
them.

An ETag tells a name and a size, and is no MD5. Signatures aren't checked. A second port answers after
``LATENCY_MILLISECONDS``.
"""

import shutil
import urllib.request
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from ideal_store import MODULES, Ideal, free_ports, nginx, two_servers

_BLOCK_BYTES: Final = 1 << 20

_CONFIGURATION = """
{modules}
worker_processes auto;
pid {root}/nginx.pid;
error_log {root}/error.log;
events {{ worker_connections 4096; multi_accept on; }}
http {{
  access_log off;
  lua_shared_dict objects 128m;
  lua_shared_dict uploads 4m;
  tcp_nodelay on;
  etag off;
  keepalive_requests 10000000;
  keepalive_time 24h;
  client_max_body_size 0;
  client_body_buffer_size 256k;
  client_body_temp_path {root}/body;
  proxy_temp_path {root}/proxy;
  fastcgi_temp_path {root}/fastcgi;
  uwsgi_temp_path {root}/uwsgi;
  scgi_temp_path {root}/scgi;
  default_type application/octet-stream;
  lua_package_path "{here}/?.lua;;";
  init_by_lua_block {{ require("sink").serve("{root}") }}
  {servers}
}}
"""
_SERVER = """
  server {{
    listen 127.0.0.1:{port} backlog=4096;
    root {root};
    dav_methods PUT;
    create_full_put_path on;
    dav_access user:rw group:r all:r;
    rewrite_by_lua_block {{ require("sink").asked({wait_seconds}) }}
    header_filter_by_lua_block {{ require("sink").answered() }}
  }}
"""


@contextmanager
def sink(root: Path) -> Iterator[Ideal]:
    """Take what is put for the length of the block, below ``root``, which nginx's user may write."""
    quick, slow = free_ports(2)
    for name in ("objects", "parts"):
        (root / name).mkdir()
        (root / name).chmod(0o777)
    configuration = _CONFIGURATION.format(
        root=root,
        here=Path(__file__).parent,
        modules=MODULES,
        servers=two_servers(_SERVER, root, quick, slow),
    )
    with nginx(root, configuration, quick, slow) as found:
        yield found


def changes(store: Ideal) -> int:
    """How often something was put, or all was emptied."""
    return int(_asked(store, "changes") or 0)


def empty_sink(store: Ideal) -> None:
    """Nothing was ever put."""
    for name in ("objects", "parts"):
        for each in (store.root / name).iterdir():
            shutil.rmtree(each)
    _asked(store, "empty")


def check_objects(
    program: str, store: Ideal, bucket: str, tree: Path, sizes: Mapping[str, int]
) -> None:
    """Every file must be an object of its bytes; ends the benchmark where one isn't."""
    objects = store.root / "objects" / bucket
    for name, size_bytes in sizes.items():
        with (tree / name).open("rb") as wanted:
            for part in _parts(program, objects / name):
                with part.open("rb") as found:
                    while block := found.read(_BLOCK_BYTES):
                        if wanted.read(len(block)) != block:
                            raise SystemExit(f"{program} sent other bytes than those of {name}")
            if wanted.tell() != size_bytes or wanted.read(1):
                raise SystemExit(f"{program} sent not all of {name}")


def count_objects(store: Ideal, bucket: str) -> int:
    """How many there are; what came by parts is one."""
    root = store.root / "objects" / bucket
    # A part has a number for its name, and no extension as the trees' files have.
    return len(
        {each.parent if each.name.isdigit() else each for each in root.rglob("*") if each.is_file()}
    )


def _parts(program: str, path: Path) -> list[Path]:
    if path.is_dir():
        return sorted(path.iterdir(), key=lambda part: int(part.name))
    if not path.exists():
        raise SystemExit(f"{program} did not send {path.name}")
    return [path]


def _asked(store: Ideal, what: str) -> bytes:
    with urllib.request.urlopen(f"{store.endpoint}/-/{what}") as answer:  # noqa: S310 - this machine's own nginx
        said: bytes = answer.read()
    return said
