"""What is told of a login that gets no token, and how often it is asked for."""

from datetime import UTC, datetime, timedelta

import pytest
from gcs_logins import federation, is_token
from servers.faults import Answer, Reset, Stall
from servers.gcs import ACCOUNT
from servers.google_agents import (
    NODE_ACCOUNT,
    api_refusal,
    grant_refusal,
)

from lighterman.connections.model import Options
from lighterman.errors import (
    ConfigurationError,
    CredentialsError,
    SlowDownError,
    TransientError,
)

SKEW = (
    "Invalid JWT: Token must be a short-lived token (60 minutes) and in a reasonable timeframe."
    " Check your iat and exp values in the JWT claim."
)


@pytest.mark.parametrize(
    ("error", "description", "message", "hint"),
    [
        ("invalid_grant", SKEW, "this machine's clock is wrong", "set the clock"),
        ("invalid_grant", "Invalid JWT Signature.", "its private key doesn't belong to the service account", "create a new one"),
        ("invalid_grant", "Invalid grant: account not found", "there is no such service account", "client_email"),
        ("invalid_grant", "Token has been expired or revoked.", "has expired or was revoked", "log in again"),
        ("invalid_grant", "Bad Request", "(400 invalid_grant)", "not disabled in IAM"),
        ("invalid_scope", "Invalid OAuth scope or ID token audience provided.", "scopes aren't known", "GC_SCOPES"),
        ("invalid_client", "The OAuth client was not found.", "its client isn't known", "client_id"),
        ("unauthorized_client", "Client is unauthorized", "may not have these scopes", "GC_SCOPES"),
        ("hunter22 hunter22", "x", "(400)", "whole"),
    ],
)  # fmt: skip
def test_a_refusal_of_the_token_endpoint_is_explained(
    log_in, key, endpoint, error, description, message, hint
):
    """77: what is wrong with the login, from where it came, and how to mend it. Asked once."""
    endpoint.on(is_token, Answer(400, grant_refusal(error, f"{description} hunter22")))
    with pytest.raises(CredentialsError) as caught:
        log_in(key).token()
    found = caught.value
    where = f"the login from env of the connection ({ACCOUNT}) was refused by {endpoint.url} (400"
    assert found.message.startswith(where)
    assert message in found.message
    assert hint in found.hint
    assert "hunter22" not in found.message + found.hint
    assert ("mine", 1) == (found.connection, len(endpoint.seen()))


@pytest.mark.parametrize(("seconds", "said"), [(-600, "600 s ahead"), (600, "600 s behind")])
def test_a_wrong_clock_is_told_by_how_much(log_in, key, endpoint, seconds, said):
    """The endpoint's own time is in its answer."""
    date = datetime.now(UTC) + timedelta(seconds=seconds)
    answer = Answer(
        400, grant_refusal("invalid_grant", SKEW), Date=f"{date:%a, %d %b %Y %H:%M:%S} GMT"
    )
    endpoint.on(is_token, answer)
    with pytest.raises(CredentialsError) as caught:
        log_in(key).token()
    told = caught.value.message.rpartition("(")[2].rstrip(")")
    # A second may have gone by.
    assert (said.split()[1:], True) == (told.split()[1:], abs(int(told.split()[0]) - 600) <= 2)


def test_a_wrong_clock_is_recognised_as_google_says_it(log_in, key, monkeypatch):
    """A JWT of an hour ago is refused by the endpoint itself, with its words for clock skew."""
    import google.auth._helpers

    now = google.auth._helpers.utcnow
    monkeypatch.setattr(google.auth._helpers, "utcnow", lambda: now() - timedelta(hours=3))
    with pytest.raises(CredentialsError, match="this machine's clock is wrong"):
        log_in(key).token()


def test_a_key_of_another_account_is_refused(gcs, log_in, key):
    """A deleted account and a replaced key, as the endpoint tells them."""
    with pytest.raises(CredentialsError, match="there is no such service account"):
        log_in(key | {"client_email": "nobody@tests.iam.gserviceaccount.com"}).token()


@pytest.mark.parametrize(
    ("status", "name", "message", "hint"),
    [
        (403, "PERMISSION_DENIED", "may not impersonate the service account", "roles/iam.serviceAccountTokenCreator"),
        (404, "NOT_FOUND", "(404 NOT_FOUND)", "credentials"),
    ],
)  # fmt: skip
def test_a_refused_impersonation_names_the_missing_role(
    log_in, key, google, by_google, status, name, message, hint
):
    """77, with IAM's role that lacks."""
    google.on(
        lambda request: "generateAccessToken" in request.path,
        Answer(status, api_refusal(status, name, "Permission 'iam…' denied")),
    )
    url = f"https://iamcredentials.googleapis.com/v1/projects/-/serviceAccounts/{NODE_ACCOUNT}"
    credentials = {
        "type": "impersonated_service_account",
        "service_account_impersonation_url": f"{url}:generateAccessToken",
        "source_credentials": key | {"token_uri": "https://oauth2.googleapis.com/token"},
    }
    with pytest.raises(CredentialsError) as caught:
        log_in(credentials, **by_google).token()
    assert message in caught.value.message
    assert hint in caught.value.hint


