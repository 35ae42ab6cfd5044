"""The logins of GCS and Azure in `get_fs`, and what of them is never seen."""

import json

import msgspec
import pytest
from azure.core.exceptions import HttpResponseError
from catalogs import NAME, write_catalog
from servers.entra import CLIENT, CLIENT_SECRET, TENANT, TokenServer
from servers.faults import Request

import lighterman
from lighterman.connections.model import Mount
from lighterman.secret import Secret


def with_env(connection, **env):
    return msgspec.structs.replace(
        connection, env={name: Secret(value) for name, value in env.items()}
    )


def is_authorized(request: Request) -> bool:
    return any(name.lower() == "authorization" for name in request.headers)


def written_and_read(catalog, **environ):
    """Through a filesystem that is opened with this catalog, and closed."""
    fs = lighterman.get_fs(NAME, catalog=catalog, environ=environ)
    fs.pipe_file("a", b"1")
    read = fs.cat_file("a")
    fs.close()
    return read


@pytest.mark.parametrize("form", ["key", "signature", "connection string"])
def test_azures_logins(azure_container, tmp_path, form):
    """Account key, SAS token and connection string; the environment's own login is another's."""
    server = azure_container.server
    env = {
        "key": {"AZURE_STORAGE_ACCOUNT": server.account, "AZURE_STORAGE_KEY": server.key},
        "signature": {
            "AZURE_STORAGE_ACCOUNT": server.account,
            "AZURE_STORAGE_SAS_TOKEN": azure_container.sas(),
        },
        "connection string": {"AZURE_STORAGE_CONNECTION_STRING": server.connection_string},
    }[form]
    catalog = write_catalog(tmp_path / "c.json", with_env(azure_container.connection(NAME), **env))
    assert b"1" == written_and_read(catalog, AZURE_STORAGE_ACCOUNT=server.account)
    assert b"1" == azure_container.get("a")


def test_a_service_principal_of_azure(azure_tls_container, authority, tmp_path):
    """Tokens of Microsoft Entra's, asked for once."""
    with TokenServer(authority.server) as entra:
        env = {
            "AZURE_STORAGE_ACCOUNT": azure_tls_container.server.account,
            "AZURE_TENANT_ID": TENANT,
            "AZURE_CLIENT_ID": CLIENT,
            "AZURE_CLIENT_SECRET": CLIENT_SECRET,
            "AZURE_AUTHORITY_HOST": entra.url,
        }
        connection = with_env(azure_tls_container.connection(NAME), **env)
        assert b"1" == written_and_read(write_catalog(tmp_path / "c.json", connection))
        assert 1 == len(entra.given)


def test_adlfs_takes_no_login_of_the_processs_environment(azure_container, tmp_path, monkeypatch):
    """Only the connection's; adlfs by itself would prefer what these variables say."""
    monkeypatch.setenv("AZURE_STORAGE_CONNECTION_STRING", "AccountName=other;AccountKey=b3RoZXI=")
    monkeypatch.setenv("AZURE_STORAGE_ACCOUNT_KEY", "b3RoZXI=")
    catalog = write_catalog(tmp_path / "c.json", azure_container.connection(NAME))
    assert b"1" == written_and_read(catalog)


def test_a_replaced_signature_is_picked_up(azure_container, tmp_path):
    """A mounted SAS token that is replaced, by a filesystem that is there already."""
    mount = tmp_path / "secret"
    mount.mkdir()
    (mount / "AZURE_STORAGE_ACCOUNT").write_text(azure_container.server.account)
    (mount / "AZURE_STORAGE_SAS_TOKEN").write_text(azure_container.sas("rl"))
    connection = msgspec.structs.replace(
        azure_container.connection(NAME),
        env={},
        secret=Mount(name="az", mount_path=str(mount)),
    )
    catalog = write_catalog(tmp_path / "c.json", connection)
    fs = lighterman.get_fs(NAME, catalog=catalog, environ={})
    azure_container.put("a", b"1")
    assert b"1" == fs.cat_file("a")
    with pytest.raises(HttpResponseError, match="AuthorizationPermissionMismatch"):
        fs.pipe_file("b", b"2")
    (mount / "AZURE_STORAGE_SAS_TOKEN").write_text(azure_container.sas() + "\n")
    fs.fs._clients._logins.refreshed()  # as the next look does, a second later
    fs.pipe_file("b", b"2")
    assert b"2" == azure_container.get("b")
    fs.close()


