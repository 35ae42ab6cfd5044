"""A way that is slow, and not broken, is waited for as long as it was said."""

import msgspec
import pytest
from servers.faults import Delay

from lighterman import checksums
from lighterman.connections.azure_login import AzureLogins
from lighterman.stores.azure.access import Access
from lighterman.stores.azure.client import Client
from lighterman.stores.azure.configuration import configured
from lighterman.stores.contract import Key
from lighterman.stores.failures import Place
from lighterman.stores.http import Http
from lighterman.stores.network import Network
from lighterman.stores.windows import WindowBody

MIB = 1024 * 1024
CONNECT_SECONDS = 0.3
SLOW_SECONDS = 1.5
"""Far longer than it may take to connect, far shorter than a stall."""


def is_put(request):
    return request.method == "PUT"


@pytest.mark.parametrize("is_proxied", [False, True])
def test_the_first_body_of_a_connection_may_be_as_slow_as_any(s3_bucket, proxy_to, is_proxied):
    """A stalled transfer is cut after ``--stall-timeout``, also where its connection is new."""
    proxy = proxy_to(s3_bucket.endpoint)
    proxy.on(is_put, Delay(SLOW_SECONDS))
    network = Network(
        endpoint=proxy.url,
        connect_seconds=CONNECT_SECONDS,
        stall_seconds=30.0,
        concurrency=1,
        proxy=proxy.url if is_proxied else None,
    )
    http = Http(network, Place("c", "b", proxy.url, "", "nobody"))
    body = b"x" * 32 * MIB

    answer = http.send(
        "PUT",
        f"{s3_bucket.endpoint if is_proxied else proxy.url}/{s3_bucket.name}/slow",
        {"content-length": str(len(body))},
        body=lambda: iter([body]),
    )
    http.read_all(answer)
    http.close()

    assert 200 == answer.status
    assert {"slow": len(body)} == s3_bucket.contents()
    assert 1 == len(proxy.seen(is_put))


def test_the_first_block_of_a_connection_may_be_as_slow_as_any(azure_container, proxy_to, files):
    """Likewise where the cloud's own SDK sends."""
    proxy = proxy_to(azure_container.endpoint)
    account = azure_container.server.account
    connection = azure_container.connection(endpoint=f"{proxy.url}/{account}")
    login = AzureLogins(connection, {}).current()
    settings = configured(connection, login, {}, stall_seconds=30.0, concurrency=1)
    network = msgspec.structs.replace(settings.network, connect_seconds=CONNECT_SECONDS)
    client = Client(
        msgspec.structs.replace(settings, network=network), Access(account, key=login.account_key)
    )
    window = files.of(b"x" * 32 * MIB)
    proxy.on(is_put, Delay(SLOW_SECONDS))

    digest = checksums.of_window(checksums.MD5, window)
    client.stage(Key("slow"), "block", lambda: WindowBody(window), window.size_bytes, digest)
    found = client.blocks(Key("slow"))
    client.close()

    assert [("block", 32 * MIB)] == found.waiting
    assert 1 == len(proxy.seen(is_put))
