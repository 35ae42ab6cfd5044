"""GETs as they are signed for straight reads, beside botocore's own signer."""

import datetime as dt
import re
import threading
import time
from unittest.mock import patch
from urllib.parse import quote

import pytest
from botocore.auth import S3SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.config import Config
from botocore.credentials import Credentials
from hypothesis import given
from hypothesis import strategies as st

from lighterman.stores.keys import quoted
from lighterman.stores.s3.login import Keys
from lighterman.stores.s3.signing import UNSIGNED, Signer

HOST = "bucket.s3.eu-west-1.amazonaws.com"
words = st.text(st.characters(codec="ascii", categories=["L", "N"]), min_size=1, max_size=20)


def signed_by_botocore(
    path, keys, region, seconds, more, *, method="GET", query="", signs_body=True
):
    moment = dt.datetime.fromtimestamp(seconds, dt.UTC)
    url = f"http://{HOST}{path}" + (f"?{query}" if query else "")
    request = AWSRequest(method, url, headers=more)
    request.context["client_config"] = Config(s3={"payload_signing_enabled": signs_body})
    with patch("botocore.auth.get_current_datetime", return_value=moment.replace(tzinfo=None)):
        S3SigV4Auth(Credentials(*keys), "s3", region).add_auth(request)
    return {name.lower(): value for name, value in request.headers.items()}


def signed_by_us(signer, path, seconds, **asked):
    lines = signer.fields(path, seconds, **asked).split("\r\n")
    assert lines.pop() == ""
    return dict(line.split(": ", 1) for line in lines)


@given(
    key=st.text(st.characters(codec="utf-8"), min_size=1, max_size=40),
    keys=st.builds(Keys, words, words, st.none() | words),
    region=st.sampled_from(["us-east-1", "eu-west-1", "auto"]),
    seconds=st.integers(1_500_000_000, 4_000_000_000),
    more=st.dictionaries(
        st.sampled_from(["x-amz-request-payer", "x-amz-server-side-encryption-customer-key"]), words
    ),
    method=st.sampled_from(["GET", "HEAD", "DELETE"]),
    asked=st.dictionaries(words, st.text(st.characters(codec="utf-8"), max_size=10)),
)
def test_the_signature_is_botocores(key, keys, region, seconds, more, method, asked):
    """For any key, login, region, time and query."""
    path = f"/{quoted(key)}"
    pairs = sorted((quote(name, safe="-._~"), quote(asked[name], safe="-._~")) for name in asked)
    query = "&".join(f"{name}={value}" for name, value in pairs)
    signer = Signer(HOST, region, keys, more)
    ours = signed_by_us(signer, path, seconds + 0.5, method=method, query=query)
    theirs = signed_by_botocore(path, keys, region, seconds, more, method=method, query=query)
    assert ours["authorization"] == theirs["authorization"]
    assert {name: theirs[name] for name in ours} == ours


@given(
    key=st.text(st.characters(codec="utf-8"), min_size=1, max_size=20),
    more=st.dictionaries(
        st.sampled_from(["x-amz-acl", "x-amz-tagging", "x-amz-z"]), words | st.just("a%sb%")
    ),
    values=st.dictionaries(
        st.sampled_from(
            ["content-type", "x-amz-checksum-crc32", "x-amz-meta-mode", "x-amz-meta-mtime"]
        ),
        words | st.just("50%/%s"),
    ),
    token=st.none() | words,
)
def test_fields_that_a_request_brings_are_signed_as_botocore_does(key, more, values, token):
    """Of a PUT whose body isn't signed, whichever fields it has."""
    keys, path, seconds = Keys("id", "secret", token), f"/{quoted(key)}", 1_700_000_000
    names = sorted(values)
    signer = Signer(HOST, "us-east-1", keys, more, given=names, body=UNSIGNED)
    given_values = tuple(values[name] for name in names)
    ours = signed_by_us(signer, path, seconds, method="PUT", values=given_values)
    headers = {**more, **values}
    theirs = signed_by_botocore(
        path, keys, "us-east-1", seconds, headers, method="PUT", signs_body=False
    )
    assert ours["authorization"] == theirs["authorization"]
    assert {name: theirs[name] for name in ours} == ours


def test_a_signer_follows_the_time():
    """Across seconds and midnights: what is computed once is computed anew."""
    keys = Keys("id", "secret", None)
    signer = Signer(HOST, "us-east-1", keys, {})
    midnight = 1_767_225_600
    for seconds in (midnight - 2, midnight - 1, midnight, midnight + 86_400, midnight - 2):
        ours = signed_by_us(signer, "/a", seconds)
        theirs = signed_by_botocore("/a", keys, "us-east-1", seconds, {})
        assert ours["authorization"] == theirs["authorization"]


@pytest.mark.parametrize("token", [None, "session-token-of-no-one"])
def test_the_secret_key_is_in_no_field(token):
    """A session token has a field of its own; the secret key never leaves."""
    signer = Signer(HOST, "us-east-1", Keys("id", "very-secret", token), {})
    fields = signer.fields("/a", 1_700_000_000)
    assert "very-secret" not in fields
    assert (token is not None) == bool(re.search("session-token-of-no-one", fields))


def test_threads_share_a_signer(monkeypatch):
    """At the turn of a second none signs with half of the old one and half of the new."""
    keys, now = Keys("id", "secret", None), 1_700_000_000
    expected = Signer(HOST, "us-east-1", keys, {}).fields("/a", now)
    signer = Signer(HOST, "us-east-1", keys, {})
    strftime, signed = time.strftime, []

    def interrupted(*arguments):
        monkeypatch.setattr("time.strftime", strftime)
        other = threading.Thread(target=lambda: signed.append(signer.fields("/a", now)))
        other.start()
        other.join()
        return strftime(*arguments)

    monkeypatch.setattr("time.strftime", interrupted)
    signed.append(signer.fields("/a", now))
    assert signed == [expected] * 2
