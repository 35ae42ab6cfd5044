"""Requests to the GCS server of the tests as they are on the wire."""

import json
from collections.abc import Iterator
from urllib.parse import quote

import pytest
from servers.gcs import GcsBucket, GcsServer
from servers.wire import Wire


@pytest.fixture
def wire(gcs: GcsServer) -> Iterator[Wire]:
    """A connection to the server."""
    made = Wire(gcs.endpoint)
    yield made
    made.close()


@pytest.fixture
def begin(wire: Wire, gcs_bucket: GcsBucket):
    """Begins resumable sessions; gives their URIs."""

    def session(key: str, query: str = "", fields: dict | None = None, **headers: str) -> str:
        path = (
            f"/upload/storage/v1/b/{gcs_bucket.name}/o?uploadType=resumable&name={quote(key, '')}"
        )
        answer = wire.ask("POST", path + query, json.dumps(fields or {}).encode(), **headers)
        assert 200 == answer.status, answer.body
        return str(answer.headers["Location"])

    return session
