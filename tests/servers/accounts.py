"""An AWS whose doors are locked: moto with its IAM on, so that keys, signatures and roles are checked."""

import json
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

import boto3

from servers.buckets import S3Bucket, new_bucket_name
from servers.processes import moto_server

_EVERYTHING: dict[str, object] = {
    "Version": "2012-10-17",
    "Statement": [{"Effect": "Allow", "Action": "*", "Resource": "*"}],
}


class AccessKey(NamedTuple):
    """What a user, or somebody in a role, signs with."""

    access_key_id: str
    secret_access_key: str
    session_token: str = ""


class Account(NamedTuple):
    """One AWS account: its server, the keys of who may do everything, and a role that may too."""

    endpoint: str
    key: AccessKey
    role_arn: str

    def client(self, service: str):
        """A boto3 client with the account's own keys; the caller closes it."""
        return boto3.client(
            service,
            endpoint_url=self.endpoint,
            aws_access_key_id=self.key.access_key_id,
            aws_secret_access_key=self.key.secret_access_key,
            region_name="us-east-1",
        )

    def bucket(self) -> S3Bucket:
        """A fresh bucket."""
        return S3Bucket(
            self.endpoint, new_bucket_name(), self.key.access_key_id, self.key.secret_access_key
        ).create()

    def make_key(self, policy: dict[str, object] = _EVERYTHING) -> AccessKey:
        """Another key of a new user, who may do what the policy says: everything, if none is given."""
        iam = self.client("iam")
        name = new_bucket_name()
        iam.create_user(UserName=name)
        key = _key_of(iam, name, policy)
        iam.close()
        return key

    def withdraw_key(self, access_key_id: str) -> None:
        """From now on whatever is signed with it is refused."""
        iam = self.client("iam")
        [name] = [
            user["UserName"]
            for user in iam.list_users()["Users"]
            for key in iam.list_access_keys(UserName=user["UserName"])["AccessKeyMetadata"]
            if key["AccessKeyId"] == access_key_id
        ]
        iam.delete_access_key(UserName=name, AccessKeyId=access_key_id)
        iam.close()

    def assume(self) -> AccessKey:
        """Keys with a session token, of somebody in the role."""
        sts = self.client("sts")
        answer = sts.assume_role(RoleArn=self.role_arn, RoleSessionName="by-the-test")
        sts.close()
        found = answer["Credentials"]
        return AccessKey(found["AccessKeyId"], found["SecretAccessKey"], found["SessionToken"])

    def check_nothing(self) -> None:
        """Let everything pass: moto knows no request that comes without a signature, as a web identity's."""
        _check_after("inf", self.endpoint)

    def check_everything(self) -> None:
        _check_after("0", self.endpoint)


@contextmanager
def locked_moto(log: Path) -> Iterator[Account]:
    """The server for the length of the block."""
    with moto_server(log) as endpoint:
        iam = boto3.client(
            "iam",
            endpoint_url=endpoint,
            aws_access_key_id="nobody",
            aws_secret_access_key="nothing",
            region_name="us-east-1",
        )
        iam.create_user(UserName="admin")
        key = _key_of(iam, "admin")
        role_arn = _role_of(iam, "training-role")
        iam.close()
        account = Account(endpoint, key, role_arn)
        account.check_everything()
        yield account


def _role_of(iam, name: str) -> str:
    statement = {"Effect": "Allow", "Principal": {"AWS": "*"}, "Action": "sts:AssumeRole"}
    document = json.dumps({"Version": "2012-10-17", "Statement": [statement]})
    role = iam.create_role(RoleName=name, AssumeRolePolicyDocument=document)["Role"]
    iam.put_role_policy(RoleName=name, PolicyName="all", PolicyDocument=json.dumps(_EVERYTHING))
    arn: str = role["Arn"]
    return arn


def _key_of(iam, user: str, policy: dict[str, object] = _EVERYTHING) -> AccessKey:
    iam.put_user_policy(UserName=user, PolicyName="its", PolicyDocument=json.dumps(policy))
    made = iam.create_access_key(UserName=user)["AccessKey"]
    return AccessKey(made["AccessKeyId"], made["SecretAccessKey"])


def _check_after(count: str, endpoint: str) -> None:
    """From the how-manieth request on moto checks who asks."""
    request = urllib.request.Request(
        f"{endpoint}/moto-api/reset-auth",
        data=count.encode(),
        headers={"Content-Type": "text/plain"},
        method="POST",
    )
    with urllib.request.urlopen(request) as answer:
        answer.read()
