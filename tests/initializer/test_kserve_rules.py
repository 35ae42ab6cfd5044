"""KServe's rules of what to do without a login, where the command line alone can't reach a server of the tests."""

import msgspec
import pytest
from servers.entra import Answer, TokenServer

from initializer.entries import Entry
from initializer.job import carry_out
from initializer.kserve import by_its_rules
from lighterman.command import Context
from lighterman.errors import NoCredentialsError

NOBODY = Answer(400, {"error": "invalid_request", "error_description": "Identity not found"})


@pytest.fixture
def machine(monkeypatch):
    """A machine whose metadata service knows of no managed identity."""
    with TokenServer() as metadata:
        metadata.replies = [NOBODY] * 4
        monkeypatch.setenv("AZURE_POD_IDENTITY_AUTHORITY_HOST", metadata.url)
        yield metadata


@pytest.fixture
def bring(azure_tls_container, tmp_path):
    """Brings ``model`` of a container without any login; gives what came."""
    azure_tls_container.put("model/a.bin", b"a")
    known = azure_tls_container.connection(prefix="model")
    connection = msgspec.structs.replace(known, env={}, secret=None)

    def call(by):
        entry = Entry(connection="box", destination=str(tmp_path / "m"), workers=4)
        context = Context(environ={}, find_connection=lambda _: connection)
        by([entry], context)
        return sorted(path.name for path in (tmp_path / "m").glob("[!.]*"))

    return call


def test_a_public_container_of_azure_needs_no_login(azure_tls_container, machine, bring):
    """Where nothing says how to log in and the machine has no identity, it is asked as nobody."""
    azure_tls_container.make_public()
    assert bring(lambda entries, context: by_its_rules(carry_out, entries, context)) == ["a.bin"]


def test_only_kserves_call_goes_on_as_nobody(azure_tls_container, machine, bring):
    """Elsewhere a missing login is what it is (77)."""
    azure_tls_container.make_public()
    with pytest.raises(NoCredentialsError, match="was refused by"):
        bring(carry_out)
