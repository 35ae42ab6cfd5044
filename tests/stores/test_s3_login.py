"""Every way to log in to S3 signs with the keys that it should, in every engine."""

import re
import time

import msgspec
import pytest
from servers.faults import s3_error
from test_s3_options import use_every_engine

from lighterman.connections.model import Mount, Options
from lighterman.errors import CredentialsError, TransientError
from lighterman.stores.contract import Key

ROLE = "arn:aws:iam::123456789012:role/reader"

PART_BYTES = 5 * 1024 * 1024


@pytest.fixture
def proxy(proxy_to, moto_endpoint):
    return proxy_to(moto_endpoint)


@pytest.fixture
def connect(s3_bucket, proxy):
    """A connection behind the proxy with nothing but this environment of its own."""

    def make(env=None, **fields):
        return msgspec.structs.replace(
            s3_bucket.connection(endpoint=proxy.url), env=env or {}, **fields
        )

    return make


def is_to_bucket(request) -> bool:
    return request.path != "/"


def is_to_sts(request) -> bool:
    return request.path == "/"


def key_ids(proxy) -> set[str]:
    """Access key ids that requests to the bucket were signed with."""
    return {
        re.search(r"Credential=([^/]+)/", request.headers["authorization"])[1]
        for request in proxy.seen(is_to_bucket)
    }


def test_a_session_token_goes_along(connect, proxy, opened, files):
    """``AWS_SESSION_TOKEN``."""
    env = {
        "AWS_ACCESS_KEY_ID": "AKIDTEMPORARY",
        "AWS_SECRET_ACCESS_KEY": "secret",
        "AWS_SESSION_TOKEN": "the-token",
    }

    use_every_engine(opened(connect(env)), files)

    assert {"AKIDTEMPORARY"} == key_ids(proxy)
    assert {"the-token"} == {r.headers.get("x-amz-security-token") for r in proxy.seen()}


def test_a_login_is_never_mixed(connect, proxy, opened, files, monkeypatch):
    """As a set (id, secret, token and role come from one source, never mixed)."""
    ambient = {
        "AWS_SESSION_TOKEN": "of-another-login",
        "AWS_ACCESS_KEY_ID": "AKIDAMBIENT",
        "AWS_SECRET_ACCESS_KEY": "ambient",
        "AWS_ENDPOINT_URL": "http://127.0.0.1:1",
        "AWS_ENDPOINT_URL_S3": "http://127.0.0.1:1",
        "AWS_REGION": "eu-north-1",
        "AWS_SKIP_SIGNATURE": "true",
        "AWS_VIRTUAL_HOSTED_STYLE_REQUEST": "true",
    }
    for name, value in ambient.items():
        monkeypatch.setenv(name, value)
    env = {"AWS_ACCESS_KEY_ID": "AKIDOWN", "AWS_SECRET_ACCESS_KEY": "own"}

    use_every_engine(opened(connect(env), ambient), files)

    assert {"AKIDOWN"} == key_ids(proxy)
    assert not proxy.seen(lambda r: "x-amz-security-token" in r.headers)


def test_a_role_is_assumed_with_the_keys(connect, proxy, opened, files):
    """``AWS_ROLE_ARN`` with ``AWS_SESSION_NAME``, ``AWS_SESSION_DURATION``, ``AWS_STS_ENDPOINT_URL``."""
    env = {
        "AWS_ACCESS_KEY_ID": "AKIDSOURCE",
        "AWS_SECRET_ACCESS_KEY": "secret",
        "AWS_ROLE_ARN": ROLE,
        "AWS_SESSION_NAME": "training-7",
        "AWS_SESSION_DURATION": "1800",
        "AWS_STS_ENDPOINT_URL": proxy.url,
    }

    use_every_engine(opened(connect(env)), files)

    assert 1 == len(proxy.seen(is_to_sts))
    [assumed] = key_ids(proxy)
    assert assumed.startswith("ASIA")
    assert all(r.headers["x-amz-security-token"] for r in proxy.seen(is_to_bucket))


def test_a_web_identity_is_exchanged(connect, proxy, opened, files, tmp_path):
    """``AWS_WEB_IDENTITY_TOKEN_FILE`` (IRSA)."""
    token = tmp_path / "token"
    token.write_text("header.payload.signature\n")
    env = {
        "AWS_WEB_IDENTITY_TOKEN_FILE": str(token),
        "AWS_ROLE_ARN": ROLE,
        "AWS_STS_ENDPOINT_URL": proxy.url,
    }

    use_every_engine(opened(connect(env)), files)

    [exchange] = proxy.seen(is_to_sts)
    assert "authorization" not in exchange.headers
    [assumed] = key_ids(proxy)
    assert assumed.startswith("ASIA")


def test_a_web_identity_without_its_token_is_said(connect, proxy, opened, tmp_path):
    """Credentials are missing, wrong or without the permission (77)."""
    env = {
        "AWS_WEB_IDENTITY_TOKEN_FILE": str(tmp_path / "not-there"),
        "AWS_ROLE_ARN": ROLE,
        "AWS_STS_ENDPOINT_URL": proxy.url,
    }

    with pytest.raises(CredentialsError) as caught:
        list(opened(connect(env)).pages(""))

    assert caught.value.hint
    assert f"{tmp_path}/not-there: No such file" in caught.value.message


def test_a_profile_that_is_nowhere_is_named(connect, opened):
    """Credentials are missing (77): which profile."""
    with pytest.raises(CredentialsError, match="there is no profile 'vault'"):
        list(opened(connect({"AWS_PROFILE": "vault"})).pages(""))


