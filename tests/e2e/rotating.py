"""Places whose logins can be replaced and withdrawn while somebody uses them."""

from typing import Any, Protocol

from servers.accounts import AccessKey, Account
from servers.buckets import S3Bucket


class Rotating(Protocol):
    """One bucket, and whoever gives out its logins."""

    def entry(self, endpoint: str, mount_path: str) -> dict[str, Any]:
        """The catalog's entry ``bucket`` of the place behind ``endpoint``, with its secret mounted there."""
        ...

    def rotate(self) -> dict[str, str]:
        """A new login, as the files of a secret."""
        ...

    def withdraw(self) -> None:
        """From now on the server refuses every login but the newest."""
        ...

    def signer_of(self, headers: dict[str, str]) -> str:
        """Which login a request's headers are of."""
        ...


class RotatingS3:
    """A bucket of an AWS account; each login is an access key of its own, deleted when it is withdrawn."""

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

    def signer_of(self, headers: dict[str, str]) -> str:
        return headers["authorization"].partition("Credential=")[2].partition("/")[0]
