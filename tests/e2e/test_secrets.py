"""No credential ever reaches a log, a report, an error text or argv, at any level."""

import json
import os
import secrets

import msgspec
import pytest
from program import Program

SECRET = secrets.token_urlsafe(30) + "/+"
TOKEN = secrets.token_urlsafe(60)


def options(endpoint, **more):
    return {"endpoint": endpoint, "region": "us-east-1", **more}


def mounted(directory):
    place = directory / "secret"
    place.mkdir()
    (place / "AWS_ACCESS_KEY_ID").write_text("AKIDEXAMPLE\n")
    (place / "AWS_SECRET_ACCESS_KEY").write_text(SECRET + "\n")
    (place / "AWS_SESSION_TOKEN").write_text(TOKEN)
    return {"secret": {"name": "s", "mountPath": str(place)}}


def mounted_json(directory):
    place = directory / "secret"
    place.mkdir()
    keys = {"AWS_ACCESS_KEY_ID": "AKIDEXAMPLE", "AWS_SECRET_ACCESS_KEY": SECRET}
    (place / "keys.json").write_text(json.dumps(keys))
    return {"secret": {"name": "s", "mountPath": str(place)}}


def in_the_catalog(_directory):
    return {"env": {"AWS_ACCESS_KEY_ID": "AKIDEXAMPLE", "AWS_SECRET_ACCESS_KEY": SECRET}}


def as_client_kwargs(_directory):
    keys = {"aws_access_key_id": "AKIDEXAMPLE", "aws_secret_access_key": SECRET}
    return {"options": {"client_kwargs": keys}}


def in_the_environment(_directory):
    return {}


SOURCES = [mounted, mounted_json, in_the_catalog, as_client_kwargs, in_the_environment]
AMBIENT = {
    "AWS_ACCESS_KEY_ID": "AKIDEXAMPLE",
    "AWS_SECRET_ACCESS_KEY": SECRET,
    "AWS_SESSION_TOKEN": TOKEN,
}


@pytest.fixture(params=SOURCES, ids=lambda source: source.__name__)
def program_at(request, tmp_path):
    """Makes the program with the secret in one of its sources, for an endpoint and bucket."""

    def make(endpoint, bucket):
        extra = request.param(tmp_path)
        settings = {**options(endpoint), **extra.pop("options", {})}
        connection = {
            "name": "place",
            "kind": "s3",
            "schema": {"bucket": f"s3://{bucket}"},
            "options": settings,
            **extra,
        }
        (tmp_path / "catalog.json").write_bytes(msgspec.json.encode([connection]))
        environ = {
            "LIGHTERMAN_CATALOG": str(tmp_path / "catalog.json"),
            "LIGHTERMAN_RETRY_FOR": "1",
        }
        if request.param is in_the_environment:
            environ |= AMBIENT
        (tmp_path / "outputs").mkdir()
        (tmp_path / "outputs" / "a.txt").write_text("a")
        # Larger than what one request carries: its upload goes through the SDK.
        with (tmp_path / "outputs" / "large.bin").open("wb") as large:
            large.truncate(9 << 20)
        return Program(tmp_path, environ, [SECRET, TOKEN])

    return make


COMMANDS = [
    ("sync", "--connection", "place", "--path", "outputs"),
    ("init", "--connection", "place", "--to", "inputs"),
    ("run", "--connection", "place", "--path", "outputs", "--", "true"),
]


def test_what_works_shows_no_secret(program_at, s3_bucket):
    """Each run's stdout, log at debug level and report are searched."""
    program = program_at(s3_bucket.endpoint, s3_bucket.name)
    assert [program.run(*command).code for command in COMMANDS] == [0, 0, 0]
    assert (program.directory / "inputs" / "large.bin").stat().st_size == 9 << 20


def test_what_fails_shows_no_secret(program_at, s3_bucket, closed_port, proxy_to):
    """Nor do errors: a bucket that isn't there, refusals with the store's own words, no server at all."""
    program = program_at(s3_bucket.endpoint, "not-there-" + secrets.token_hex(4))
    assert [program.run(*command).code for command in COMMANDS] == [78, 78, 78]
    catalog = program.directory / "catalog.json"
    catalog.write_text(
        catalog.read_text().replace(s3_bucket.endpoint, f"http://127.0.0.1:{closed_port}")
    )
    assert [program.run(*command).code for command in COMMANDS] == [75, 75, 75]


def test_a_proxys_password_is_masked_too(tmp_path, closed_port):
    """An error text may quote the URL of the proxy that refused."""
    environ = AMBIENT | {
        "AWS_ENDPOINT_URL": "http://store.test",
        "HTTP_PROXY": f"http://user:{TOKEN}@127.0.0.1:{closed_port}",
        "LIGHTERMAN_RETRY_FOR": "1",
    }
    finished = Program(tmp_path, environ, [SECRET, TOKEN]).run("init", "s3://bucket", "inputs")
    assert finished.code == 75
    assert "proxy" in finished.report["error"]["message"] + finished.report["error"]["hint"]


def test_scrub_env_takes_the_credentials_out_of_the_childs_environment(tmp_path, s3_bucket):
    """`run` passes its environment on (`--scrub-env` takes the credentials out)."""
    (tmp_path / "outputs").mkdir()
    program = Program(tmp_path, AMBIENT | {"AWS_ENDPOINT_URL": s3_bucket.endpoint, "MINE": "kept"})
    command = ("--connection", f"s3://{s3_bucket.name}", "--path", "outputs")
    seen = program.run("run", *command, "--", "env").stdout
    assert SECRET in seen
    scrubbed = program.run("run", "--scrub-env", *command, "--", "env").stdout
    assert "MINE=kept" in scrubbed
    assert SECRET not in scrubbed
    assert TOKEN not in scrubbed


def test_no_secret_is_in_the_arguments_of_any_process(program_at, s3_bucket):
    """Nothing is started with a credential on its command line."""
    program = program_at(s3_bucket.endpoint, s3_bucket.name)
    running = program.start(
        "run", "--connection", "place", "--path", "outputs", "--", "sh", "-c", "read line"
    )
    running.wait_for_event("run.started")
    lines = []
    for process in os.listdir("/proc"):
        if process.isdigit():
            try:
                with open(f"/proc/{process}/cmdline", "rb") as file:
                    lines.append(file.read().decode(errors="replace"))
            except OSError:  # it ended meanwhile
                continue
    running.finish()
    assert any("run\0--connection\0place" in line for line in lines)
    assert not any(SECRET in line or TOKEN in line for line in lines)