@pytest.mark.parametrize("engine", ["list", "write", "begin"])
def test_a_role_that_is_refused_is_said(connect, proxy, opened, files, engine):
    """Credentials are missing, wrong or without the permission (77)."""
    from lighterman.stores.contract import Attributes

    env = {
        "AWS_ACCESS_KEY_ID": "AKIDSOURCE",
        "AWS_SECRET_ACCESS_KEY": "secret",
        "AWS_ROLE_ARN": ROLE,
        "AWS_STS_ENDPOINT_URL": proxy.url,
    }
    proxy.on(is_to_sts, s3_error(403, "AccessDenied"), times=None)
    store = opened(connect(env))
    call = {
        "list": lambda: list(store.pages("")),
        "write": lambda: store.write(Key("k"), files.of(b"x"), Attributes()),
        "begin": lambda: store.begin(Key("k"), Attributes(), part_bytes=PART_BYTES),
    }[engine]

    with pytest.raises(CredentialsError, match="refused by STS") as caught:
        call()

    assert "role" in caught.value.hint


def test_an_sts_that_is_down_is_transient(connect, closed_port, opened):
    """Trouble that may pass by itself, with the name of who didn't answer."""
    env = {
        "AWS_ACCESS_KEY_ID": "AKIDSOURCE",
        "AWS_SECRET_ACCESS_KEY": "secret",
        "AWS_ROLE_ARN": ROLE,
        "AWS_STS_ENDPOINT_URL": f"http://127.0.0.1:{closed_port}",
    }

    with pytest.raises(TransientError, match=f"no answer from http://127.0.0.1:{closed_port}"):
        list(opened(connect(env)).pages(""))


def test_a_profile_is_read(connect, proxy, opened, files, tmp_path, monkeypatch):
    """``AWS_PROFILE``, with its region."""
    credentials = tmp_path / "credentials"
    credentials.write_text(
        "[default]\naws_access_key_id = AKIDDEFAULT\naws_secret_access_key = d\n"
        "[training]\nregion = eu-south-1\naws_access_key_id = AKIDTRAINING\naws_secret_access_key = t\n"
    )
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(credentials))

    connection = connect({"AWS_PROFILE": "training"}, options=Options(endpoint=proxy.url))
    use_every_engine(opened(connection), files)

    assert {"AKIDTRAINING"} == key_ids(proxy)
    assert all("/eu-south-1/s3/" in r.headers["authorization"] for r in proxy.seen())


def test_the_chain_of_the_sdk_is_asked_last(connect, proxy, opened, files, tmp_path, monkeypatch):
    """The SDK's own chain (profile, web identity/IRSA, EKS pod identity, instance metadata)."""
    credentials = tmp_path / "credentials"
    credentials.write_text(
        "[default]\naws_access_key_id = AKIDDEFAULT\naws_secret_access_key = d\n"
    )
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(credentials))

    use_every_engine(opened(connect()), files)

    assert {"AKIDDEFAULT"} == key_ids(proxy)


@pytest.mark.parametrize("env", [{}, {"AWS_PROFILE": "not-there"}])
def test_no_login_at_all_is_said(connect, opened, env):
    """Credentials are missing (77)."""
    with pytest.raises(CredentialsError) as caught:
        list(opened(connect(env)).pages(""))

    assert caught.value.hint
    assert "bucket" == caught.value.connection


@pytest.fixture
def mounted(tmp_path):
    """A mounted secret, replaced as a whole."""
    directory = tmp_path / "secret"
    directory.mkdir()

    def write(access_key_id: str) -> Mount:
        for name, value in (("AWS_ACCESS_KEY_ID", access_key_id), ("AWS_SECRET_ACCESS_KEY", "s")):
            new = tmp_path / "new"
            new.write_text(value + "\n")
            new.rename(directory / name)
        return Mount(name="secret", mount_path=str(directory))

    return write


def test_a_mounted_login_is_read_again(connect, proxy, opened, files, mounted):
    """A mounted file is read again when it changes: rotation needs no restart."""
    store = opened(connect(secret=mounted("AKIDFIRST")))
    use_every_engine(store, files)
    assert {"AKIDFIRST"} == key_ids(proxy)

    mounted("AKIDSECOND")
    deadline = time.monotonic() + 30
    while "AKIDSECOND" not in key_ids(proxy) and time.monotonic() < deadline:
        store.stat(Key("small"))
    proxy.forget()
    use_every_engine(store, files)

    assert {"AKIDSECOND"} == key_ids(proxy)


def test_a_refused_login_is_read_again_at_once(connect, proxy, opened, files, mounted):
    """Rotation needs no restart: a login that was withdrawn a moment ago is looked up again."""
    store = opened(connect(secret=mounted("AKIDFIRST")))
    use_every_engine(store, files)
    mounted("AKIDSECOND")
    proxy.forget()
    proxy.on(
        lambda r: "AKIDFIRST" in r.headers["authorization"],
        s3_error(403, "InvalidAccessKeyId"),
        times=None,
    )

    use_every_engine(store, files)

    assert "AKIDSECOND" in key_ids(proxy)


def test_a_refused_login_that_did_not_change_is_refused(connect, proxy, opened, mounted):
    """Permanent trouble is never retried: 403."""
    store = opened(connect(secret=mounted("AKIDFIRST")))
    proxy.on(lambda _: True, s3_error(403, "InvalidAccessKeyId"), times=None)

    with pytest.raises(CredentialsError, match="files in"):
        list(store.pages(""))

    assert 1 == len(proxy.seen())
