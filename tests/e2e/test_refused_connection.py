"""A connection that is off, end to end: the code, one line with what and where, and a hint that mends it."""

import json

import pytest
from program import Program
from servers.faults import Answer, s3_error


@pytest.fixture
def front(proxy_to, moto_endpoint):
    return proxy_to(moto_endpoint)


@pytest.fixture
def init(s3_bucket, front, tmp_path):
    """Runs init of a connection with these options more, whose endpoint is the proxy unless they say another."""

    def run(**entry):
        options = {"endpoint": front.url, "region": "us-east-1"} | entry.pop("options", {})
        document = {
            "name": "data",
            "kind": "s3",
            "schema": {"bucket": f"s3://{s3_bucket.name}"},
            "env": {"AWS_ACCESS_KEY_ID": "AKIDDATA", "AWS_SECRET_ACCESS_KEY": "secret-of-data"},
            "options": options,
            **entry,
        }
        program = Program(
            tmp_path,
            {"LIGHTERMAN_CATALOG": json.dumps([document]), "LIGHTERMAN_RETRY_FOR": "1"},
            ["secret-of-data"],
        )
        return program.run("init", "--connection", "data", "--to", tmp_path / "inputs")

    return run


def everything(_) -> bool:
    return True


@pytest.mark.parametrize(
    ("answer", "code", "said", "hint"),
    [
        (s3_error(403, "RequestTimeTooSkewed"), 77, "RequestTimeTooSkewed", "clock"),
        (
            s3_error(301, "PermanentRedirect", x_amz_bucket_region="eu-south-2"),
            78,
            "is in region eu-south-2, not in us-east-1",
            "set the connection's region to eu-south-2",
        ),
        (s3_error(400, "ExpiredToken"), 77, "ExpiredToken", "expired"),
        (s3_error(403, "InvalidAccessKeyId"), 77, "InvalidAccessKeyId", "AWS_ACCESS_KEY_ID"),
    ],
    ids=["skew", "region", "expired", "key"],
)
def test_what_the_store_says_is_told_with_its_mend(init, front, answer, code, said, hint):
    """Bad input: clock skew, a bucket of another region, an expired token."""
    front.on(everything, answer, times=None)

    ended = init()

    error = ended.report["error"]
    assert (code, code) == (ended.code, error["code"])
    assert said in error["message"]
    assert hint in error["hint"]


@pytest.mark.parametrize(("status", "code"), [(407, 77), (403, 78), (502, 75)])
def test_a_proxy_that_refuses(init, front, status, code):
    """Bad input: a proxy that refuses; its own address is named, and its mend."""
    front.on(everything, Answer(status), times=None)

    ended = init(options={"endpoint": "https://s3.example.org", "proxy": front.url})

    assert code == ended.code
    assert f"the proxy 127.0.0.1:{front.port}" in ended.report["error"]["message"]


@pytest.mark.parametrize(
    ("config", "said"),
    [
        ({"signature_version": "s3"}, "config_kwargs.signature_version"),
        ({"proxies": 3}, "config_kwargs.proxies"),
        ({"retries": {"attempts": 3}}, "config_kwargs.retries.attempts"),
    ],
)
def test_kwargs_that_cannot_be_meant(init, front, config, said):
    """78, before any request."""
    ended = init(options={"config_kwargs": config})

    assert 78 == ended.code
    assert said in ended.report["error"]["message"]
    assert [] == front.seen()


def test_a_secret_that_is_not_mounted(init, front, tmp_path):
    """A warning once, and in the hint when the login that was found instead is refused."""
    front.on(everything, s3_error(403, "InvalidAccessKeyId"), times=None)
    missing = str(tmp_path / "not-mounted")

    ended = init(secret={"name": "s3-secret", "mountPath": missing})

    assert 77 == ended.code
    assert f"no login was found in {missing}" in ended.report["error"]["hint"]
    [warned] = [line for line in ended.events if line["event"] == "credentials.not_mounted"]
    assert ("warning", "s3-secret", missing) == (warned["level"], warned["name"], warned["path"])
