"""How a GCS connection comes by its access token: from the token endpoint, STS, IAM, the metadata server."""

import json
import os
import socket
import subprocess
import sys
import threading
import urllib.parse
import urllib.request
from datetime import UTC, datetime, timedelta
from pathlib import Path

import obstore
import pytest
from obstore.store import GCSStore
from servers.faults import Answer, Call, Reset, Stall
from servers.gcs import ACCOUNT, GcsBucket
from servers.google_agents import (
    NODE_ACCOUNT,
    MetadataServer,
    api_refusal,
    grant_refusal,
    impersonated_token,
)

from lighterman.connections.gcs_login import GcsLogin, GcsLogins
from lighterman.connections.model import Bucket, Connection, Mount, Options
from lighterman.errors import (
    ConfigurationError,
    CredentialsError,
    LightermanError,
    SlowDownError,
    TransientError,
)
from lighterman.secret import MASK, scrub
from lighterman.stores.failures import Place
from lighterman.stores.gcs.login import EARLY_SECONDS, RETRY_SECONDS, Login, login_of
from lighterman.stores.network import Network, proxy_for

SCOPE = "https://www.googleapis.com/auth/cloud-platform"


class HandClock:
    """A clock that stands still until it is told otherwise."""

    def __init__(self) -> None:
        self.now_seconds = 100.0

    def monotonic(self) -> float:
        return self.now_seconds

    def wall(self) -> float:
        return self.now_seconds

    def wait(self, seconds: float, until: threading.Event | None = None) -> bool:
        self.now_seconds += seconds
        return bool(until and until.is_set())


@pytest.fixture
def clock() -> HandClock:
    return HandClock()


@pytest.fixture
def log_in(clock):
    """The token source of a connection, as a store makes it; closed at the test's end."""
    made: list[Login] = []

    def log_in(credentials=None, environ=None, stall_seconds=10.0, **fields) -> Login:
        env = {"GOOGLE_KEYFILE_DICT": json.dumps(credentials)} if credentials else {}
        connection = Connection(
            name="mine", kind="gcs", schema=Bucket("gs://b"), **{"env": env} | fields
        )
        login: GcsLogin = GcsLogins(connection, environ or {}).current()

        def reach(endpoint: str) -> Network:
            return Network(
                endpoint=endpoint,
                verify=login.verify,
                proxy=proxy_for(connection, environ or {}, endpoint),
                stall_seconds=stall_seconds,
                concurrency=1,
            )

        place = Place("mine", "b", "https://storage.googleapis.com", "", login.source)
        made.append(login_of(login, place, reach, clock))
        return made[-1]

    yield log_in
    for login in made:
        login.close()


@pytest.fixture
def endpoint(gcs, proxy_to):
    """The proxy before the token endpoint."""
    return proxy_to(gcs.endpoint)


@pytest.fixture
def key(gcs, endpoint) -> dict[str, str]:
    """A service account's key file, whose tokens are asked for through the proxy."""
    return gcs.service_account() | {"token_uri": f"{endpoint.url}/token"}


@pytest.fixture
def google(gcs, proxy_to, authority):
    """An HTTPS proxy that leads to the tests' server in the place of Google, whatever is asked for."""
    return proxy_to(gcs.endpoint, connect_tls=authority.server)


@pytest.fixture
def by_google(google, authority) -> dict[str, object]:
    """Fields of a connection that reaches Google through that proxy, with the CA that vouches for it."""
    return {"options": Options(proxy=google.url, ca_bundle=str(authority.ca_bundle))}


def listing(bucket: GcsBucket, token: str | None) -> list[str]:
    """The keys of a bucket, listed with this token."""
    request = urllib.request.Request(f"{bucket.endpoint}/storage/v1/b/{bucket.name}/o")
    if token:
        request.add_header("Authorization", f"Bearer {token}")
    with urllib.request.urlopen(request, timeout=10) as answer:
        return [item["name"] for item in json.load(answer).get("items", [])]


def is_token(request) -> bool:
    return request.path.endswith("/token")


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


def federation(gcs, token_file: Path, **more) -> dict[str, object]:
    return {
        "type": "external_account",
        "audience": "//iam.googleapis.com/projects/1/locations/global/workloadIdentityPools/p/providers/q",
        "subject_token_type": "urn:ietf:params:oauth:token-type:jwt",
        "token_url": f"{gcs.endpoint}/v1/token",
        "credential_source": {"file": str(token_file)},
    } | more


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


