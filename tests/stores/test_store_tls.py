"""``ca_bundle`` for every cloud: a server whose certificate only the tests' own authority vouches for."""

import re
from urllib.parse import urlsplit

import pytest
from servers.windows import content_of

from lighterman.connections.model import Connection
from lighterman.errors import ConfigurationError, LightermanError
from lighterman.stores.contract import Attributes, Key, Window

PART = 5 * 1024 * 1024
OWN_VARIABLE = {"s3": ["AWS_CA_BUNDLE"], "gcs": ["REQUESTS_CA_BUNDLE"], "wasb": []}


def ca_variables(hint: str) -> list[str]:
    """The variables that it names: only what the kind reads."""
    return re.findall(r"[A-Z]+_CA_BUNDLE", hint)


@pytest.fixture(params=["s3_bucket", "gcs_bucket", "azure_container"])
def place(request):
    """An empty bucket or container of each cloud."""
    return request.getfixturevalue(request.param)


@pytest.fixture
def over_tls(place, proxy_to, authority):
    """Makes connections to the place, over TLS."""

    def make(**options) -> Connection:
        proxy = proxy_to(place.endpoint, tls=authority.server)
        return place.connection(endpoint=proxy.url + urlsplit(place.endpoint).path, **options)

    return make


def test_bytes_pass_over_tls_with_the_ca_bundle(over_tls, authority, opened, files, place):
    """With the authority's certificate, everything that a store does goes over TLS."""
    store = opened(over_tls(ca_bundle=str(authority.ca_bundle)))
    store.write(Key("small"), files.of(b"small"), Attributes())
    whole = files.of(b"x" * PART + b"tail")
    upload = store.begin(Key("large"), Attributes(), part_bytes=PART)
    parts = [
        store.send_part(Key("large"), upload, 1, Window(whole.descriptor, 0, PART)),
        store.send_part(Key("large"), upload, 2, Window(whole.descriptor, PART, 4)),
    ]
    store.finish(Key("large"), upload, parts)
    found = {item.key: item for page in store.pages("") for item in page}
    assert {"small": 5, "large": PART + 4} == place.contents()
    window = files.of(b"\0" * 4)
    store.read_into(Key("large"), window, at=PART, etag=found[Key("large")].etag)
    assert b"tail" == content_of(window)


@pytest.mark.parametrize("act", ["list", "write", "begin", "read"])
def test_an_unknown_authority_is_named(over_tls, opened, files, place, act):
    """Without it the error says that the certificate isn't trusted, and what would mend that."""
    place.put("a", b"x")
    store = opened(over_tls())
    window = files.of(b"x")
    acts = {
        "list": lambda: list(store.pages("")),
        "write": lambda: store.write(Key("b"), window, Attributes()),
        "begin": lambda: store.begin(Key("b"), Attributes(), part_bytes=PART),
        "read": lambda: store.stat(Key("a")),
    }
    with pytest.raises(LightermanError) as refused:
        acts[act]()
    assert "certificate" in refused.value.message
    assert "ca_bundle" in str(refused.value.hint)
    assert OWN_VARIABLE[place.connection().kind] == ca_variables(refused.value.hint)


def test_a_ca_bundle_that_vanished_is_a_setting_that_is_off(
    over_tls, authority, opened, files, tmp_path
):
    """The errors of ``lighterman.errors`` and no others: also where an engine is opened late."""
    bundle = tmp_path / "ca.pem"
    bundle.write_bytes(authority.ca_bundle.read_bytes())
    store = opened(over_tls(ca_bundle=str(bundle)))
    bundle.unlink()

    with pytest.raises(ConfigurationError) as refused:
        store.write(Key("small"), files.of(b"small"), Attributes())

    assert "bundle" in refused.value.hint
