"""Logins that are found by the SDK's own chain: the metadata server, gcloud's own file, or nothing."""

import json
import socket

import pytest
from gcs_logins import SCOPE, in_another_process
from servers.google_agents import (
    MetadataServer,
)

from lighterman.errors import (
    CredentialsError,
    NoCredentialsError,
    TransientError,
)


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
        ("Standard PC\n", NoCredentialsError, "connection 'mine' has no credentials"),
        (None, NoCredentialsError, "connection 'mine' has no credentials"),
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
