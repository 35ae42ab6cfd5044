"""
Every form of identity logs in at an AWS that checks keys, signatures, roles and session tokens: whoever
reads and writes here was let in.
"""

import json
import re
import sys
from urllib.parse import parse_qs

import msgspec
import pytest
from servers.accounts import AccessKey
from servers.aws_agents import Agent
from servers.faults import Call, CallAfter, s3_error
from test_s3_options import use_every_engine

from lighterman.connections.model import Bucket, Connection, Mount, Options
from lighterman.errors import CredentialsError
from lighterman.stores.contract import Attributes, Key


@pytest.fixture
def bucket(account):
    return account.bucket()


@pytest.fixture
def front(proxy_to, account):
    """Between the stores under test and the account: what is asked of S3 and of its STS is seen there."""
    return proxy_to(account.endpoint)


@pytest.fixture
def connect(bucket, front):
    """A connection to the bucket, that has nothing but this environment."""

    def make(env=None, **fields) -> Connection:
        options = {"endpoint": front.url, "region": "us-east-1"} | fields.pop("options", {})
        return Connection(
            name="bucket",
            kind="s3",
            schema=Bucket(f"s3://{bucket.name}"),
            env=env or {},
            options=Options(**options),
            **fields,
        )

    return make


def is_to_sts(request) -> bool:
    return request.path == "/" and request.method == "POST"


def said_to_sts(front) -> list[dict[str, str]]:
    """The parameters of each call to STS."""
    return [
        {name: value for name, [value] in parse_qs(request.body_start.decode()).items()}
        for request in front.seen(is_to_sts)
    ]


def signers(front) -> set[str]:
    """The access key ids that S3 saw."""
    return {
        re.search(r"Credential=([^/]+)/", request.headers["authorization"])[1]
        for request in front.seen(lambda r: not is_to_sts(r))
    }


def keys_of(key: AccessKey) -> dict[str, str]:
    env = {
        "AWS_ACCESS_KEY_ID": key.access_key_id,
        "AWS_SECRET_ACCESS_KEY": key.secret_access_key,
        "AWS_SESSION_TOKEN": key.session_token,
    }
    return {name: value for name, value in env.items() if value}


@pytest.fixture
def assuming(account, front):
    """The environment of a role that is assumed with the account's keys."""
    return {
        **keys_of(account.key),
        "AWS_ROLE_ARN": account.role_arn,
        "AWS_STS_ENDPOINT_URL": front.url,
    }


def test_keys_log_in(account, connect, front, opened, files):
    """``AWS_ACCESS_KEY_ID``, ``AWS_SECRET_ACCESS_KEY``: every engine signs so that it is let in."""
    use_every_engine(opened(connect(keys_of(account.key))), files)

    assert {account.key.access_key_id} == signers(front)


@pytest.mark.parametrize("name", ["AWS_SESSION_TOKEN", "AWS_SECURITY_TOKEN"])
def test_a_session_token_logs_in(account, connect, opened, files, name):
    """``AWS_SESSION_TOKEN`` or ``AWS_SECURITY_TOKEN``."""
    env = keys_of(account.assume())
    env[name] = env.pop("AWS_SESSION_TOKEN")

    use_every_engine(opened(connect(env)), files)


@pytest.mark.parametrize("spoiled", ["AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN"])
def test_a_wrong_half_of_a_login_is_refused(account, connect, opened, files, spoiled):
    """Credentials are wrong (77): in every engine, by the name of where they came from."""
    env = keys_of(account.assume())
    env[spoiled] = "another-" + env[spoiled][8:]
    store = opened(connect(env))

    for call in (
        lambda: list(store.pages("")),
        lambda: store.stat(Key("k")),
        lambda: store.write(Key("k"), files.of(b"x"), Attributes()),
        lambda: store.begin(Key("k"), Attributes(), part_bytes=5 << 20),
    ):
        with pytest.raises(CredentialsError, match="env of the connection") as caught:
            call()
        assert caught.value.hint


def test_a_role_is_assumed_by_name_and_for_a_time(assuming, connect, front, opened, files):
    """``AWS_ROLE_ARN`` with ``AWS_SESSION_NAME``, ``AWS_SESSION_DURATION`` (seconds, an integer)."""
    env = {**assuming, "AWS_SESSION_NAME": "training-7", "AWS_SESSION_DURATION": "1800"}

    use_every_engine(opened(connect(env)), files)

    [said] = said_to_sts(front)
    assert ("AssumeRole", env["AWS_ROLE_ARN"], "training-7", "1800") == (
        said["Action"],
        said["RoleArn"],
        said["RoleSessionName"],
        said["DurationSeconds"],
    )
    [assumed] = signers(front)
    assert assumed.startswith("ASIA")


