"""Places and ways that are no store's: what is said names them, whichever cloud was meant."""

import json

import places
import pytest
from program import Program
from servers.faults import Answer

FRESH = {"s3": "s3_bucket", "gcs": "gcs_bucket", "wasb": "azure_container"}
COMMANDS = {
    "init": ("init", "--connection", "bucket", "--to", "inputs"),
    "sync": ("sync", "--connection", "bucket", "--path", "outputs", "--to", "out"),
}


@pytest.fixture(params=FRESH)
def place(request):
    """A place of each cloud."""
    return request.getfixturevalue(FRESH[request.param])


@pytest.fixture
def front(place, proxy_to):
    """What answers in the store's stead, or between."""
    server = place.server.url if hasattr(getattr(place, "server", None), "url") else place.endpoint
    return proxy_to(server)


@pytest.fixture
def ended(place, tmp_path):
    """Runs a command over the place with these options more."""

    def run(command, **options):
        catalog = places.catalog(place, tmp_path)
        document = json.loads(catalog.read_text())
        document["connections"][0]["options"] |= options
        catalog.write_text(json.dumps(document))
        (tmp_path / "outputs").mkdir()
        (tmp_path / "outputs" / "result").write_bytes(b"result")
        environ = {"LIGHTERMAN_CATALOG": str(catalog), "LIGHTERMAN_RETRY_FOR": "1"}
        return Program(tmp_path, environ, places.secrets_of(place)).run(*COMMANDS[command])

    return run


def is_for_the_bucket(request):
    return "/token" not in request.path


@pytest.mark.parametrize("command", COMMANDS)
@pytest.mark.parametrize("body", [b"", b"<html>Not Found</html>"], ids=["empty", "a web server"])
def test_an_endpoint_that_knows_no_bucket_is_configuration(place, front, ended, command, body):
    """78, not 66: the connection is what is wrong, not what the job declared."""
    front.on(is_for_the_bucket, Answer(404, body), times=None)

    finished = ended(command, endpoint=places.through(place, front.url).endpoint)

    error = finished.report["error"]
    assert (78, "bucket_missing") == (finished.code, error["kind"])
    assert place.name in error["message"]
    assert "127.0.0.1" in error["message"]
    assert "endpoint" in error["hint"]


@pytest.mark.parametrize("command", COMMANDS)
def test_a_proxy_in_clear_text_that_wants_a_login_is_named(front, ended, command):
    """407 is no store's answer: whose login lacks is said, in the way to a token too."""
    front.on(lambda _: True, Answer(407), times=None)

    finished = ended(command, proxy=f"http://127.0.0.1:{front.port}")

    error = finished.report["error"]
    assert (77, 0) == (finished.code, finished.report["retries"])
    assert f"the proxy 127.0.0.1:{front.port} wants another login" in error["message"]
    assert "options.proxy" in error["hint"]


def test_a_proxy_in_clear_text_may_be_who_refuses(place, front, ended):
    """A 403 that bears no word of the store's: the proxy is mentioned beside the permissions."""
    front.on(is_for_the_bucket, Answer(403), times=None)

    finished = ended("init", proxy=f"http://127.0.0.1:{front.port}")

    assert 77 == finished.code
    assert f"the proxy 127.0.0.1:{front.port}" in finished.report["error"]["hint"]