def test_a_private_ca_of_azure_is_trusted(azure_tls_container, tmp_path):
    """`ca_bundle`, with Azurite speaking TLS."""
    catalog = write_catalog(tmp_path / "c.json", azure_tls_container.connection(NAME))
    assert b"1" == written_and_read(catalog)


def test_a_private_ca_of_gcs_is_trusted(gcs_bucket, proxy_to, authority, tmp_path):
    """`ca_bundle`, with TLS before the GCS server."""
    proxy = proxy_to(gcs_bucket.endpoint, tls=authority.server)
    connection = gcs_bucket.connection(NAME, endpoint=proxy.url, ca_bundle=str(authority.ca_bundle))
    assert b"1" == written_and_read(write_catalog(tmp_path / "c.json", connection))
    assert proxy.seen()


@pytest.mark.parametrize("kind", ["gcs", "s3", "azure"])
def test_the_connections_proxy_is_used(
    kind, gcs_bucket, s3_bucket, azure_container, proxy_to, tmp_path
):
    """`HTTP_PROXY` of the given environment; the process's own isn't asked."""
    bucket = {"gcs": gcs_bucket, "s3": s3_bucket, "azure": azure_container}[kind]
    proxy = proxy_to(bucket.endpoint)
    catalog = write_catalog(tmp_path / "c.json", bucket.connection(NAME))
    assert b"1" == written_and_read(catalog, HTTP_PROXY=proxy.url)
    assert all("://" in request.target for request in proxy.seen())
    assert proxy.seen()


def test_a_revoked_key_of_gcs_is_refused(gcs, gcs_bucket, tmp_path):
    """The token is really asked for: a service account that isn't known gets none."""
    connection = gcs_bucket.connection(NAME)
    gcs.forget(json.loads(connection.env["GOOGLE_KEYFILE_DICT"].reveal())["client_email"])
    fs = lighterman.get_fs(NAME, catalog=write_catalog(tmp_path / "c.json", connection), environ={})
    with pytest.raises(lighterman.LightermanError, match="refused") as caught:
        fs.ls("")
    assert "credentials" == caught.value.kind
    fs.close()


def test_an_anonymous_login_of_gcs_sends_no_token(gcs_bucket, proxy_to, tmp_path):
    """`options.anonymous`, and an emulator's."""
    gcs_bucket.put("open", b"1")
    gcs_bucket.grant("roles/storage.objectViewer", "allUsers")
    proxy = proxy_to(gcs_bucket.endpoint)
    catalog = tmp_path / "c.yaml"
    catalog.write_text(
        f"[{{name: {NAME}, kind: gcs, schema: {{bucket: 'gs://{gcs_bucket.name}'}},"
        f" options: {{endpoint: '{proxy.url}', anonymous: true}}}}]"
    )
    fs = lighterman.get_fs(NAME, catalog=catalog, environ={})
    assert b"1" == fs.cat_file("open")
    fs.close()
    assert proxy.seen()
    assert [] == proxy.seen(is_authorized)


def test_nothing_secret_is_in_a_repr(connection, catalog):
    """Neither of a place, nor of a filesystem, nor of what they hold in use, on any kind."""
    secrets = [value.reveal() for value in connection.env.values() if isinstance(value, Secret)]
    secrets = [value for value in secrets if len(value) >= 8] + ["BEGIN PRIVATE KEY"]
    fs = lighterman.get_fs(NAME, catalog=catalog, environ={})
    fs.pipe_file("a", b"1")
    with lighterman.connect(NAME, catalog=catalog, environ={}) as place:
        assert ["a"] == [entry.key for entry in place.list()]
        held = [place, place._opened, fs, fs.fs]
        seen = "".join(repr(one) + str(vars(one)) for one in held) + str(fs.storage_options)
    fs.close()
    assert [] == [secret for secret in secrets if secret in seen]
