"""A proxy that opens no way to the store: who refused is named, with the code that tells what to do about it."""

import base64
import json
import secrets

import pytest
from program import Program
from servers.faults import Answer

COMMANDS = {
    "init": ("init", "--connection", "data", "--to", "inputs"),
    "sync": ("sync", "--connection", "data", "--path", "outputs"),
}
CLOSED = "closed port"
ANSWERS = [
    (407, 77, "wants another login before it goes to https://", "options.proxy"),
    (403, 78, "doesn't let us through to https://", "NO_PROXY"),
    (502, 75, "can't get through to https://", "check the proxy's health"),
    (CLOSED, 75, "it refuses the connection", "options.proxy"),
]
SECRET = base64.b64encode(secrets.token_bytes(30)).decode()
"""A key for S3 and for Azure alike."""


@pytest.fixture(params=["s3", "gcs", "wasb"])
def connection(request):
    """A connection to a store that nobody can reach but by a proxy: no such names resolve (RFC 2606)."""
    if request.param == "s3":
        keys = {"AWS_ACCESS_KEY_ID": "AKIDDATA", "AWS_SECRET_ACCESS_KEY": SECRET}
        bucket, endpoint = "s3://box", "https://s3.invalid"
    elif request.param == "gcs":
        key_file = request.getfixturevalue("gcs").service_account()
        key_file |= {"token_uri": "https://tokens.invalid/token"}
        keys = {"GC_KEYFILE_DICT": json.dumps(key_file)}
        bucket, endpoint = "gs://box", "https://gcs.invalid"
    else:
        keys = {"AZURE_STORAGE_ACCOUNT": "acct", "AZURE_STORAGE_KEY": SECRET}
        bucket, endpoint = "wasbs://box", "https://acct.blob.invalid"
    return {
        "name": "data",
        "kind": request.param,
        "schema": {"bucket": bucket},
        "env": keys,
        "options": {"endpoint": endpoint},
    }


@pytest.fixture
def port_of(proxy_to, closed_port):
    """The port of a proxy that answers so to whoever wants to go through it."""

    def port(answer):
        if answer == CLOSED:
            return closed_port
        proxy = proxy_to("http://127.0.0.1:1")
        proxy.on(lambda r: r.method == "CONNECT", Answer(answer, b"<html>squid</html>"), times=None)
        return proxy.port

    return port


@pytest.mark.parametrize("command", COMMANDS)
@pytest.mark.parametrize(
    ("answer", "code", "said", "hint"), ANSWERS, ids=[str(answer[0]) for answer in ANSWERS]
)
def test_a_proxy_that_opens_no_way_is_named(
    connection, port_of, tmp_path, command, answer, code, said, hint
):
    """77 for its login, 78 for what it forbids, 75 for what may pass; its address, and never its login."""
    port = port_of(answer)
    connection["options"]["proxy"] = f"http://someone:pass-word-of-proxy@127.0.0.1:{port}"
    (tmp_path / "outputs").mkdir()
    (tmp_path / "outputs" / "result").write_bytes(b"result")
    environ = {"LIGHTERMAN_CATALOG": json.dumps([connection])}
    program = Program(tmp_path, environ, [SECRET, "pass-word-of-proxy", "PRIVATE KEY"])

    ended = program.run(*COMMANDS[command], "--retry-for", "1")

    error = ended.report["error"]
    assert (code, code) == (ended.code, error["code"]), ended.stderr[-2000:]
    assert f"the proxy 127.0.0.1:{port}" in error["message"]
    assert said in error["message"]
    assert hint in error["hint"]
    assert ended.report["retries"] == 0 or code == 75
    assert [f"{command}.failed"] == [e["event"] for e in ended.events if e["level"] == "error"]
    assert [] == [each for each in (tmp_path / "inputs").rglob("*") if each.is_file()]
