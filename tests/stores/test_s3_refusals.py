"""What is off with a connection is told by its name, whichever engine meets it, with the mend in the hint."""

import io
import json
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace

import msgspec
import pytest
from servers.faults import Answer, s3_error

from lighterman import log
from lighterman.connections.model import Mount
from lighterman.errors import ConfigurationError, CredentialsError, LightermanError, TransientError
from lighterman.stores.contract import Attributes, Key

SKEWED = "RequestTimeTooSkewed"
PART_BYTES = 5 << 20


@pytest.fixture
def proxy(proxy_to, moto_endpoint):
    return proxy_to(moto_endpoint)


def engines_of(store, files):
    """One call by each engine, by name."""
    return {
        "list": lambda: list(store.pages("")),
        "stat": lambda: store.stat(Key("k")),
        "read": lambda: store.read_into(Key("k"), files.of(b"."), at=0, etag="e"),
        "write": lambda: store.write(Key("k"), files.of(b"x"), Attributes()),
        "begin": lambda: store.begin(Key("k"), Attributes(), part_bytes=PART_BYTES),
    }


ENGINES = ("list", "stat", "read", "write", "begin")


def everything(_) -> bool:
    return True


@pytest.mark.parametrize("engine", ENGINES)
def test_a_clock_that_is_off_is_told(s3_bucket, proxy, opened, files, engine):
    """Clock skew: 77 with the clock in the hint; the answer is S3's own, as it was recorded."""
    said = "The difference between the request time and the current time is too large."
    proxy.on(everything, s3_error(403, SKEWED, said), times=None)
    store = opened(s3_bucket.connection(endpoint=proxy.url))

    with pytest.raises(CredentialsError, match=SKEWED) as caught:
        engines_of(store, files)[engine]()

    assert "clock is off by more than 15 minutes" in caught.value.hint


@pytest.mark.ceph
@pytest.mark.parametrize("engine", ["list", "stat", "read", "begin"])
def test_a_server_that_checks_the_clock_is_understood(
    rgw_bucket, opened, files, monkeypatch, engine
):
    """Clock skew, as a real store sees it: the signers' clocks run an hour behind."""
    behind = datetime.now(UTC) - timedelta(hours=1)
    monkeypatch.setattr("botocore.auth.get_current_datetime", lambda: behind)
    for module in ("wire", "straight"):
        clock = SimpleNamespace(time=behind.timestamp)
        monkeypatch.setattr(f"lighterman.stores.s3.{module}.time", clock)
    store = opened(rgw_bucket.connection())

    with pytest.raises(CredentialsError, match=SKEWED) as caught:
        engines_of(store, files)[engine]()

    assert "clock" in caught.value.hint


def is_of_the_bucket(request) -> bool:
    return request.path.count("/") < 2 or request.path.endswith("/")


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize(
    ("status", "code"), [(301, "PermanentRedirect"), (400, "AuthorizationHeaderMalformed")]
)
def test_the_region_of_a_bucket_is_named(s3_bucket, proxy, opened, files, engine, status, code):
    """
    A bucket of another region (301/400 with the right region named in the hint): what obstore hides of the
    answer, and a HEAD has none of, is asked with a HEAD of the bucket.
    """
    proxy.on(
        lambda r: r.method == "HEAD" and is_of_the_bucket(r),
        s3_error(status, code, x_amz_bucket_region="eu-south-2"),
        times=None,
    )
    proxy.on(
        lambda r: not (r.method == "HEAD" and is_of_the_bucket(r)),
        s3_error(301, "PermanentRedirect"),
        times=None,
    )
    store = opened(s3_bucket.connection(endpoint=proxy.url))

    with pytest.raises(
        ConfigurationError, match="is in region eu-south-2, not in us-east-1"
    ) as caught:
        engines_of(store, files)[engine]()

    assert "eu-south-2" in caught.value.hint


