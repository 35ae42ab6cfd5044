"""What the catalogs of the three clouds have in common, and their secrets, for one bucket of each."""

import base64
import json
from collections.abc import Callable
from typing import Any, NamedTuple

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from servers.accounts import AccessKey, Account
from servers.azurite import Azurite
from servers.buckets import S3Bucket
from servers.certificates import Authority
from servers.containers import AzureContainer
from servers.gcs import GcsBucket
from servers.proxy import Proxy


class Cloud(NamedTuple):
    """One bucket, as users of Polyaxon and ZenML write it down."""

    kind: str
    legacy_store: str
    flavor: str
    uri: str
    literal_keys: dict[str, str]
    """A login as a file, or a variable, for each of its keys."""
    json_file: dict[str, str]
    """A login as one JSON file, by its name."""
    options: dict[str, Any]
    """What only a test's server needs of a connection."""
    ambient: dict[str, str]
    """The same, as variables, for shapes that have no options."""
    register_flags: dict[str, Any]
    """ZenML's, beside name, flavor and path."""
    put: Callable[[str, bytes], object]
    refused: Callable[[], "Cloud"]
    """The same bucket with a login of the right form that is nobody's."""


def s3_cloud(account: Account) -> Cloud:
    """A bucket of an AWS account that checks who asks."""
    return _s3_cloud(account, account.bucket(), account.key)


def _s3_cloud(account: Account, bucket: S3Bucket, key: AccessKey) -> Cloud:
    wrong = key._replace(secret_access_key="another-secret-of-someone")
    login = {
        "AWS_ACCESS_KEY_ID": key.access_key_id,
        "AWS_SECRET_ACCESS_KEY": key.secret_access_key,
        "AWS_REGION": bucket.region,
    }
    return Cloud(
        kind="s3",
        legacy_store="s3",
        flavor="s3",
        uri=f"s3://{bucket.name}",
        literal_keys=login,
        json_file={"s3-secret.json": json.dumps(login)},
        options={"endpoint": account.endpoint},
        ambient={"AWS_ENDPOINT_URL": account.endpoint},
        register_flags={
            "key": key.access_key_id,
            "secret": key.secret_access_key,
            "client_kwargs": {"endpoint_url": account.endpoint, "region_name": bucket.region},
            "config_kwargs": {"connect_timeout": 10},
            "s3_additional_kwargs": {"ServerSideEncryption": "AES256"},
        },
        put=bucket.put,
        refused=lambda: _s3_cloud(account, bucket, wrong),
    )


def gcs_cloud(bucket: GcsBucket, front: Proxy, authority: Authority) -> Cloud:
    """
    A bucket whose server lets in who has a token that it gave for a signed assertion. Shapes without
    options ask Google's own address, and come to it through the proxy: an emulator is asked as nobody.
    """
    return _gcs_cloud(bucket, front, authority, bucket.server.service_account())


def _gcs_cloud(
    bucket: GcsBucket, front: Proxy, authority: Authority, key_file: dict[str, str]
) -> Cloud:
    document = json.dumps(key_file)
    return Cloud(
        kind="gcs",
        legacy_store="gcs",
        flavor="gcp",
        uri=f"gs://{bucket.name}",
        literal_keys={"GC_KEYFILE_DICT": document, "GC_PROJECT": "tests"},
        json_file={"gc-secret.json": document},
        options={"endpoint": bucket.endpoint},
        ambient={"HTTPS_PROXY": front.url, "REQUESTS_CA_BUNDLE": str(authority.ca_bundle)},
        register_flags={},
        put=bucket.put,
        refused=lambda: _gcs_cloud(
            bucket, front, authority, {**key_file, "private_key": _another_key()}
        ),
    )


def _another_key() -> str:
    """A private key that no service account has."""
    made = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    return made.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    ).decode()


def azure_cloud(container: AzureContainer) -> Cloud:
    """A container of Azurite, with the account's key."""
    return _azure_cloud(container, container.server)


def _azure_cloud(container: AzureContainer, server: Azurite) -> Cloud:
    wrong = server._replace(key=base64.b64encode(bytes(range(64))).decode())
    login = {"AZURE_ACCOUNT_NAME": server.account, "AZURE_ACCOUNT_KEY": server.key}
    return Cloud(
        kind="wasb",
        legacy_store="azure",
        flavor="azure",
        uri=f"wasbs://{container.name}@{server.account}.blob.core.windows.net/",
        literal_keys={**login, "AZURE_CONNECTION_STRING": server.connection_string},
        json_file={"az-secret": json.dumps({"AZURE_CONNECTION_STRING": server.connection_string})},
        options={},
        ambient={},
        register_flags={},
        put=container.put,
        refused=lambda: _azure_cloud(container, wrong),
    )