def test_a_role_of_a_polyaxon_secret_is_assumed(account, connect, front, opened, files, tmp_path):
    """``AWS_ASSUME_ROLE``, with everything in one mounted secret."""
    secret = {
        **keys_of(account.key),
        "AWS_ASSUME_ROLE": account.role_arn,
        "AWS_SESSION_NAME": "of-the-secret",
        "AWS_STS_ENDPOINT_URL": front.url,
    }
    for name, value in secret.items():
        (tmp_path / name).write_text(f"{value}\n")

    use_every_engine(opened(connect(secret=Mount(name="s", mount_path=str(tmp_path)))), files)

    [said] = said_to_sts(front)
    assert ("of-the-secret", "3600") == (said["RoleSessionName"], said["DurationSeconds"])


def test_a_role_is_refused_to_a_wrong_key(assuming, connect, opened):
    """Credentials are wrong (77): STS itself checks the signature of who asks."""
    env = {**assuming, "AWS_SECRET_ACCESS_KEY": "another-secret-of-someone"}

    with pytest.raises(CredentialsError, match="refused by STS") as caught:
        list(opened(connect(env)).pages(""))

    assert "trust policy" in caught.value.hint


def test_a_role_is_refused_to_who_may_not_assume_it(account, assuming, connect, opened):
    """Credentials are without the permission (77)."""
    statement = {"Effect": "Allow", "Action": "s3:*", "Resource": "*"}
    only_s3 = account.make_key({"Version": "2012-10-17", "Statement": [statement]})

    with pytest.raises(CredentialsError, match="refused by STS") as caught:
        list(opened(connect({**assuming, **keys_of(only_s3)})).pages(""))

    assert "trust policy" in caught.value.hint


def test_the_shortest_session_is_kept_while_it_lasts(assuming, connect, front, opened, files):
    """``AWS_SESSION_DURATION: 900``: STS isn't asked at each request."""
    use_every_engine(opened(connect({**assuming, "AWS_SESSION_DURATION": "900"})), files)

    assert ["900"] == [said["DurationSeconds"] for said in said_to_sts(front)]


@pytest.fixture
def irsa(account, front, tmp_path):
    """
    The environment that EKS gives a pod (IRSA), with the token of its service account. Moto's IAM knows no
    request without a signature, which is what the exchange of a token is: that one isn't checked there.
    """
    token = tmp_path / "eks-token"
    token.write_text("header.payload-1.signature")
    front.on(is_to_sts, Call(lambda _: account.check_nothing()), times=None)
    front.on(is_to_sts, CallAfter(lambda _: account.check_everything()), times=None)
    return {
        "AWS_WEB_IDENTITY_TOKEN_FILE": str(token),
        "AWS_ROLE_ARN": account.role_arn,
        "AWS_ROLE_SESSION_NAME": "pod-0",
        "AWS_STS_ENDPOINT_URL": front.url,
    }


@pytest.mark.parametrize("where", ["connection", "process"])
def test_a_web_identity_logs_in(irsa, connect, front, opened, files, where):
    """``AWS_WEB_IDENTITY_TOKEN_FILE`` (IRSA): the token is exchanged, the role's keys sign."""
    store = opened(connect(irsa)) if where == "connection" else opened(connect(), irsa)

    use_every_engine(store, files)

    [said] = said_to_sts(front)
    assert (
        "AssumeRoleWithWebIdentity",
        irsa["AWS_ROLE_ARN"],
        "pod-0",
        "3600",
        "header.payload-1.signature",
    ) == (
        said["Action"],
        said["RoleArn"],
        said["RoleSessionName"],
        said["DurationSeconds"],
        said["WebIdentityToken"],
    )
    assert not [r for r in front.seen(is_to_sts) if "authorization" in r.headers]
    [assumed] = signers(front)
    assert assumed.startswith("ASIA")


@pytest.fixture
def agents():
    """Makes agents that hand out credentials, closed at the test's end."""
    made = []

    def make(*arguments, **options) -> Agent:
        made.append(Agent(*arguments, **options))
        return made[-1]

    yield make
    for agent in made:
        agent.close()


