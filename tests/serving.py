"""A sidecar in this process, over a real place, with a clock that a test can move, and its status over HTTP."""

import json
import threading
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any, NamedTuple

from lighterman.clock import SystemClock
from lighterman.stores.contract import Store
from lighterman.transfer.settings import TransferSettings
from lighterman.transfer.tally import Tally
from sidecar.journal import Journal
from sidecar.loop import Loop
from sidecar.options import Options
from sidecar.place import Hold
from sidecar.service import Service
from sidecar.status.address import Address, listening
from sidecar.status.server import StatusServer

LONGEST_WAIT_SECONDS = 0.05


class LeapingClock(SystemClock):
    """The real one, further on by what it leapt; waits between attempts are short."""

    def __init__(self) -> None:
        self.leapt = 0.0

    def monotonic(self) -> float:
        return super().monotonic() + self.leapt

    def wait(self, seconds: float, until: threading.Event | None = None) -> bool:
        return super().wait(min(seconds, LONGEST_WAIT_SECONDS), until)


class Answered(NamedTuple):
    """What the server said."""

    status: int
    headers: dict[str, str]
    text: str

    @property
    def json(self) -> Any:
        return json.loads(self.text)


def ask(url: str, method: str = "GET", data: bytes | None = None, **headers: str) -> Answered:
    """One request. Header names are written with ``_`` for ``-``."""
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    request = urllib.request.Request(url, data=data, method=method, headers=named)
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        with opener.open(request, timeout=60) as answer:
            return Answered(answer.status, dict(answer.headers), answer.read().decode())
    except urllib.error.HTTPError as error:
        with error:
            return Answered(error.code, dict(error.headers), error.read().decode())


class Served:
    """Runs from its making to ``stop``, which drains."""

    def __init__(self, directory: Path, store: Store, **options: Any) -> None:
        self.root = directory / "outputs"
        self.root.mkdir(exist_ok=True)
        self._done = directory / "done"
        self.clock = LeapingClock()
        self.tally = Tally()
        self._journal = Journal.open(str(directory / "state"), f"{store.destination}/out")
        self._hold = Hold(str(self.root))
        self._loop = Loop()
        self.service = Service(
            Options(
                root=str(self.root),
                prefix="out",
                state=str(directory / "state"),
                done_file=str(self._done),
                **{"settle_seconds": 0.1} | options,
            ),
            store,
            self._journal,
            loop=self._loop,
            settings=TransferSettings(memory_bytes=64 << 20, retry_seconds=1e6),
            clock=self.clock,
            tally=self.tally,
            device=self._hold.device,
            told=None,
        )
        listener = listening(Address("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{listener.getsockname()[1]}"
        self.server = StatusServer(listener, [self.service.board])
        self._errors: list[BaseException] = []
        self._thread = threading.Thread(target=self._run)
        self._thread.start()

    def _run(self) -> None:
        try:
            self.service.run()
        except BaseException as error:  # noqa: BLE001 - the test is told
            self._errors.append(error)

    def leap(self, seconds: float) -> None:
        """So much later. Who waits looks at the clock again."""
        self.clock.leapt += seconds
        self._loop.post(lambda: None)

    def write(self, name: str, content: bytes = b"x") -> Path:
        path = self.root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
        return path

    def ask(self, path: str, method: str = "GET", **headers: Any) -> Answered:
        return ask(self.url + path, method, **headers)

    def told(self) -> Any:
        """The outputs of ``/status``."""
        return self.ask("/status").json["outputs"][0]

    def stop(self) -> list[BaseException]:
        """Main has ended. Gives what the run raised."""
        self._done.write_text("")
        self._thread.join(60)
        assert not self._thread.is_alive()
        self.server.close()
        self.service.close()
        self._journal.close()
        self._loop.dismiss()
        self._loop.close()
        self._hold.release()
        return self._errors