def test_a_region_that_nobody_names_is_told_without(s3_bucket, proxy, opened, files):
    """A bucket of another region: 78 also where even a HEAD of the bucket doesn't say which."""
    proxy.on(everything, s3_error(301, "PermanentRedirect"), times=None)
    store = opened(s3_bucket.connection(endpoint=proxy.url))

    for call in engines_of(store, files).values():
        with pytest.raises(ConfigurationError, match="is not in region us-east-1") as caught:
            call()
        assert "options.region" in caught.value.hint


@pytest.mark.parametrize("scheme", ["http", "https"])
@pytest.mark.parametrize("engine", ["list", "write", "begin"])
@pytest.mark.parametrize(
    ("status", "error", "said"),
    [
        (407, CredentialsError, "wants another login"),
        (403, LightermanError, ""),
        (502, TransientError, ""),
    ],
)
def test_a_proxy_that_refuses_is_named(
    s3_bucket, proxy, opened, files, scheme, engine, status, error, said
):
    """A proxy that refuses: 77 for its login, else what it said, never an error of the store's alone."""
    proxy.on(everything, Answer(status, b"<html>squid</html>"), times=None)
    endpoint = f"{scheme}://s3.example.org"
    store = opened(s3_bucket.connection(endpoint=endpoint, proxy=proxy.url))

    with pytest.raises(error, match=said or None) as caught:
        engines_of(store, files)[engine]()

    told = f"{caught.value.message} {caught.value.hint}"
    assert f"127.0.0.1:{proxy.port}" in told or (status == 502 and scheme == "http")


@pytest.mark.parametrize("engine", ["list", "begin"])
def test_a_proxy_that_lets_nothing_through_is_a_setting(s3_bucket, proxy, opened, files, engine):
    """A proxy that refuses the tunnel (403): 78, with the ways past it."""
    proxy.on(everything, Answer(403), times=None)
    store = opened(s3_bucket.connection(endpoint="https://s3.example.org", proxy=proxy.url))

    with pytest.raises(ConfigurationError, match="doesn't let us through") as caught:
        engines_of(store, files)[engine]()

    assert "NO_PROXY" in caught.value.hint


@pytest.mark.parametrize("engine", ["list", "write", "begin"])
def test_a_proxy_that_is_not_there_is_named(s3_bucket, closed_port, opened, files, engine):
    """A proxy that refuses the connection: transient, and it is the proxy that is to be looked at."""
    proxy = f"http://127.0.0.1:{closed_port}"
    store = opened(s3_bucket.connection(endpoint="https://s3.example.org", proxy=proxy))

    with pytest.raises(
        TransientError, match=f"through the proxy 127.0.0.1:{closed_port}"
    ) as caught:
        engines_of(store, files)[engine]()

    assert "it refuses the connection" in caught.value.message
    assert "options.proxy" in caught.value.hint


@pytest.mark.parametrize(
    ("config", "named"),
    [
        ({"signature_version": "s3"}, "signature_version: 's3' isn't spoken"),
        ({"signature_version": "s4v3"}, "signature_version: 's4v3' isn't spoken"),
        ({"signature_version": 4}, "signature_version: expected text"),
        ({"proxies": 3}, "proxies: expected a mapping"),
        ({"proxies": {"ftp": "http://p"}}, "proxies.ftp: no scheme"),
        ({"proxies": {"https": 3128}}, "proxies.https: no URL"),
        ({"max_pool_connections": "many"}, "max_pool_connections: expected a whole number"),
        ({"max_pool_connections": 0}, "max_pool_connections: less than one"),
        ({"max_pool_connections": True}, "max_pool_connections: expected a whole number"),
        ({"tcp_keepalive": "yes"}, "tcp_keepalive: expected true or false"),
        ({"user_agent": 5}, "user_agent: expected text"),
        ({"region_name": ["eu"]}, "region_name: expected text"),
        ({"request_checksum_calculation": "always"}, "request_checksum_calculation: no such time"),
        ({"s3": {"adressing_style": "path"}}, "s3.adressing_style: nothing has that name"),
        ({"s3": {"payload_signing_enabled": "no"}}, "s3.payload_signing_enabled: expected true"),
        ({"s3": {"addressing_style": "paths"}}, "paths"),
        ({"retries": {"attempts": 3}}, "retries.attempts: nothing has that name"),
        ({"retries": {"max_attempts": "3"}}, "retries.max_attempts: expected a whole number"),
        ({"retries": {"mode": "eager"}}, "eager"),
    ],
)
def test_kwargs_with_values_that_cannot_be_meant_are_told_at_opening(
    s3_bucket, opened, config, named
):
    """Nothing is silently ignored: 78 before any request, with the name and what it takes."""
    with pytest.raises(ConfigurationError, match=named) as caught:
        opened(s3_bucket.connection(config_kwargs=config))

    assert caught.value.hint


