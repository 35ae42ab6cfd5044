"""The GCS server of the tests and its buckets, as the tests see them: by google-cloud-storage's plain client."""

import json
import sys
import urllib.request
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa

from lighterman.connections.model import Bucket, Connection, Options
from lighterman.secret import Secret
from servers.processes import running

OWNER_TOKEN = "ya29.the-tests-own"
PROJECT = "tests"
ACCOUNT = "lighterman@tests.iam.gserviceaccount.com"


class GcsServer(NamedTuple):
    """Where it is, and what it is told beside the cloud's own calls."""

    endpoint: str

    def service_account(self, email: str = ACCOUNT, *, owner: bool = True) -> dict[str, str]:
        """
        A service account's key file, which the server knows from now on. An owner may do everything in
        every bucket; any other only what a bucket's policy gives it.
        """
        self._tell("know", who=email, public_key=_public_key(), owner=owner)
        return {
            "type": "service_account",
            "project_id": PROJECT,
            "private_key_id": "0123456789abcdef0123456789abcdef01234567",
            "private_key": _private_key(),
            "client_email": email,
            "client_id": "100000000000000000001",
            "auth_uri": "https://accounts.google.com/o/oauth2/auth",
            "token_uri": f"{self.endpoint}/token",
            "universe_domain": "googleapis.com",
        }

    def allow(self, token: str, email: str = ACCOUNT, lifetime_seconds: float = 3600.0) -> str:
        """Take this access token for that account; gives it back."""
        self._tell("allow", token=token, who=email, lifetime_seconds=lifetime_seconds)
        return token

    def revoke(self, token: str) -> None:
        """This access token is no more."""
        self._tell("revoke", token=token)

    def revoke_all(self, email: str = ACCOUNT) -> None:
        """No token that the account has is good any more; it may get new ones."""
        self._tell("revoke_all", who=email)

    def forget(self, email: str) -> None:
        """What this account signs is refused from now on."""
        self._tell("forget", who=email)

    def accept_refresh(self, refresh_token: str, email: str = ACCOUNT) -> None:
        """Give that account's access tokens for this refresh token, or federated subject token."""
        self._tell("accept_refresh", refresh_token=refresh_token, who=email)

    def token_lifetime(self, seconds: float) -> None:
        """How long the tokens live that are issued from now on. Reset it: the server outlives the test."""
        self._tell("lifetime", seconds=seconds)

    def _tell(self, action: str, **given: Any) -> None:
        request = urllib.request.Request(
            f"{self.endpoint}/_control/{action}",
            json.dumps(given).encode(),
            {"Authorization": f"Bearer {OWNER_TOKEN}"},
        )
        with urllib.request.urlopen(request, timeout=30) as answer:
            answer.read()


class GcsBucket(NamedTuple):
    """One bucket of one server."""

    server: GcsServer
    name: str

    @property
    def endpoint(self) -> str:
        return self.server.endpoint

    @contextmanager
    def client(self) -> Iterator[Any]:
        """A google-cloud-storage client of the owner."""
        with plain_client(self.endpoint) as client:
            yield client

    def create(self) -> "GcsBucket":
        with self.client() as client:
            client.create_bucket(self.name)
        return self

    def put(self, key: str, body: bytes = b"", **fields: Any) -> str:
        """
        Put one object; gives its generation. ``fields`` are attributes of the SDK's blob (``content_type``,
        ``metadata``, ``content_encoding``, ``storage_class`` …).
        """
        with self.client() as client:
            blob = client.bucket(self.name).blob(key)
            for name, value in fields.items():
                setattr(blob, name, value)
            blob.upload_from_string(body, content_type=fields.get("content_type"), retry=None)
            return str(blob.generation)

    def get(self, key: str) -> bytes:
        """The content as it is stored."""
        with self.client() as client:
            blob = client.bucket(self.name).blob(key)
            content: bytes = blob.download_as_bytes(raw_download=True, retry=None)
            return content

    def head(self, key: str) -> dict[str, Any]:
        """The object's resource, as the JSON API shows it (``size``, ``generation``, ``metadata`` …)."""
        with self.client() as client:
            blob = client.bucket(self.name).blob(key)
            blob.reload(retry=None)
            resource: dict[str, Any] = blob._properties
            return resource

    def delete(self, key: str) -> None:
        with self.client() as client:
            client.bucket(self.name).blob(key).delete(retry=None)

    def contents(self, prefix: str = "") -> dict[str, int]:
        """Key to size of every object, in the order of the listing."""
        with self.client() as client:
            found = client.list_blobs(self.name, prefix=prefix or None, retry=None)
            return {blob.name: blob.size for blob in found}

    def keys(self, prefix: str = "") -> list[str]:
        return list(self.contents(prefix))

    def grant(self, role: str, member: str) -> None:
        """Give a role in this bucket, in place of what was given: ``serviceAccount:EMAIL``, ``allUsers``."""
        with self.client() as client:
            bucket = client.bucket(self.name)
            policy = bucket.get_iam_policy()
            policy.bindings = [{"role": role, "members": {member}}]
            bucket.set_iam_policy(policy)

    def update(self, **fields: Any) -> None:
        """Set attributes of the SDK's bucket (``requester_pays``, ``lifecycle_rules`` …)."""
        with self.client() as client:
            bucket = client.bucket(self.name)
            for name, value in fields.items():
                setattr(bucket, name, value)
            bucket.patch()

    def connection(self, name: str = "bucket", prefix: str = "", **options: Any) -> Connection:
        """A connection to it with a service account's key; ``options`` are those of the catalog."""
        anonymous = options.get("anonymous", False)
        key = (
            {} if anonymous else {"GOOGLE_KEYFILE_DICT": json.dumps(self.server.service_account())}
        )
        return Connection(
            name=name,
            kind="gcs",
            schema=Bucket(f"gs://{self.name}/{prefix}".rstrip("/")),
            env={each: Secret(value) for each, value in key.items()},
            options=Options(**{"endpoint": self.endpoint} | options),
        )


@contextmanager
def plain_client(endpoint: str, token: str = OWNER_TOKEN) -> Iterator[Any]:
    """google-cloud-storage's client with an access token."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # what Google's libraries say of themselves when imported
        from google.cloud import storage
        from google.oauth2.credentials import Credentials
    client = storage.Client(
        project=PROJECT, credentials=Credentials(token), client_options={"api_endpoint": endpoint}
    )
    try:
        yield client
    finally:
        client.close()


@contextmanager
def gcs_server(log: Path) -> Iterator[GcsServer]:
    """The server (see ``gcs_face``) as a process of its own, on a free loopback port."""
    command = [sys.executable, "-m", "servers.gcs_face", OWNER_TOKEN]
    environment = {"PYTHONPATH": str(Path(__file__).parents[1])}
    with running(command, log, r'{"gcs": "(.*)"}', environment) as match:
        yield GcsServer(match[1])


@cache
def _key() -> rsa.RSAPrivateKey:
    return rsa.generate_private_key(public_exponent=65537, key_size=2048)


def _private_key() -> str:
    return (
        _key()
        .private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
        .decode()
    )


def _public_key() -> str:
    return (
        _key()
        .public_key()
        .public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
        .decode()
    )
