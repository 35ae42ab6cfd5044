"""
Logins change while files are on their way: a mounted secret that is replaced, and a session that ends. The
server really refuses the login before, and no file fails.
"""

import json
import os
import re
from concurrent.futures import ThreadPoolExecutor
from urllib.parse import parse_qs

import pytest
from mounted_secret import MountedSecret
from program import Program
from rotating import RotatingAzure, RotatingGcs, RotatingS3
from servers.faults import Call, is_get, s3_error

MIB = 1024 * 1024
PAGE_KEYS = 1000
FILES = {f"small/{number:03}.txt": f"content {number}".encode() * 50 for number in range(60)}
FILES["large.bin"] = b"".join(bytes([number]) * MIB for number in range(30))


PLACES = {
    "s3": (RotatingS3, "account"),
    "gcs": (RotatingGcs, "gcs_bucket"),
    "wasb": (RotatingAzure, "azure_container"),
}


@pytest.fixture(params=PLACES)
def place(request):
    """A bucket whose logins can be replaced and withdrawn."""
    make, fixture = PLACES[request.param]
    return make(request.getfixturevalue(fixture))


@pytest.fixture
def front(place, proxy_to):
    return proxy_to(place.endpoint)


@pytest.fixture
def secret(place, tmp_path):
    mounted = MountedSecret(tmp_path / "secret")
    mounted.put(place.rotate())
    return mounted


@pytest.fixture
def program(place, front, secret, tmp_path):
    """The program with the bucket behind the proxy."""
    catalog = [place.entry(front.url, str(secret.root))]
    (tmp_path / "catalog.json").write_text(json.dumps(catalog))
    return Program(tmp_path, {"LIGHTERMAN_CATALOG": str(tmp_path / "catalog.json")})


@pytest.fixture
def rotate_at(place, front, secret):
    """In the middle of the transfer: the kubelet replaces the secret, and the login before is withdrawn."""

    def when(matches, after: int) -> None:
        def replace(_) -> None:
            secret.put(place.rotate())
            place.withdraw()

        front.on(matches, Call(replace), skip=after)

    return when


def write_all(root) -> None:
    for name, content in FILES.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)


def is_upload(request) -> bool:
    return request.method == "PUT"


def is_part(request) -> bool:
    names = ("partNumber", "upload_id", "blockid")
    return request.method == "PUT" and any(name in request.query for name in names)


def is_next_page(request) -> bool:
    return any(name in request.query for name in ("continuation-token", "pageToken", "marker"))


def check_both_logins(place, front, ended) -> None:
    """The first login was used and refused, the second one took over, and it was said once."""
    assert 2 == len({place.signer_of(r) for r in front.seen()} - {""})
    refused = front.seen(lambda r: r.status is not None and r.status in (401, 403))
    # GCS's sessions are logins of their own: nothing else may have been asked before the file was seen.
    assert {place.signer_of(r) for r in refused} <= {place.signer_of(front.seen()[0])}
    assert refused or place.sessions_are_logins
    assert 1 == len([e for e in ended.events if e["event"] == "credentials.reread"])
    assert (0, "done", None) == (ended.code, ended.report["status"], ended.report.get("failed"))


@pytest.mark.parametrize(("matches", "after"), [(is_upload, 20), (is_part, 1)])
def test_a_secret_is_replaced_while_the_sidecar_uploads(
    program, place, front, rotate_at, tmp_path, matches, after
):
    """A mounted secret changed on disk is picked up without a failed file: small ones, and a part of a large one."""
    outputs, done = tmp_path / "outputs", tmp_path / "done"
    outputs.mkdir()
    running = program.start(
        "sidecar", "--connection", "bucket", "--path", outputs, "--to", "out", "--done-file", done
    )
    running.wait_for_event("sidecar.reconciled")
    rotate_at(matches, after)
    write_all(outputs)
    done.touch()
    ended = running.finish()

    check_both_logins(place, front, ended)
    assert {
        f"out/{name}": len(content) for name, content in FILES.items()
    } == place.bucket.contents("out/")
    assert FILES["large.bin"] == place.bucket.get("out/large.bin")


