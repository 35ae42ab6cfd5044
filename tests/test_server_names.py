"""The tests' servers under the clouds' own names, by an HTTP proxy and the tests' own CA."""

import pytest
import requests
from azure.core.exceptions import HttpResponseError
from azure.storage.blob import BlobServiceClient
from google.auth.transport.requests import AuthorizedSession
from google.cloud import storage
from google.oauth2.credentials import Credentials
from servers.containers import AzureContainer
from servers.gcs import OWNER_TOKEN, PROJECT


def test_gcs_by_its_own_name(gcs, gcs_bucket, proxy_to, authority, monkeypatch):
    """Through a proxy that stands for the internet, storage.googleapis.com is the tests' server."""
    proxy = proxy_to(gcs.endpoint, connect_tls=authority.server)
    monkeypatch.setenv("HTTPS_PROXY", proxy.url)
    credentials = Credentials(OWNER_TOKEN)
    session = AuthorizedSession(credentials)
    session.verify = str(authority.ca_bundle)
    client = storage.Client(project=PROJECT, credentials=credentials, _http=session)
    blob = client.bucket(gcs_bucket.name).blob("a", chunk_size=256 * 1024)
    with blob.open("wb", ignore_flush=True) as sink:
        sink.write(b"x" * 600_000)
    client.close()
    session.close()
    assert {"a": 600_000} == gcs_bucket.contents()
    tunnels = {request.target for request in proxy.seen() if request.method == "CONNECT"}
    assert {"storage.googleapis.com:443"} == tunnels


def test_azure_by_its_own_name(azurite, azure_container, proxy_to, authority, monkeypatch):
    """Through a proxy that stands for the internet, ACCOUNT.blob.core.windows.net is Azurite."""
    proxy = proxy_to(azurite.url, connect_tls=authority.server)
    monkeypatch.setenv("HTTPS_PROXY", proxy.url)
    with BlobServiceClient(
        f"https://{azurite.account}.blob.core.windows.net",
        azurite.key,
        connection_verify=str(authority.ca_bundle),
        retry_total=0,
    ) as service:
        service.get_blob_client(azure_container.name, "a").upload_blob(b"x")
    assert ["a"] == azure_container.keys()


def test_azurite_takes_only_its_own_key(azurite, azure_container):
    """A request that another key signed is refused (with 403 AuthorizationFailure; Azure itself says AuthenticationFailed)."""
    other = azurite._replace(key=azurite.key[::-1].lstrip("=") + "==")
    with pytest.raises(HttpResponseError, match="Server failed to authenticate the request"):
        AzureContainer(other, azure_container.name).keys()


def test_azurite_behind_tls_trusts_its_own_ca(azure_tls_container):
    """The certificate is of the tests' authority, and of no other."""
    azure_tls_container.put("a", b"x")
    assert b"x" == azure_tls_container.get("a")
    with pytest.raises(requests.exceptions.SSLError):
        requests.get(azure_tls_container.endpoint, timeout=30)
