"""The login of straight requests as it is for now, and one signer for each kind of them."""

from collections.abc import Callable
from typing import Final, NamedTuple
from urllib.parse import urlsplit

from lighterman.stores.s3.configuration import S3Settings
from lighterman.stores.s3.login import Keys, Login
from lighterman.stores.s3.signing import NOTHING, Signer

_LOOK_SECONDS: Final = 1.0
"""How long a login is used before it is looked at again: a mounted secret may have changed."""


class Access(NamedTuple):
    """A bucket's settings and the login to it, as they are for now."""

    settings: S3Settings
    login: Login


class Kind(NamedTuple):
    """What requests of one kind have in common (see :class:`Signer`)."""

    method: str
    more: tuple[tuple[str, str], ...]
    given: tuple[str, ...] = ()
    """Names in their order."""
    body: str = NOTHING


class Signers:
    """Signs requests to the place that ``settings`` tell. ``current`` tells how it is logged in now."""

    def __init__(self, settings: S3Settings, current: Callable[[], Access]) -> None:
        url = urlsplit(settings.base_url)
        self.host = url.netloc.rpartition("@")[2]
        self.root = url.path
        self._current = current
        self._at = (settings.base_url, settings.region)
        self._region = settings.region
        self._keys: Keys | None = None
        self._of_kinds: dict[Kind, Signer] = {}
        self._look_at = 0.0
        self._is_elsewhere = False

    def is_here(self, now: float) -> bool:
        """Whether the login is still one for this place: another may have brought an endpoint or a region."""
        if not 0 <= self._look_at - now <= _LOOK_SECONDS:
            self._look(now)
        return not self._is_elsewhere

    def fields(
        self, kind: Kind, path: str, now: float, *, query: str = "", values: tuple[str, ...] = ()
    ) -> str:
        """The header fields of a request, signed if there is a login. ``is_here`` comes first."""
        if self._keys is None:
            unsigned = (*kind.more, *zip(kind.given, values, strict=True))
            return "".join(f"{name}: {value}\r\n" for name, value in unsigned)
        signer = self._of_kinds.get(kind)
        if signer is None:
            signer = self._of_kinds[kind] = self._signer(kind, self._keys)
        return signer.fields(path, now, method=kind.method, query=query, values=values)

    def _signer(self, kind: Kind, keys: Keys) -> Signer:
        more = dict(kind.more)
        return Signer(self.host, self._region, keys, more, given=kind.given, body=kind.body)

    def _look(self, now: float) -> None:
        access = self._current()
        self._is_elsewhere = self._at != (access.settings.base_url, access.settings.region)
        keys = access.login.keys()
        if keys != self._keys:
            self._keys, self._of_kinds = keys, {}
        self._look_at = now + _LOOK_SECONDS
