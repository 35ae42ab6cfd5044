"""
How an endpoint is reached: TLS, proxy, timeouts, sockets. The same decisions for every cloud, and the same
settings for each engine.
"""

import os
import re
from collections.abc import Mapping
from datetime import timedelta
from typing import TYPE_CHECKING, Any, Final, TypeVar
from urllib.parse import urlsplit

import msgspec

from lighterman.connections.model import Connection
from lighterman.connections.names import login_in_url
from lighterman.errors import ConfigurationError
from lighterman.secret import Secret

if TYPE_CHECKING:
    import urllib3

_Pools = TypeVar("_Pools", bound="urllib3.PoolManager")

CONNECT_SECONDS: Final = 10.0
"""How long a connection may take to open; a pod's first packets can be slow to find their way."""
USER_AGENT: Final = "lighterman"
_NEVER: Final = timedelta(days=365)
"""obstore's ``timeout`` counts a whole body; a stall is what ``read_timeout`` is for."""


class Network(msgspec.Struct, frozen=True, kw_only=True):
    """The way to one endpoint."""

    endpoint: str
    """Scheme, host and port, with a path where the endpoint has one; no slash at its end."""
    verify: bool | str = True
    """Whether the server's certificate is checked; a path is the CA bundle to check it with."""
    proxy: str | None = None
    """With its scheme, and its login where it has one; ``None``: straight."""
    connect_seconds: float = CONNECT_SECONDS
    stall_seconds: float
    concurrency: int
    """How many requests there are at once."""
    user_agent: str = USER_AGENT

    @property
    def proxy_host(self) -> str:
        """The proxy without its login, as errors may name it; ``""`` where there is none."""
        return urlsplit(self.proxy).netloc.rpartition("@")[2] if self.proxy else ""

    def obstore_options(self) -> dict[str, Any]:
        """Obstore's ``client_options``."""
        options: dict[str, Any] = {
            "allow_http": self.endpoint.startswith("http://"),
            "connect_timeout": timedelta(seconds=self.connect_seconds),
            "read_timeout": timedelta(seconds=self.stall_seconds),
            "timeout": _NEVER,
            "pool_max_idle_per_host": str(self.concurrency),
            "user_agent": self.user_agent,
        }
        if self.proxy is not None:
            options["proxy_url"] = self.proxy
        if self.verify is False:
            options["allow_invalid_certificates"] = True
        elif isinstance(self.verify, str):
            with open(self.verify, "rb") as file:
                options["root_certificate"] = file.read()
        return options

    def pool(self) -> "urllib3.PoolManager":
        """A pool of urllib3's; the caller clears it."""
        import urllib3

        arguments: dict[str, Any] = {
            "num_pools": 2,
            "maxsize": self.concurrency,
            "timeout": urllib3.Timeout(connect=self.connect_seconds, read=self.stall_seconds),
        }
        if self.verify is False:
            arguments["cert_reqs"] = "CERT_NONE"
            silence_unverified()
        elif isinstance(self.verify, str):
            arguments["ca_certs"] = self.verify
        if self.proxy is None:
            return self.patient(urllib3.PoolManager(**arguments))
        parsed = urllib3.util.parse_url(self.proxy)
        if parsed.auth:
            arguments["proxy_headers"] = urllib3.make_headers(proxy_basic_auth=parsed.auth)
        return self.patient(urllib3.ProxyManager(self.proxy, **arguments))

    def patient(self, pools: _Pools) -> _Pools:
        """
        Pools of urllib3's whose new connections have ``stall_seconds`` for each piece of a body: urllib3 sends
        the first one in the time that is meant for connecting.
        """
        from urllib3.connection import HTTPConnection, HTTPSConnection
        from urllib3.connectionpool import HTTPConnectionPool, HTTPSConnectionPool

        stall_seconds = self.stall_seconds

        class Plain(HTTPConnection):
            def connect(self) -> None:
                super().connect()
                self.sock.settimeout(stall_seconds)

        class Tls(HTTPSConnection):
            def connect(self) -> None:
                super().connect()
                self.sock.settimeout(stall_seconds)

        class PlainPool(HTTPConnectionPool):
            ConnectionCls = Plain

        class TlsPool(HTTPSConnectionPool):
            ConnectionCls = Tls

        pools.pool_classes_by_scheme = {"http": PlainPool, "https": TlsPool}
        return pools


def silence_unverified() -> None:
    """Whoever turned verification off knows it: a warning for each request says nothing."""
    import urllib3

    urllib3.disable_warnings(urllib3.exceptions.InsecureRequestWarning)


def check_bundle(path: str, connection: str, setting: str) -> None:
    """``ConfigurationError`` for a CA bundle that no engine could read; ``setting`` is where it is said."""
    problem = "isn't there"
    if os.path.exists(path):
        import ssl

        try:
            ssl.create_default_context(cafile=path)
        except OSError:  # also ssl.SSLError: no certificate in it, or a damaged one
            problem = "is no file of PEM certificates that can be read"
        else:
            return
    raise ConfigurationError(
        f"the CA bundle {path} {problem}",
        hint=f"mount it, or correct {setting}",
        connection=connection,
    )


def proxy_for(
    connection: Connection, environ: Mapping[str, str], endpoint: str, *, configured: str = ""
) -> str | None:
    """
    The proxy to an endpoint, with its scheme: ``options.proxy``, what the SDK's own settings say
    (``configured``), else HTTPS_PROXY, HTTP_PROXY, ALL_PROXY and NO_PROXY in either case.
    ``ConfigurationError`` for one that can be none.
    """
    proxy = connection.options.proxy or configured or _ambient_proxy(environ, endpoint)
    if not proxy:
        return None
    proxy = proxy if "://" in proxy else f"http://{proxy}"
    if login := login_in_url(proxy):
        # An error text may quote the URL; what became a Secret is masked there.
        Secret(login)
        Secret(login.partition(":")[2])
    if not _is_proxy(proxy):
        raise ConfigurationError(
            f"the proxy of connection {connection.name!r} is no URL of one",
            hint="write it like http://proxy.example:3128, in options.proxy or HTTP(S)_PROXY",
            connection=connection.name,
        )
    return proxy


def _is_proxy(url: str) -> bool:
    try:
        parsed = urlsplit(url)
        is_whole = bool(parsed.hostname) and parsed.port != 0
    except ValueError:  # a port above 65535, an IPv6 address that is none
        return False
    return parsed.scheme in ("http", "https") and is_whole and not re.search(r"\s", url)


def _ambient_proxy(environ: Mapping[str, str], endpoint: str) -> str | None:
    scheme = urlsplit(endpoint).scheme
    proxy = _either_case(environ, f"{scheme}_proxy") or _either_case(environ, "all_proxy")
    if not proxy:
        return None
    from urllib.request import proxy_bypass_environment  # type: ignore[attr-defined]  # undocumented

    host = urlsplit(endpoint).netloc.rpartition("@")[2]
    if proxy_bypass_environment(host, {"no": _either_case(environ, "no_proxy") or ""}):
        return None
    return proxy


def _either_case(environ: Mapping[str, str], name: str) -> str | None:
    return environ.get(name) or environ.get(name.upper())
