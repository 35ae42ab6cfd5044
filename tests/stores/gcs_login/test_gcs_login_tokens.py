"""How a GCS connection comes by its access token: from the token endpoint, from STS, from IAM."""

import json
import urllib.parse
import urllib.request

import pytest
from gcs_logins import SCOPE, federation, is_token, listing
from servers.faults import Answer
from servers.gcs import ACCOUNT
from servers.google_agents import (
    NODE_ACCOUNT,
    impersonated_token,
)

from lighterman.connections.model import Options
from lighterman.errors import (
    CredentialsError,
)
from lighterman.stores.gcs.login import Login


def test_a_service_account_logs_in_and_lists(gcs_bucket, log_in, key):
    """A signed JWT is exchanged for an access token, which the store takes."""
    gcs_bucket.put("a")
    assert ["a"] == listing(gcs_bucket, log_in(key).token())


def test_a_user_logs_in_and_lists(gcs, gcs_bucket, log_in, google, by_google):
    """gcloud's application default credentials: a refresh token at Google's own endpoint, through proxy and CA."""
    gcs.accept_refresh("1//the-refresh-token", "someone@example.com")
    gcs_bucket.grant("roles/storage.objectViewer", "serviceAccount:someone@example.com")
    gcs_bucket.put("a")
    user = {
        "type": "authorized_user",
        "client_id": "id",
        "client_secret": "the-client-secret",
        "refresh_token": "1//the-refresh-token",
    }
    environ = {"REQUESTS_CA_BUNDLE": "/not/there", "HTTPS_PROXY": "http://127.0.0.1:1"}
    assert ["a"] == listing(gcs_bucket, log_in(user, environ, **by_google).token())
    assert ["oauth2.googleapis.com:443", "/token"] == [each.target for each in google.seen()]


def test_a_workload_identity_federation_logs_in_and_lists(gcs, gcs_bucket, log_in, tmp_path, clock):
    """A token from a file is exchanged at STS; the file is read anew for each exchange."""
    gcs_bucket.put("a")
    token_file = tmp_path / "token"
    login = log_in(federation(gcs, token_file))
    tokens = []
    for number in range(2):
        token_file.write_text(f"subject-token-{number}")
        gcs.accept_refresh(f"subject-token-{number}")
        gcs_bucket.grant("roles/storage.objectViewer", f"serviceAccount:{ACCOUNT}")
        tokens.append(login.token())
        assert ["a"] == listing(gcs_bucket, tokens[-1])
        clock.now_seconds += 4000
    assert tokens[0] != tokens[1]


def test_a_federation_takes_its_token_from_a_url(gcs, log_in, proxy_to, tmp_path):
    """As Azure's and GitHub's: an address that answers with a JSON that holds the token."""
    issuer = proxy_to(gcs.endpoint)
    issuer.on(lambda _: True, Answer(200, b'{"access_token": "subject-of-the-url"}'))
    gcs.accept_refresh("subject-of-the-url")
    source = {
        "url": f"{issuer.url}/identity",
        "headers": {"Metadata": "True"},
        "format": {"type": "json", "subject_token_field_name": "access_token"},
    }
    token = log_in(federation(gcs, tmp_path, credential_source=source)).token()
    assert str(token).startswith("ya29.")
    assert ["True"] == [asked.headers["metadata"] for asked in issuer.seen()]


def test_a_federation_takes_its_token_from_a_program(gcs, log_in, monkeypatch, tmp_path):
    """Where that is allowed, by the variable that Google's own libraries ask for."""
    said = {
        "version": 1,
        "success": True,
        "token_type": "urn:ietf:params:oauth:token-type:jwt",
        "id_token": "subject-of-the-program",
    }
    gcs.accept_refresh("subject-of-the-program")
    (tmp_path / "said").write_text(json.dumps(said))
    source = {"executable": {"command": f"cat {tmp_path}/said", "timeout_millis": 5000}}
    login = log_in(federation(gcs, tmp_path, credential_source=source))
    with pytest.raises(CredentialsError):
        login.token()
    monkeypatch.setenv("GOOGLE_EXTERNAL_ACCOUNT_ALLOW_EXECUTABLES", "1")
    assert str(login.token()).startswith("ya29.")