@pytest.mark.parametrize(
    ("error", "description", "message"),
    [
        ("invalid_grant", "ID Token issued at 1 is stale to sign-in.", "has expired"),
        ("invalid_target", 'The target service indicated by the "audience" parameters is invalid.', "audience names no workload identity provider"),
        ("unauthorized_client", "The given credential is rejected by the attribute condition.", "attribute condition refuses it"),
    ],
)  # fmt: skip
def test_a_refused_federation_is_explained(
    log_in, gcs, proxy_to, tmp_path, error, description, message
):
    """77: the token in the file, the audience, or the provider's condition."""
    sts = proxy_to(gcs.endpoint)
    sts.on(is_token, Answer(400, grant_refusal(error, description)))
    token_file = tmp_path / "token"
    token_file.write_text("subject-token")
    with pytest.raises(CredentialsError, match=message):
        log_in(federation(gcs, token_file, token_url=f"{sts.url}/v1/token")).token()


def test_a_federation_whose_token_file_is_missing_is_explained(log_in, gcs, tmp_path):
    """77, with where to look."""
    with pytest.raises(CredentialsError) as caught:
        log_in(federation(gcs, tmp_path / "absent")).token()
    assert "credential_source" in caught.value.hint


def test_a_private_key_that_is_damaged_inside_is_explained(log_in, key):
    """77: it looks like PEM, and is none."""
    body = "-----BEGIN PRIVATE KEY-----\nAAAABBBBCCCCDDDD\n-----END PRIVATE KEY-----\n"
    with pytest.raises(CredentialsError) as caught:
        log_in(key | {"private_key": body}).token()
    assert "private_key is damaged" in caught.value.hint
    assert "AAAABBBB" not in str(caught.value)


def test_a_federation_by_certificate_is_refused_by_name(log_in, gcs, tmp_path):
    """What can't be done is an error, not a surprise."""
    source = {"certificate": {"use_default_certificate_config": True}}
    with pytest.raises(ConfigurationError, match="by client certificate isn't supported"):
        log_in(federation(gcs, tmp_path / "t", credential_source=source)).token()


@pytest.mark.parametrize(
    ("fault", "expected", "message"),
    [
        (Answer(500), TransientError, "failed to give out a token (500)"),
        (Answer(503, grant_refusal("backend_error", "x")), TransientError, "(503 backend_error)"),
        (Answer(400, grant_refusal("internal_failure", "x")), TransientError, "(400 internal_failure)"),
        (Answer(429), SlowDownError, "gives out no more tokens for now"),
        (Answer(200, b"<html>log in to the hotel</html>"), CredentialsError, "answered without a token"),
        (Answer(200, b"{}"), CredentialsError, "answered without a token"),
        (Stall(), TransientError, "no answer came in time"),
    ],
)  # fmt: skip
def test_a_token_endpoint_in_trouble_is_asked_once(log_in, key, endpoint, fault, expected, message):
    """SDK retries are turned down: whoever calls owns the attempts."""
    endpoint.on(is_token, fault, times=None)
    with pytest.raises(expected) as caught:
        log_in(key, stall_seconds=0.3).token()
    assert expected is type(caught.value)
    assert message in caught.value.message
    assert 1 == len(endpoint.seen())


def test_a_connection_that_breaks_is_transient_trouble(log_in, key, endpoint, closed_port):
    """A reset, and a port on which nobody listens."""
    endpoint.on(is_token, Reset(), times=None)
    with pytest.raises(TransientError, match="the connection broke"):
        log_in(key).token()
    with pytest.raises(TransientError, match="it refuses the connection"):
        log_in(key | {"token_uri": f"http://127.0.0.1:{closed_port}/token"}).token()


def test_an_untrusted_certificate_names_ca_bundle(log_in, key, google):
    """78: without the private CA the token endpoint can't be trusted."""
    credentials = key | {"token_uri": "https://oauth2.googleapis.com/token"}
    with pytest.raises(ConfigurationError) as caught:
        log_in(credentials, options=Options(proxy=google.url)).token()
    assert "the certificate of https://oauth2.googleapis.com isn't trusted" in caught.value.message
    assert "ca_bundle" in caught.value.hint
