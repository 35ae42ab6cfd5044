"""Places whose logins can be replaced and withdrawn while somebody uses them."""

import json
from datetime import UTC, datetime, timedelta
from typing import Any, Protocol

from servers.accounts import AccessKey, Account
from servers.buckets import S3Bucket, new_bucket_name
from servers.containers import AzureContainer
from servers.faults import Request
from servers.gcs import GcsBucket


class Rotating(Protocol):
    """One bucket, and whoever gives out its logins."""

    sessions_are_logins: bool
    """True where what goes on with an upload that was begun needs no login of its own."""

    def entry(self, endpoint: str, mount_path: str) -> dict[str, Any]:
        """The catalog's entry ``bucket`` of the place behind ``endpoint``, with its secret mounted there."""
        ...

    def rotate(self) -> dict[str, str]:
        """A new login, as the files of a secret."""
        ...

    def withdraw(self) -> None:
        """From now on the server refuses every login but the newest."""
        ...

    def signer_of(self, request: Request) -> str:
        """Which login a request is of."""
        ...


class RotatingS3:
    """A bucket of an AWS account; each login is an access key of its own, deleted when it is withdrawn."""

    sessions_are_logins = False

    def __init__(self, account: Account) -> None:
        self._account = account
        self._keys: list[AccessKey] = []
        self.bucket: S3Bucket = account.bucket()
        self.endpoint = account.endpoint

    def entry(self, endpoint: str, mount_path: str) -> dict[str, Any]:
        return {
            "name": "bucket",
            "kind": "s3",
            "schema": {"bucket": f"s3://{self.bucket.name}"},
            "secret": {"name": "keys", "mountPath": mount_path},
            "options": {"endpoint": endpoint, "region": self.bucket.region},
        }

    def rotate(self) -> dict[str, str]:
        self._keys.append(self._account.make_key())
        return {
            "AWS_ACCESS_KEY_ID": self._keys[-1].access_key_id,
            "AWS_SECRET_ACCESS_KEY": f"{self._keys[-1].secret_access_key}\n",
        }

    def withdraw(self) -> None:
        while len(self._keys) > 1:
            self._account.withdraw_key(self._keys.pop(0).access_key_id)

    def signer_of(self, request: Request) -> str:
        return request.headers["authorization"].partition("Credential=")[2].partition("/")[0]


class RotatingGcs:
    """A bucket of GCS; each login is the key of a service account of its own, forgotten when it is withdrawn."""

    sessions_are_logins = True

    def __init__(self, bucket: GcsBucket) -> None:
        self.bucket = bucket
        self.endpoint = bucket.endpoint
        self._emails: list[str] = []

    def entry(self, endpoint: str, mount_path: str) -> dict[str, Any]:
        return {
            "name": "bucket",
            "kind": "gcs",
            "schema": {"bucket": f"gs://{self.bucket.name}"},
            "secret": {"name": "keys", "mountPath": mount_path},
            "options": {"endpoint": endpoint},
        }

    def rotate(self) -> dict[str, str]:
        self._emails.append(f"{new_bucket_name()}@tests.iam.gserviceaccount.com")
        return {"gc-secret.json": json.dumps(self.bucket.server.service_account(self._emails[-1]))}

    def withdraw(self) -> None:
        while len(self._emails) > 1:
            email = self._emails.pop(0)
            self.bucket.server.forget(email)
            self.bucket.server.revoke_all(email)

    def signer_of(self, request: Request) -> str:
        # A session's URI is a login of its own, that no rotation changes.
        return request.headers.get("authorization", "")


class RotatingAzure:
    """A container of Azurite; each login is a signature by an access policy, which is taken away to withdraw it."""

    sessions_are_logins = False

    def __init__(self, container: AzureContainer) -> None:
        self.bucket = container
        self.endpoint = container.server.url
        self._policies: list[str] = []

    def entry(self, endpoint: str, mount_path: str) -> dict[str, Any]:
        return {
            "name": "bucket",
            "kind": "wasb",
            "schema": {"bucket": self.bucket.name},
            "secret": {"name": "keys", "mountPath": mount_path},
            "options": {"endpoint": f"{endpoint}/{self.bucket.server.account}"},
        }

    def rotate(self) -> dict[str, str]:
        from azure.storage.blob import generate_container_sas

        self._policies.append(new_bucket_name())
        self._tell()
        signature = generate_container_sas(
            self.bucket.server.account,
            self.bucket.name,
            self.bucket.server.key,
            policy_id=self._policies[-1],
        )
        return {
            "AZURE_STORAGE_ACCOUNT": self.bucket.server.account,
            "AZURE_STORAGE_SAS_TOKEN": signature,
        }

    def withdraw(self) -> None:
        del self._policies[:-1]
        self._tell()

    def signer_of(self, request: Request) -> str:
        return request.query.get("si", "")

    def _tell(self) -> None:
        from azure.storage.blob import AccessPolicy

        now = datetime.now(UTC)
        policy = AccessPolicy("rwdlac", now + timedelta(hours=1), now - timedelta(minutes=5))
        with self.bucket.client() as client:
            client.set_container_access_policy(dict.fromkeys(self._policies, policy))