def test_a_federation_of_an_aws_identity_is_exchanged(gcs, log_in, proxy_to, monkeypatch, tmp_path):
    """The subject token is a signed GetCallerIdentity of AWS, which Google's STS sends there."""
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "AKIDEXAMPLE")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "aws-secret")
    monkeypatch.setenv("AWS_REGION", "eu-west-1")
    sts = proxy_to(gcs.endpoint)
    answer = {"access_token": "of-aws", "expires_in": 3600, "token_type": "Bearer"}
    sts.on(is_token, Answer(200, json.dumps(answer).encode()))
    aws = federation(
        gcs,
        tmp_path,
        token_url=f"{sts.url}/v1/token",
        subject_token_type="urn:ietf:params:aws:token-type:aws4_request",
        credential_source={
            "environment_id": "aws1",
            "regional_cred_verification_url": "https://sts.{region}.amazonaws.com"
            "?Action=GetCallerIdentity&Version=2011-06-15",
        },
    )
    assert "of-aws" == log_in(aws).token()
    form = dict(urllib.parse.parse_qsl(sts.seen()[0].body_start.decode()))
    subject = json.loads(urllib.parse.unquote(form["subject_token"]))
    assert subject["url"].startswith("https://sts.eu-west-1.amazonaws.com?Action=GetCallerIdentity")
    [authorization] = [
        each["value"] for each in subject["headers"] if each["key"] == "Authorization"
    ]
    assert "Credential=AKIDEXAMPLE/" in authorization


def test_a_federated_login_stands_for_a_service_account(gcs, log_in, tmp_path, proxy_to):
    """service_account_impersonation_url: the exchanged token gets one of the service account."""
    iam = proxy_to(gcs.endpoint)
    iam.on(lambda _: True, Answer(200, impersonated_token("of-the-account")))
    token_file = tmp_path / "token"
    token_file.write_text("subject-token")
    gcs.accept_refresh("subject-token")
    url = f"{iam.url}/v1/projects/-/serviceAccounts/{ACCOUNT}:generateAccessToken"
    login = log_in(federation(gcs, token_file, service_account_impersonation_url=url))
    assert "of-the-account" == login.token()
    [asked] = iam.seen()
    assert asked.headers["authorization"].startswith("Bearer ya29.")
    assert {"delegates": None, "lifetime": "3600s", "scope": [SCOPE]} == json.loads(
        asked.body_start
    )


def test_an_impersonation_logs_in(gcs, log_in, key, google, by_google):
    """impersonated_service_account: the source's token gets one of the target at IAM."""
    target = f"https://iamcredentials.googleapis.com/v1/projects/-/serviceAccounts/{NODE_ACCOUNT}"
    google.on(
        lambda request: request.path.endswith(f"{NODE_ACCOUNT}:generateAccessToken"),
        Answer(200, impersonated_token("of-the-target")),
    )
    credentials = {
        "type": "impersonated_service_account",
        "service_account_impersonation_url": f"{target}:generateAccessToken",
        "source_credentials": key | {"token_uri": "https://oauth2.googleapis.com/token"},
    }
    assert "of-the-target" == log_in(credentials, **by_google).token()
    asked = [each.headers["host"] for each in google.seen() if each.method == "POST"]
    assert ["oauth2.googleapis.com", "iamcredentials.googleapis.com"] == asked


def test_scopes_are_asked_for(log_in, key, endpoint):
    """GC_SCOPES, else cloud-platform, is what the JWT claims."""
    import google.auth.jwt

    def scope_of(login: Login) -> object:
        endpoint.forget()
        login.token()
        form = dict(urllib.parse.parse_qsl(endpoint.seen()[0].body_start.decode()))
        return google.auth.jwt.decode(form["assertion"], verify=False)["scope"]

    assert SCOPE == scope_of(log_in(key))
    assert "https://a https://b" == scope_of(log_in(key, {"GC_SCOPES": "https://a,https://b"}))


def test_nobody_is_asked_for_an_anonymous_login(gcs_bucket, log_in, key):
    """options.anonymous and an emulator: no token, and no request for one."""
    gcs_bucket.grant("roles/storage.objectViewer", "allUsers")
    gcs_bucket.put("a")
    for login in (
        log_in(key, options=Options(anonymous=True)),
        log_in(environ={"STORAGE_EMULATOR_HOST": gcs_bucket.endpoint}),
    ):
        assert login.token() is None
        assert login.renewed("any") is None
        assert ["a"] == listing(gcs_bucket, login.token())
