"""
The pictures of docs/status.md: a sidecar at work, and one that fails, in light and dark.

    screenshots.py    writes docs/img/status-*.png; the sidecar, its bucket and the trouble are real (a minute)
"""

import sys
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

REPOSITORY = Path(__file__).parents[2]
sys.path[:0] = [str(REPOSITORY), str(REPOSITORY / "tests")]

from servers.buckets import S3Bucket
from servers.faults import Slow, is_part, is_put, s3_error, slow_down
from servers.processes import moto_server
from servers.proxy import Proxy
from serving import Served
from waiting import eventually
from webdriver import Browser, chromium

from lighterman.stores import open_store
from lighterman.transfer.settings import TransferSettings

IMAGES = REPOSITORY / "docs" / "img"
WIDTH, HEIGHT = 1080, 900
MIB = 1 << 20


@contextmanager
def at_work(directory: Path) -> Iterator[tuple[Served, Proxy]]:
    """A sidecar whose bucket is behind a line of its own."""
    with moto_server(directory / "moto.log") as endpoint, Proxy(endpoint) as proxy:
        bucket = S3Bucket(endpoint, "experiments").create()
        connection = bucket._replace(endpoint=proxy.url).connection("s3-experiments")
        store = open_store(connection, {}, TransferSettings(), concurrency=8)
        served = Served(directory, store, workers=4, settle_seconds=0.5)
        try:
            yield served, proxy
        finally:
            proxy.forget()
            served.stop()
            store.close()


def job(served: Served, over: threading.Event) -> None:
    """Checkpoints, metrics and a log, as training writes them."""
    step = 0
    with (served.root / "train.log").open("w") as log:
        while not over.wait(1.0):
            step += 1
            log.write(f"step {step}\n")
            log.flush()
            served.write(f"metrics/step-{step:04d}.json", b"{}" * 2000)
            if step % 8 == 0:
                served.write(f"checkpoints/step-{step:04d}.safetensors", bytes(24 * MIB))
            if step == 20:
                served.write("samples/grid.png.tmp", bytes(3 * MIB))


def picture(browser: Browser, name: str) -> None:
    for scheme in ("light", "dark"):
        browser.prefer(scheme)
        (IMAGES / f"status-{name}-{scheme}.png").write_bytes(browser.picture())


def main() -> None:
    with tempfile.TemporaryDirectory(prefix="job-") as scratch, chromium(Path(scratch)) as browser:
        directory = Path(scratch)
        over = threading.Event()
        with at_work(directory) as (served, proxy):
            proxy.on(lambda request: is_put(request) or is_part(request), Slow(3 * MIB), times=None)
            writer = threading.Thread(target=job, args=(served, over))
            writer.start()
            browser.resize(WIDTH, HEIGHT)
            browser.open(served.url)
            eventually(lambda: served.told()["uptime_seconds"] > 35, seconds=60)
            eventually(lambda: served.told()["backlog"]["bytes"] > 10 * MIB, seconds=30)
            eventually(lambda: len(browser.texts("[data-is=waiting-table] tbody tr")) > 2)
            picture(browser, "healthy")
            proxy.forget()
            denied = s3_error(403, "AccessDenied", "Access Denied")
            proxy.on(
                lambda request: is_put(request) and "metrics/" in request.path, denied, times=None
            )
            proxy.on(lambda request: request.method == "POST", denied, times=None)
            proxy.on(lambda request: is_put(request) or is_part(request), slow_down(), times=None)
            eventually(lambda: browser.texts("#word")[0].startswith("not ready"), seconds=90)
            eventually(lambda: len(browser.texts("[data-is=failed-table] tbody tr")) > 2)
            picture(browser, "failing")
            over.set()
            writer.join()


if __name__ == "__main__":
    main()
