"""Buckets as the tests see them: by boto3's plain client, never by the code under test."""

import uuid
from typing import Any, NamedTuple

import boto3
from botocore.config import Config

from lighterman.connections.model import Bucket, Connection, Options
from lighterman.secret import Secret


class S3Bucket(NamedTuple):
    """One bucket of one server, with the keys that open it."""

    endpoint: str
    name: str
    access_key_id: str = "testkey"
    secret_access_key: str = "testsecret"
    region: str = "us-east-1"

    def client(self, service: str = "s3", **config: Any) -> Any:
        """A boto3 client for the server; the caller closes it."""
        return boto3.client(
            service,
            endpoint_url=self.endpoint,
            aws_access_key_id=self.access_key_id,
            aws_secret_access_key=self.secret_access_key,
            region_name=self.region,
            config=Config(
                s3={"addressing_style": "path"},
                request_checksum_calculation="when_required",
                response_checksum_validation="when_required",
                proxies={},
                **config,
            ),
        )

    def create(self) -> "S3Bucket":
        client = self.client()
        client.create_bucket(Bucket=self.name)
        client.close()
        return self

    def put(self, key: str, body: bytes = b"", **kwargs: Any) -> str:
        """Put one object; gives its ETag without quotes."""
        client = self.client()
        answer = client.put_object(Bucket=self.name, Key=key, Body=body, **kwargs)
        client.close()
        return answer["ETag"].strip('"')

    def put_by_parts(self, key: str, body: bytes, part_bytes: int = 8 << 20) -> None:
        """As an upload of a large file does it: its ETag is no MD5."""
        client, place = self.client(), {"Bucket": self.name, "Key": key}
        upload = place | {"UploadId": client.create_multipart_upload(**place)["UploadId"]}
        parts = []
        for number, at in enumerate(range(0, len(body), part_bytes), 1):
            piece = body[at : at + part_bytes]
            told = client.upload_part(**upload, PartNumber=number, Body=piece)
            parts.append({"PartNumber": number, "ETag": told["ETag"]})
        client.complete_multipart_upload(**upload, MultipartUpload={"Parts": parts})
        client.close()

    def get(self, key: str) -> bytes:
        client = self.client()
        with client.get_object(Bucket=self.name, Key=key)["Body"] as body:
            content: bytes = body.read()
        client.close()
        return content

    def head(self, key: str) -> dict[str, Any]:
        client = self.client()
        answer: dict[str, Any] = client.head_object(Bucket=self.name, Key=key)
        client.close()
        return answer

    def delete(self, key: str) -> None:
        client = self.client()
        client.delete_object(Bucket=self.name, Key=key)
        client.close()

    def contents(self, prefix: str = "") -> dict[str, int]:
        """Key to size of every object, in the order of the listing."""
        client = self.client()
        pages = client.get_paginator("list_objects_v2").paginate(Bucket=self.name, Prefix=prefix)
        found = {item["Key"]: item["Size"] for page in pages for item in page.get("Contents", [])}
        client.close()
        return found

    def keys(self, prefix: str = "") -> list[str]:
        return list(self.contents(prefix))

    def open_uploads(self) -> list[str]:
        """Keys of multipart uploads that were neither completed nor aborted."""
        client = self.client()
        answer = client.list_multipart_uploads(Bucket=self.name)
        client.close()
        return [upload["Key"] for upload in answer.get("Uploads", [])]

    def connection(self, name: str = "bucket", prefix: str = "", **options: Any) -> Connection:
        """A connection to it with static keys; ``options`` are those of the catalog."""
        return Connection(
            name=name,
            kind="s3",
            schema=Bucket(f"s3://{self.name}/{prefix}".rstrip("/")),
            env={
                "AWS_ACCESS_KEY_ID": self.access_key_id,
                "AWS_SECRET_ACCESS_KEY": Secret(self.secret_access_key),
            },
            options=Options(**{"endpoint": self.endpoint, "region": self.region} | options),
        )


def place_of(connection: Connection) -> str:
    """The bucket's, the container's or the directory's name."""
    schema = connection.schema
    if isinstance(schema, Bucket):
        return schema.bucket.partition("://")[2].partition("@")[0]
    return schema.mount_path


def new_bucket_name() -> str:
    """A name that no other test has."""
    return f"lighterman-{uuid.uuid4().hex[:16]}"
