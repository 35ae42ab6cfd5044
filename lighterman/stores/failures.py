"""
What is the same for every cloud when something goes wrong: the place that an error names, and what it means
that no answer came.

Foreign texts are looked at, never passed on: a URL or header in them could hold a credential.
"""

import re
from typing import Final, NamedTuple

from lighterman.errors import (
    ConfigurationError,
    CredentialsError,
    LightermanError,
    SourceChangedError,
    TransientError,
)
from lighterman.stores.contract import ETag


class Place(NamedTuple):
    """What an error's text says about where it happened."""

    connection: str
    bucket: str
    endpoint: str
    region: str
    """Where the cloud has such; else ``""``."""
    login: str
    """Where the credentials came from."""
    proxy: str = ""
    """Host and port of the proxy on the way; its login is no part of it."""
    empty_mounts: tuple[str, ...] = ()
    """Declared mounts in which no login was found, so that another is used."""
    unmounted: tuple[str, ...] = ()
    """What is to be said likewise of those that have no mountPath."""
    ca_setting: str = "options.ca_bundle"
    """Where this kind of connection is told its CA bundle."""

    def with_mounts(self, hint: str) -> str:
        """The hint of a refused login: also where the one that was meant may be missing."""
        said = [hint, *self.unmounted]
        if self.empty_mounts:
            where = " and ".join(self.empty_mounts)
            said.append(
                f"no login was found in {where}, where the connection declares one: is it mounted?"
            )
        return "; ".join(said)


_CERTIFICATE: Final = re.compile(r"certificate|UnknownIssuer|NotValidForName", re.IGNORECASE)
_NO_NAME: Final = re.compile(
    r"dns error|resolv|Name or service not known|getaddrinfo|No address associated"
    r"|Temporary failure in name resolution",
    re.IGNORECASE,
)
_REFUSED: Final = re.compile(r"Connection ?refused", re.IGNORECASE)
_TIMEOUT: Final = re.compile(r"timed ?out|(?<!retry_)timeout", re.IGNORECASE)
"""``retry_timeout`` is a setting that obstore quotes in each of its errors."""
_TUNNEL: Final = re.compile(r"Tunnel connection failed: (\d{3})")
_PROXY_LOGIN: Final = re.compile(r"ProxyAuth")


def broken(place: Place, text: str, key: str = "") -> LightermanError:
    """What it means that no answer came; ``text`` is what the engine says about it."""
    if tunnel := _TUNNEL.search(text):
        return refused_by_proxy(place, int(tunnel[1]), key)
    if _PROXY_LOGIN.search(text):
        return refused_by_proxy(place, 407, key)
    if _CERTIFICATE.search(text):
        return ConfigurationError(
            f"the certificate of {place.endpoint} isn't trusted, or is for another name",
            hint=f"give the connection the CA that signed it: {place.ca_setting}",
            connection=place.connection,
            key=key,
        )
    if _NO_NAME.search(text):
        why, hint = "its name doesn't resolve", "check the endpoint's spelling, and the DNS"
    elif "TunnelUnsuccessful" in text:
        why, hint = "no way through", "check the endpoint's health"
    elif _REFUSED.search(text):
        why, hint = (
            "it refuses the connection",
            "check the endpoint's host and port, and its health",
        )
    elif _TIMEOUT.search(text):
        why, hint = (
            "no answer came in time",
            "check the endpoint's health, and firewalls on the way",
        )
    else:
        why, hint = (
            "the connection broke",
            "check whether the endpoint speaks http or https, its port, and its health",
        )
    way = place.endpoint
    if place.proxy:
        way += f" through the proxy {place.proxy}"
        hint = f"{hint}, and those of the proxy (options.proxy, HTTP(S)_PROXY)"
    return TransientError(
        f"no answer from {way}: {why}", hint=hint, connection=place.connection, key=key
    )


def require_same(place: Place, told: str, etag: ETag, key: str) -> None:
    """
    ``SourceChangedError`` where an answer's own ETag, as its header has it, says that it is another object's:
    some stores don't look at ``If-Match``. One that tells none is believed.
    """
    if not is_same(told, etag):
        raise SourceChangedError(
            f"{key!r} is another object by now", connection=place.connection, key=key
        )


def is_same(told: str, etag: ETag) -> bool:
    """Whether an ETag as an answer's header has it, with quotes and perhaps weakened, is that one, or missing."""
    return not told or told.removeprefix("W/").strip('"') == etag


def refused_by_proxy(place: Place, status: int, key: str = "") -> LightermanError:
    """What it means that the proxy itself answered, with this status."""
    way = f"the proxy {place.proxy}" if place.proxy else "a proxy on the way"
    kind: type[LightermanError] = ConfigurationError
    what = f"doesn't let us through to {place.endpoint}"
    hint = "let it allow that host, or go past it: NO_PROXY, or another options.proxy"
    if status == 407:
        kind, what = CredentialsError, f"wants another login before it goes to {place.endpoint}"
        hint = "give it one: http://USER:PASSWORD@HOST:PORT, in options.proxy or HTTP(S)_PROXY"
    elif status >= 500 or status == 429:
        kind, what = TransientError, f"can't get through to {place.endpoint}"
        hint = "check the proxy's health, and the endpoint's"
    return kind(f"{way} {what} ({status})", hint=hint, connection=place.connection, key=key)