OTHER_PROCESS = """
import json, os, sys
from lighterman.connections.gcs_login import GcsLogins
from lighterman.connections.model import Bucket, Connection
from lighterman.errors import LightermanError
from lighterman.stores.failures import Place
from lighterman.stores.gcs.login import login_of
from lighterman.stores.network import Network, proxy_for

connection = Connection(name="mine", kind="gcs", schema=Bucket("gs://b"))
login = GcsLogins(connection, os.environ).current()
place = Place("mine", "b", "https://storage.googleapis.com", "", login.source)

def reach(endpoint):
    proxy = proxy_for(connection, os.environ, endpoint)
    return Network(endpoint=endpoint, proxy=proxy, stall_seconds=5, concurrency=1)

said = {"source": login.source}
try:
    said["token"] = login_of(login, place, reach).token()
except LightermanError as error:
    said |= {"error": type(error).__name__, "message": error.message, "hint": error.hint}
said["modules"] = sorted({name.split(".")[0] for name in sys.modules})
json.dump(said, sys.stdout)
"""


def in_another_process(environ: dict[str, str], path: Path) -> dict[str, object]:
    """google-auth reads the metadata server's place as it is imported: once in a process."""
    base = {
        name: os.environ[name] for name in ("PATH", "COVERAGE_PROCESS_START") if name in os.environ
    }
    ran = subprocess.run(
        [sys.executable, "-W", "error", "-c", OTHER_PROCESS],
        env={**base, "HOME": str(path), "PYTHONPATH": str(Path(__file__).parents[2])} | environ,
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    return json.loads(ran.stdout)


def test_workload_identity_logs_in_by_the_metadata_server(tmp_path):
    """GKE workload identity, as recorded: the account first, then its token, as the metadata server wants it asked."""
    with MetadataServer("ya29.of-the-pod") as server:
        environ = {"GCE_METADATA_HOST": server.host, "HTTP_PROXY": "http://127.0.0.1:1"}
        said = in_another_process(environ, tmp_path)
    assert ("ya29.of-the-pod", "the SDK's own chain") == (said["token"], said["source"])
    root = "/computeMetadata/v1/instance/service-accounts/default/"
    assert [
        ("GET", root, {"recursive": ["true"]}, "Google"),
        ("GET", f"{root}token", {"scopes": [SCOPE]}, "Google"),
    ] == [tuple(asked) for asked in server.asked]


@pytest.mark.parametrize(
    ("refusal", "error", "message", "hint"),
    [
        ((404, "Not Found"), "CredentialsError", "has no service account", "workload identity"),
        ((403, "IAM returned 403 Forbidden"), "CredentialsError", "may not have a token", "roles/iam.workloadIdentityUser"),
        ((503, "unavailable"), "TransientError", "failed to give out a token (503)", "start it again"),
        ((429, "quota"), "SlowDownError", "gives out no more tokens", "later"),
    ],
)  # fmt: skip
def test_a_refusal_of_the_metadata_server_is_explained(tmp_path, refusal, error, message, hint):
    """Asked once, and told what lacks: a service account, or the right to stand for it."""
    with MetadataServer("unused", refusal=refusal) as server:
        said = in_another_process({"GCE_METADATA_HOST": server.host}, tmp_path)
    assert error == said["error"]
    assert message in said["message"]
    assert hint in said["hint"]
    assert 2 == len(server.asked)


def test_a_metadata_server_that_is_not_up_yet_is_waited_for(tmp_path, closed_port):
    """GKE's needs some seconds on a new pod: transient, not a missing login."""
    said = in_another_process({"GCE_METADATA_HOST": f"127.0.0.1:{closed_port}"}, tmp_path)
    assert ("TransientError", f"no answer from http://127.0.0.1:{closed_port}: it refuses the connection") == (
        said["error"],
        said["message"],
    )  # fmt: skip


def test_gclouds_own_login_is_found(tmp_path, gcs, google, authority):
    """Application default credentials in gcloud's well-known place."""
    directory = tmp_path / ".config/gcloud"
    directory.mkdir(parents=True)
    user = {
        "type": "authorized_user",
        "client_id": "i",
        "client_secret": "s",
        "refresh_token": "1//r",
    }
    (directory / "application_default_credentials.json").write_text(json.dumps(user))
    gcs.accept_refresh("1//r")
    environ = {"HTTPS_PROXY": google.url, "SSL_CERT_FILE": str(authority.ca_bundle)}
    said = in_another_process(environ, tmp_path)
    assert "the SDK's own chain" == said["source"]
    assert said["token"].startswith("ya29.")


def test_no_credentials_at_all_are_said_with_their_mend(log_in, monkeypatch):
    """77 where there is neither a key nor a metadata server."""
    monkeypatch.setenv("NO_GCE_CHECK", "true")
    with pytest.raises(CredentialsError) as caught:
        log_in().token()
    assert "connection 'mine' has no credentials" == caught.value.message
    assert "options.anonymous" in caught.value.hint


@pytest.mark.parametrize(
    ("product", "expected", "message"),
    [
        ("Google Compute Engine\n", TransientError, "no answer from http://metadata.google.internal: its name doesn't resolve"),
        ("Standard PC\n", CredentialsError, "connection 'mine' has no credentials"),
        (None, CredentialsError, "connection 'mine' has no credentials"),
    ],
)  # fmt: skip
def test_only_google_s_machines_wait_for_the_metadata_server(
    log_in, monkeypatch, tmp_path, product, expected, message
):
    """Elsewhere its name doesn't resolve, and a missing login is said at once: 77 in place of 75."""

    def no_names(*_: object, **__: object) -> None:
        raise socket.gaierror(socket.EAI_AGAIN, "Temporary failure in name resolution")

    path = tmp_path / "product_name"
    if product:
        path.write_text(product)
    monkeypatch.setattr("lighterman.stores.gcs.login._PRODUCT", str(path))
    monkeypatch.setattr(socket, "getaddrinfo", no_names)
    with pytest.raises(expected) as caught:
        log_in().token()
    assert (expected, message) == (type(caught.value), caught.value.message)


def test_a_service_account_needs_little_of_the_sdk(tmp_path, key):
    """Opening a connection imports only its own SDK, and of that what the login needs."""
    path = tmp_path / "key.json"
    path.write_text(json.dumps(key))
    said = in_another_process({"GOOGLE_APPLICATION_CREDENTIALS": str(path)}, tmp_path)
    assert said["token"].startswith("ya29.")
    assert not {"requests", "grpc", "boto3", "botocore", "azure", "aiohttp"} & set(said["modules"])


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


def test_a_token_is_kept_until_it_is_near_its_end(log_in, key, endpoint, clock):
    """Renewed before its expiry, and asked for no oftener."""
    login = log_in(key)
    first = login.token()
    clock.now_seconds += 3600 - EARLY_SECONDS - 5
    assert first == login.token()
    clock.now_seconds += 10
    second = login.token()
    assert first != second
    assert second == login.token()
    assert 2 == len(endpoint.seen())


def test_a_token_of_a_short_life_is_kept_for_half_of_it(log_in, key, endpoint, clock):
    """A life shorter than the usual margin doesn't make each request ask first."""
    answer = json.dumps({"access_token": "short", "expires_in": 60, "token_type": "Bearer"})
    endpoint.on(is_token, Answer(200, answer.encode()), times=None)
    login = log_in(key)
    for _ in range(5):
        login.token()
        clock.now_seconds += 5
    assert 1 == len(endpoint.seen())
    clock.now_seconds += 10
    login.token()
    assert 2 == len(endpoint.seen())


def test_while_one_thread_renews_the_others_go_on(log_in, key, endpoint, clock):
    """Nobody waits for a token that is renewed early."""
    login = log_in(key)
    first = login.token()
    clock.now_seconds += 3600 - 100
    seen_meanwhile = []
    endpoint.on(is_token, Call(lambda _: seen_meanwhile.append(login.token())))
    second = login.token()
    assert [first] == seen_meanwhile
    assert first != second


def test_an_early_renewal_that_fails_costs_nothing(log_in, key, endpoint, clock):
    """While the old token is good, trouble of the endpoint is no trouble; it is asked again after a while."""
    login = log_in(key)
    first = login.token()
    endpoint.on(is_token, Answer(503), times=2)
    clock.now_seconds += 3600 - 100
    assert [first, first] == [login.token(), login.token()]
    clock.now_seconds += RETRY_SECONDS
    assert first == login.token()
    assert 3 == len(endpoint.seen())
    clock.now_seconds += RETRY_SECONDS
    assert first != login.token()


def test_a_token_that_ran_out_is_not_given_any_more(log_in, key, endpoint, clock):
    """After its end the endpoint's trouble is the caller's."""
    login = log_in(key)
    login.token()
    endpoint.on(is_token, Answer(503), times=None)
    clock.now_seconds += 3601
    with pytest.raises(TransientError):
        login.token()


def test_threads_that_start_together_ask_once(log_in, key, endpoint):
    """One request for a token, whoever needs it."""
    login = log_in(key)
    found: list[str | None] = []
    threads = [threading.Thread(target=lambda: found.append(login.token())) for _ in range(16)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert (16, 1) == (len(found), len(set(found)))
    assert 1 == len(endpoint.seen())


class CountedLock:
    """A lock that tells how many have come to it."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._count = threading.Condition()
        self.came = 0

    def __enter__(self) -> None:
        with self._count:
            self.came += 1
            self._count.notify_all()
        self._lock.acquire()

    def __exit__(self, *_: object) -> None:
        self._lock.release()

    def wait_for(self, count: int) -> bool:
        with self._count:
            return self._count.wait_for(lambda: self.came >= count, 30)


def test_threads_that_waited_share_the_refusal(log_in, key, endpoint, monkeypatch):
    """A refused login isn't asked for again by each of those who waited for the answer."""
    login = log_in(key)
    lock = CountedLock()
    monkeypatch.setattr(login, "_lock", lock)
    errors: list[LightermanError] = []

    def ask() -> None:
        with pytest.raises(CredentialsError) as caught:
            login.token()
        errors.append(caught.value)

    endpoint.on(is_token, Call(lambda _: lock.wait_for(8)))
    endpoint.on(is_token, Answer(400, grant_refusal("invalid_grant", "x")), times=None)
    threads = [threading.Thread(target=ask) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert (8, 1) == (len(errors), len({error.message for error in errors}))
    assert 1 == len(endpoint.seen())


def test_a_refused_token_is_replaced(gcs, gcs_bucket, log_in, key):
    """A token that was revoked before its end: another one is got, once for all threads."""
    login = log_in(key)
    first = login.token()
    gcs.revoke_all(ACCOUNT)
    second = login.renewed(first)
    assert second not in (None, first)
    assert second == login.renewed(first) == login.token()
    assert [] == listing(gcs_bucket, second)


def test_there_may_be_no_other_token(log_in, key, endpoint):
    """Whoever gives out the same token again has no other: the refusal holds."""
    answer = json.dumps({"access_token": "the-same", "expires_in": 3600, "token_type": "Bearer"})
    endpoint.on(is_token, Answer(200, answer.encode()), times=None)
    login = log_in(key)
    assert login.renewed(str(login.token())) is None


def test_obstore_asks_for_the_token_of_each_request(gcs, gcs_bucket, log_in, key):
    """The same login is obstore's credential provider; what is renewed here counts there at once."""
    gcs_bucket.put("a", b"content")
    login = log_in(key)
    store = GCSStore(
        gcs_bucket.name,
        base_url=gcs_bucket.endpoint,
        credential_provider=login.credential,
        client_options={"allow_http": True},
        retry_config={"max_retries": 0, "retry_timeout": timedelta(seconds=5)},
    )
    assert b"content" == bytes(obstore.get(store, "a").bytes())
    gcs.revoke_all(ACCOUNT)
    with pytest.raises(obstore.exceptions.UnauthenticatedError):
        obstore.get(store, "a")
    login.renewed(str(login.token()))
    assert b"content" == bytes(obstore.get(store, "a").bytes())


def test_no_token_is_shown_anywhere(log_in, key):
    """Tokens are secrets from the moment that they came."""
    login = log_in(key)
    token = login.token()
    assert MASK == scrub(str(token))
    assert str(token) not in repr(login) + repr(vars(login))


def test_a_rotated_secret_logs_in_anew(gcs, gcs_bucket, log_in, tmp_path):
    """A mounted key file that changes is another login, whose tokens are its own."""
    other = "other@tests.iam.gserviceaccount.com"
    gcs_bucket.grant("roles/storage.objectViewer", f"serviceAccount:{other}")
    for name, email in (("one", ACCOUNT), ("two", other)):
        (tmp_path / name).mkdir()
        (tmp_path / name / "key.json").write_text(json.dumps(gcs.service_account(email)))
    (tmp_path / "..data").symlink_to("one")
    (tmp_path / "key.json").symlink_to("..data/key.json")
    connection = Connection(
        name="mine",
        kind="gcs",
        schema=Bucket("gs://b"),
        secret=Mount(name="s", mount_path=str(tmp_path), items=("key.json",)),
    )
    logins = GcsLogins(connection, {})
    assert ACCOUNT == logins.current().account
    (tmp_path / "..new").symlink_to("two")
    os.replace(tmp_path / "..new", tmp_path / "..data")
    found = logins.refreshed()
    assert other == found.account
    token = log_in(None, env={"GC_KEYFILE_DICT": found.key_file}).token()
    assert [] == listing(gcs_bucket, token)
