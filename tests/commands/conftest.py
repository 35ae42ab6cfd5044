"""The program with catalogs that the tests write, and its answers."""

import secrets

import msgspec
import pytest
from program import Program


@pytest.fixture
def program_with(tmp_path):
    """Makes the program with these connections as its catalog; ``hidden`` must not be seen in what it says."""

    def make(*entries, hidden=(), **environ):
        catalog = tmp_path / "catalog.json"
        catalog.write_bytes(msgspec.json.encode(list(entries)))
        return Program(tmp_path, {"LIGHTERMAN_CATALOG": str(catalog)} | environ, list(hidden))

    return make


@pytest.fixture
def bucket(s3_bucket):
    """A bucket of moto's, which takes any secret: so each test has its own."""
    return s3_bucket._replace(secret_access_key=secrets.token_urlsafe(30))