@pytest.mark.parametrize(("what", "after"), [("small", 20), ("large", 1)])
def test_a_secret_is_replaced_while_init_fetches(
    program, place, front, rotate_at, tmp_path, what, after
):
    """A mounted secret changed on disk is picked up without a failed file: small ones, and a range of a large one."""
    for name, content in FILES.items():
        place.bucket.put(name, content)
    rotate_at(lambda r: is_get(r) and what in r.path, after)

    ended = program.run("init", "--connection", "bucket", "--to", tmp_path / "inputs")

    check_both_logins(place, front, ended)
    there = {
        os.path.relpath(path, tmp_path / "inputs"): path.read_bytes()
        for path in (tmp_path / "inputs").rglob("*")
        if path.is_file() and ".lighterman" not in path.parts
    }
    assert FILES == there


def test_a_secret_is_replaced_while_init_lists(program, place, front, rotate_at, tmp_path):
    """Between two pages of a listing."""
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda number: place.bucket.put(f"{number:04}", b""), range(PAGE_KEYS + 1)))
    rotate_at(is_next_page, 0)

    ended = program.run("init", "--connection", "bucket", "--to", tmp_path / "inputs")

    check_both_logins(place, front, ended)
    assert PAGE_KEYS + 1 == ended.report["files"]


def is_to_sts(request) -> bool:
    return request.path == "/" and request.method == "POST"


@pytest.fixture
def in_a_role(account, proxy_to, tmp_path):
    """The program in a role that it assumes, through a proxy; and the bucket."""
    bucket = account.bucket()
    front = proxy_to(account.endpoint)
    entry = {
        "name": "bucket",
        "kind": "s3",
        "schema": {"bucket": f"s3://{bucket.name}"},
        "options": {"endpoint": front.url, "region": bucket.region},
        "env": {
            "AWS_ACCESS_KEY_ID": account.key.access_key_id,
            "AWS_SECRET_ACCESS_KEY": account.key.secret_access_key,
            "AWS_ROLE_ARN": account.role_arn,
            "AWS_STS_ENDPOINT_URL": front.url,
            "AWS_SESSION_NAME": "training-7",
            "AWS_SESSION_DURATION": "900",
        },
    }
    (tmp_path / "catalog.json").write_text(json.dumps([entry]))
    environ = {"LIGHTERMAN_CATALOG": str(tmp_path / "catalog.json")}
    return Program(tmp_path, environ, [account.key.secret_access_key]), bucket, front


def key_of(request) -> str:
    found = re.search(r"Credential=([^/]+)/", request.headers.get("authorization", ""))
    return found[1] if found else ""


def end_session_at(front, matches, after: int) -> None:
    """From that request on, S3 says of the session of it what it says at its end."""

    def end(request) -> None:
        ended = key_of(request)
        front.on(lambda r: key_of(r) == ended, s3_error(400, "ExpiredToken"), times=None)

    front.on(matches, Call(end), skip=after)


@pytest.mark.parametrize(("matches", "after"), [(is_upload, 20), (is_part, 1)])
def test_a_session_ends_while_the_sidecar_uploads(in_a_role, tmp_path, matches, after):
    """A session token that expires in mid-transfer is picked up without a failed file."""
    program, bucket, front = in_a_role
    write_all(tmp_path / "outputs")
    end_session_at(front, matches, after)

    ended = program.run(
        "sync", "--connection", "bucket", "--path", tmp_path / "outputs", "--to", "out"
    )

    assert (0, None) == (ended.code, ended.report.get("failed"))
    assert {f"out/{name}": len(content) for name, content in FILES.items()} == bucket.contents(
        "out/"
    )
    check_two_sessions(front)


@pytest.mark.parametrize(("what", "after"), [("small", 20), ("large", 1)])
def test_a_session_ends_while_init_fetches(in_a_role, tmp_path, what, after):
    """A session token that expires in mid-transfer is picked up without a failed file."""
    program, bucket, front = in_a_role
    for name, content in FILES.items():
        bucket.put(name, content)
    end_session_at(front, lambda r: is_get(r) and what in r.path, after)

    ended = program.run("init", "--connection", "bucket", "--to", tmp_path / "inputs")

    assert (0, len(FILES)) == (ended.code, ended.report["files"]), ended.stderr
    assert FILES["large.bin"] == (tmp_path / "inputs" / "large.bin").read_bytes()
    check_two_sessions(front)


def check_two_sessions(front) -> None:
    said = [parse_qs(r.body_start.decode()) for r in front.seen(is_to_sts)]
    assert [(["training-7"], ["900"])] * 2 == [
        (each["RoleSessionName"], each["DurationSeconds"]) for each in said
    ]
    assert 2 == len({key_of(r) for r in front.seen(lambda r: not is_to_sts(r))})
