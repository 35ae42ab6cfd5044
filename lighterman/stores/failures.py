"""
What is the same for every cloud when something goes wrong: the place that an error names, and what it means
that no answer came.

Foreign texts are looked at, never passed on: a URL or header in them could hold a credential.
"""

import re
from typing import Final, NamedTuple

from lighterman.errors import ConfigurationError, LightermanError, TransientError


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


_CERTIFICATE: Final = re.compile(r"certificate|UnknownIssuer|NotValidForName", re.IGNORECASE)
_NO_NAME: Final = re.compile(
    r"dns error|resolv|Name or service not known|getaddrinfo|No address associated"
    r"|Temporary failure in name resolution",
    re.IGNORECASE,
)
_REFUSED: Final = re.compile(r"Connection ?refused", re.IGNORECASE)
_TIMEOUT: Final = re.compile(r"timed ?out|timeout", re.IGNORECASE)


def broken(place: Place, text: str, key: str = "") -> LightermanError:
    """What it means that no answer came; ``text`` is what the engine says about it."""
    if _CERTIFICATE.search(text):
        return ConfigurationError(
            f"the certificate of {place.endpoint} isn't trusted, or is for another name",
            hint="give the connection the CA that signed it: options.ca_bundle or AWS_CA_BUNDLE",
            connection=place.connection,
            key=key,
        )
    if _NO_NAME.search(text):
        why, hint = "its name doesn't resolve", "check the endpoint's spelling, and the DNS"
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
