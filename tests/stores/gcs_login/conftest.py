"""A connection's source of tokens, as a store makes it, and what stands between it and Google."""

import json
import threading

import pytest

from lighterman.connections.gcs_login import GcsLogin, GcsLogins
from lighterman.connections.model import Bucket, Connection, Options
from lighterman.stores.failures import Place
from lighterman.stores.gcs.login import Login, login_of
from lighterman.stores.network import Network, proxy_for


class HandClock:
    """A clock that stands still until it is told otherwise."""

    def __init__(self) -> None:
        self.now_seconds = 100.0

    def monotonic(self) -> float:
        return self.now_seconds

    def wall(self) -> float:
        return self.now_seconds

    def wait(self, seconds: float, until: threading.Event | None = None) -> bool:
        self.now_seconds += seconds
        return bool(until and until.is_set())


@pytest.fixture
def clock() -> HandClock:
    return HandClock()


@pytest.fixture
def log_in(clock):
    """The token source of a connection, as a store makes it; closed at the test's end."""
    made: list[Login] = []

    def log_in(credentials=None, environ=None, stall_seconds=10.0, **fields) -> Login:
        env = {"GOOGLE_KEYFILE_DICT": json.dumps(credentials)} if credentials else {}
        connection = Connection(
            name="mine", kind="gcs", schema=Bucket("gs://b"), **{"env": env} | fields
        )
        login: GcsLogin = GcsLogins(connection, environ or {}).current()

        def reach(endpoint: str) -> Network:
            return Network(
                endpoint=endpoint,
                verify=login.verify,
                proxy=proxy_for(connection, environ or {}, endpoint),
                stall_seconds=stall_seconds,
                concurrency=1,
            )

        place = Place("mine", "b", "https://storage.googleapis.com", "", login.source)
        made.append(login_of(login, place, reach, clock))
        return made[-1]

    yield log_in
    for login in made:
        login.close()


@pytest.fixture
def endpoint(gcs, proxy_to):
    """The proxy before the token endpoint."""
    return proxy_to(gcs.endpoint)


@pytest.fixture
def key(gcs, endpoint) -> dict[str, str]:
    """A service account's key file, whose tokens are asked for through the proxy."""
    return gcs.service_account() | {"token_uri": f"{endpoint.url}/token"}


@pytest.fixture
def google(gcs, proxy_to, authority):
    """An HTTPS proxy that leads to the tests' server in the place of Google, whatever is asked for."""
    return proxy_to(gcs.endpoint, connect_tls=authority.server)


@pytest.fixture
def by_google(google, authority) -> dict[str, object]:
    """Fields of a connection that reaches Google through that proxy, with the CA that vouches for it."""
    return {"options": Options(proxy=google.url, ca_bundle=str(authority.ca_bundle))}