def test_the_agent_of_eks_pod_identity_logs_in(
    account, connect, front, agents, opened, files, tmp_path, monkeypatch
):
    """EKS pod identity: the agent gets the pod's token from its file, and hands out the keys."""
    token = tmp_path / "eks-pod-identity-token"
    token.write_text("token-of-the-pod")
    keys = account.assume()
    agent = agents(lambda: keys, "token-of-the-pod")
    monkeypatch.setenv("AWS_CONTAINER_CREDENTIALS_FULL_URI", f"{agent.url}/v1/credentials")
    monkeypatch.setenv("AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE", str(token))

    use_every_engine(opened(connect()), files)

    assert {keys.access_key_id} == signers(front)
    assert {("GET", "/v1/credentials", "token-of-the-pod")} == {
        (asked.method, asked.path, asked.headers["authorization"]) for asked in agent.asked
    }


@pytest.mark.parametrize("token", ["a-token-that-expired", "two\nlines"])
def test_a_pod_that_the_agent_refuses_is_told(
    connect, agents, opened, tmp_path, monkeypatch, token
):
    """Credentials are missing (77): which source had none, and what to look at."""
    file = tmp_path / "eks-pod-identity-token"
    file.write_text(token)
    agent = agents(lambda: AccessKey("a", "b"), "token-of-the-pod")
    monkeypatch.setenv("AWS_CONTAINER_CREDENTIALS_FULL_URI", f"{agent.url}/v1/credentials")
    monkeypatch.setenv("AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE", str(file))

    with pytest.raises(CredentialsError, match="the SDK's own chain") as caught:
        list(opened(connect()).pages(""))

    assert "service account" in caught.value.hint


def test_instance_metadata_logs_in(account, connect, front, agents, opened, files, monkeypatch):
    """Instance metadata (IMDSv2): a session token first, then the role, then its keys."""
    keys = account.assume()
    agent = agents(lambda: keys)
    monkeypatch.delenv("AWS_EC2_METADATA_DISABLED")
    monkeypatch.setenv("AWS_EC2_METADATA_SERVICE_ENDPOINT", agent.url)

    use_every_engine(opened(connect()), files)

    assert {keys.access_key_id} == signers(front)
    assert [
        ("PUT", "/latest/api/token"),
        ("GET", "/latest/meta-data/iam/security-credentials/"),
        ("GET", "/latest/meta-data/iam/security-credentials/node-role"),
    ] == [(asked.method, asked.path) for asked in agent.asked]


@pytest.fixture
def sdk_files(tmp_path, monkeypatch):
    """Writes the SDK's two files: ``config`` and ``credentials``."""

    def write(*, config: str = "", credentials: str = "") -> None:
        for name, text in (("CONFIG", config), ("SHARED_CREDENTIALS", credentials)):
            path = tmp_path / name.lower()
            path.write_text(text)
            monkeypatch.setenv(f"AWS_{name}_FILE", str(path))

    return write


def section(key: AccessKey) -> str:
    return "".join(f"{name.lower()} = {value}\n" for name, value in keys_of(key).items())


def test_a_profile_logs_in(account, connect, front, opened, files, sdk_files):
    """``AWS_PROFILE``: the keys of that section, also with a session token."""
    keys = account.assume()
    sdk_files(credentials=f"[default]\n{section(account.key)}\n[training]\n{section(keys)}")

    use_every_engine(opened(connect({"AWS_PROFILE": "training"})), files)

    assert {keys.access_key_id} == signers(front)


def test_a_profiles_own_role_is_assumed(account, connect, front, opened, files, sdk_files):
    """``AWS_PROFILE`` with ``role_arn`` and ``source_profile``; its STS is the connection's."""
    sdk_files(
        config=f"[profile training]\nrole_arn = {account.role_arn}\nsource_profile = base\n"
        "role_session_name = of-the-profile\nduration_seconds = 1200\n",
        credentials=f"[base]\n{section(account.key)}",
    )

    env = {"AWS_PROFILE": "training", "AWS_STS_ENDPOINT_URL": front.url}
    use_every_engine(opened(connect(env)), files)

    [said] = said_to_sts(front)
    assert ("of-the-profile", "1200") == (said["RoleSessionName"], said["DurationSeconds"])
    [assumed] = signers(front)
    assert assumed.startswith("ASIA")


def test_a_role_is_assumed_with_a_profile(account, connect, front, opened, files, sdk_files):
    """``AWS_ROLE_ARN`` with the keys of ``AWS_PROFILE``."""
    sdk_files(credentials=f"[base]\n{section(account.key)}")
    env = {
        "AWS_PROFILE": "base",
        "AWS_ROLE_ARN": account.role_arn,
        "AWS_STS_ENDPOINT_URL": front.url,
    }

    use_every_engine(opened(connect(env)), files)

    assert ["lighterman"] == [said["RoleSessionName"] for said in said_to_sts(front)]


