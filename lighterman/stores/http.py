"""One request, sent by urllib3, for what the engines can't ask: with our errors where no answer comes."""

import threading
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, Final, TypeAlias

from lighterman.errors import LightermanError
from lighterman.stores.contract import Digest, Window
from lighterman.stores.failures import Place, broken, refused_by_proxy
from lighterman.stores.network import Network
from lighterman.stores.windows import CHUNK_BYTES, write_at

if TYPE_CHECKING:
    import urllib3

ATTEMPTS: Final = 2
"""A connection that the server let go while it was idle breaks at its next use: once more, on a new one."""

Response: TypeAlias = Any
"""urllib3's ``BaseHTTPResponse``, its body not read yet: ``release_conn`` or ``close`` it."""


NoAnswer: TypeAlias = Callable[[Place, str, str], LightermanError]
"""What it means that no answer came: place, the engine's text, key."""


class Http:
    """Requests to one place. Threads share its pool of connections."""

    def __init__(self, network: Network, place: Place, no_answer: NoAnswer = broken) -> None:
        self._network = network
        self._place = place
        self._no_answer = no_answer
        self._lock = threading.Lock()
        self._pool: urllib3.PoolManager | None = None

    def send(
        self,
        method: str,
        url: str,
        headers: Mapping[str, str],
        *,
        key: str = "",
        body: Callable[[], Any] | None = None,
        attempts: int = ATTEMPTS,
    ) -> Response:
        """
        One request to exactly this URL; whatever the answer's status is, it is returned, but for a proxy's 407.
        ``body`` gives the bytes, the file or the pieces to send, anew for each attempt. ``TransientError`` and
        what else ``broken`` makes of no answer.
        """
        import urllib3.exceptions

        pool = self._connections().connection_from_url(url)
        # Given whole, a URL would lose its dot segments; a proxy in clear text has to be given it whole.
        through_proxy = self._network.proxy and url.startswith("http://")
        target = url if through_proxy else "/" + url.split("/", 3)[3]
        for attempt in range(1, attempts + 1):
            try:
                response = pool.urlopen(
                    method,
                    target,
                    body=body() if body else None,
                    headers=headers,
                    preload_content=False,
                    redirect=False,
                    retries=False,
                    assert_same_host=False,
                )
            except urllib3.exceptions.ProtocolError as error:
                if attempt == attempts:
                    raise self._no_answer(self._place, str(error), key) from error
            except urllib3.exceptions.HTTPError as error:
                raise self._no_answer(self._place, str(error), key) from error
            else:
                if response.status == 407:  # no store's, but a proxy's in clear text
                    response.close()
                    raise refused_by_proxy(self._place, response.status, key)
                return response
        raise AssertionError

    def read_all(self, response: Response, key: str = "") -> bytes:
        """The rest of an answer's body."""
        import urllib3.exceptions

        try:
            body: bytes = response.read(decode_content=False)
        except urllib3.exceptions.HTTPError as error:
            raise self._no_answer(self._place, str(error), key) from error
        return body

    def copy_body(self, response: Response, window: Window, digest: Digest | None, key: str) -> int:
        """The body into a window, as it came, as far as either goes; returns how many bytes came."""
        import urllib3.exceptions

        done = 0
        try:
            while done < window.size_bytes:
                wanted = min(CHUNK_BYTES, window.size_bytes - done)
                data = response.read(wanted, decode_content=False)
                if not data:
                    break
                if digest is not None:
                    digest.update(data)
                done += write_at(window.descriptor, data, window.start + done)
        except urllib3.exceptions.HTTPError as error:
            raise self._no_answer(self._place, str(error), key) from error
        return done

    def close(self) -> None:
        """Let go of the connections."""
        if self._pool is not None:
            self._pool.clear()

    def _connections(self) -> "urllib3.PoolManager":
        with self._lock:
            if self._pool is None:
                self._pool = self._network.pool()
            return self._pool