@pytest.mark.parametrize(
    "config",
    [
        {"signature_version": "s3v4"},
        {"signature_version": None, "proxies": None, "s3": None, "retries": None},
        {"max_pool_connections": 50, "tcp_keepalive": True, "s3": {"addressing_style": "path"}},
        {"retries": {"max_attempts": 5, "mode": "adaptive"}, "parameter_validation": False},
        {"region_name": "us-east-1", "connect_timeout": 5, "read_timeout": 60.5},
    ],
)
def test_kwargs_that_zenmls_users_have_are_taken(s3_bucket, opened, files, config):
    """``config_kwargs``: botocore Config's, with ZenML's meaning."""
    store = opened(s3_bucket.connection(config_kwargs=config))

    store.write(Key("k"), files.of(b"x"), Attributes())
    upload_id = store.begin(Key("l"), Attributes(), part_bytes=PART_BYTES)
    store.abandon(Key("l"), upload_id)

    assert ["k"] == [item.key for page in store.pages("") for item in page]


@pytest.fixture
def logged():
    """What is logged, as JSON lines."""
    stream = io.StringIO()
    log.configure("info", "json", stream)
    yield lambda: [json.loads(line) for line in stream.getvalue().splitlines()]
    log.configure()


def test_a_secret_that_is_not_mounted_is_told(account, opened, tmp_path, logged):
    """A declared secret that isn't there: a warning once, and in the hint when the login instead is refused."""
    connection = msgspec.structs.replace(
        account.bucket().connection(),
        secret=Mount(name="s3-secret", mount_path=str(tmp_path / "not-mounted")),
        env={"AWS_ACCESS_KEY_ID": "AKIDOFSOMEBODYELSE", "AWS_SECRET_ACCESS_KEY": "x" * 20},
    )
    store = opened(connection)

    for _ in range(2):
        with pytest.raises(CredentialsError) as caught:
            list(store.pages(""))
        assert f"no login was found in {tmp_path}/not-mounted" in caught.value.hint
        assert "is it mounted?" in caught.value.hint

    warned = [line for line in logged() if line["event"] == "credentials.not_mounted"]
    assert [("warning", "s3-secret", str(tmp_path / "not-mounted"), "env of the connection")] == [
        (line["level"], line["name"], line["path"], line["source"]) for line in warned
    ]


def test_no_login_beside_a_secret_that_is_not_mounted_is_told(s3_bucket, opened, tmp_path):
    """Credentials are missing (77): the mount is named too, where it was declared."""
    connection = msgspec.structs.replace(
        s3_bucket.connection(),
        secret=Mount(name="s3-secret", mount_path=str(tmp_path / "not-mounted")),
        env={},
    )

    with pytest.raises(CredentialsError, match="has no credentials") as caught:
        list(opened(connection).pages(""))

    assert f"{tmp_path}/not-mounted" in caught.value.hint


def test_a_secret_that_is_mounted_is_not_warned_about(account, opened, tmp_path, logged):
    """Said only where something is off."""
    bucket = account.bucket()
    (tmp_path / "AWS_ACCESS_KEY_ID").write_text(bucket.access_key_id)
    (tmp_path / "AWS_SECRET_ACCESS_KEY").write_text(bucket.secret_access_key)
    connection = msgspec.structs.replace(
        bucket.connection(), secret=Mount(name="s", mount_path=str(tmp_path)), env={}
    )

    assert [[]] == list(opened(connection).pages(""))
    assert [] == logged()