def test_a_profiles_process_logs_in(account, connect, front, opened, files, sdk_files, tmp_path):
    """``AWS_PROFILE`` with ``credential_process``."""
    keys = account.assume()
    document = {
        "Version": 1,
        "AccessKeyId": keys.access_key_id,
        "SecretAccessKey": keys.secret_access_key,
        "SessionToken": keys.session_token,
    }
    (tmp_path / "keys.json").write_text(json.dumps(document))
    script = tmp_path / "tell.py"
    script.write_text(f"print(open({str(tmp_path / 'keys.json')!r}).read())")
    sdk_files(config=f"[profile vault]\ncredential_process = {sys.executable} {script}\n")

    use_every_engine(opened(connect({"AWS_PROFILE": "vault"})), files)

    assert {keys.access_key_id} == signers(front)


def test_a_profiles_process_that_fails_is_told(connect, opened, sdk_files):
    """Credentials are missing (77), by the name of their source."""
    sdk_files(config="[profile vault]\ncredential_process = false\n")

    with pytest.raises(CredentialsError, match="no credentials came from env of the connection"):
        list(opened(connect({"AWS_PROFILE": "vault"})).pages(""))


def ended(front, key: AccessKey, code: str = "ExpiredToken") -> None:
    """From now on S3 refuses that session, as it does at its end."""
    front.on(
        lambda r: f"Credential={key.access_key_id}/" in r.headers.get("authorization", ""),
        s3_error(400, code),
        times=None,
    )


def test_a_session_that_ends_early_is_begun_anew(assuming, connect, front, opened, files):
    """A session token that expires in mid-transfer is picked up: in the middle of every engine's work."""
    store = opened(connect(assuming))
    use_every_engine(store, files)
    [first] = signers(front)
    upload_id = store.begin(Key("long"), Attributes(), part_bytes=5 << 20)

    ended(front, AccessKey(first, ""))
    part = store.send_part(Key("long"), upload_id, 1, files.of(b"part"))
    store.finish(Key("long"), upload_id, [part])
    use_every_engine_again(store, files)

    assert 2 == len(said_to_sts(front))
    assert 2 == len(signers(front))


def use_every_engine_again(store, files) -> None:
    etag = store.write(Key("small"), files.of(b"again"), Attributes())
    store.read_into(Key("small"), files.of(b"....."), at=0, etag=etag)
    assert "small" in [item.key for page in store.pages("") for item in page]
    assert 5 == store.stat(Key("small")).size_bytes


@pytest.mark.parametrize("engine", ["list", "stat", "read", "write", "begin", "copy"])
def test_a_rewritten_profile_is_read_again(
    account, connect, front, opened, files, sdk_files, engine
):
    """A session token that expires: who renews it in the SDK's files needs no restart of ours."""
    first, second = account.assume(), account.assume()
    sdk_files(credentials=f"[default]\n{section(first)}")
    store = opened(connect())
    etag = store.write(Key("k"), files.of(b"hello"), Attributes())
    calls = {
        "list": lambda: list(store.pages("")),
        "stat": lambda: store.stat(Key("k")),
        "read": lambda: store.read_into(Key("k"), files.of(b"....."), at=0, etag=etag),
        "write": lambda: store.write(Key("k"), files.of(b"x"), Attributes()),
        "begin": lambda: store.begin(Key("k"), Attributes(), part_bytes=5 << 20),
        "copy": lambda: store.copy(Key("k"), etag, Key("c"), Attributes()),
    }

    sdk_files(credentials=f"[default]\n{section(second)}")
    ended(front, first)
    calls[engine]()

    assert {first.access_key_id, second.access_key_id} == signers(front)


def test_keys_that_ended_for_good_are_refused(account, connect, front, opened):
    """Credentials are refused (77): the hint says what happened to them."""
    keys = account.assume()
    store = opened(connect(keys_of(keys)))
    ended(front, keys)

    with pytest.raises(CredentialsError, match="ExpiredToken") as caught:
        list(store.pages(""))

    assert "expired" in caught.value.hint


def test_one_secret_serves_two_datasets(account, connect, opened, files, tmp_path):
    """Two connections with one secret each log in with it."""
    for name, value in keys_of(account.key).items():
        (tmp_path / name).write_text(value)
    other = account.bucket()
    secret = Mount(name="s", mount_path=str(tmp_path))
    first = connect(secret=secret)
    second = msgspec.structs.replace(first, name="other", schema=Bucket(f"s3://{other.name}"))

    use_every_engine(opened(first), files)
    use_every_engine(opened(second), files)

    assert ["larger", "parts", "small"] == other.keys()
