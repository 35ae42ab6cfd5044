"""Every kind of place as a user's catalog has it: the entry, and the secret's files beside it; and by a proxy."""

import json
from pathlib import Path

import trees
from servers.buckets import S3Bucket
from servers.containers import AzureContainer
from servers.gcs import GcsBucket


def entry(place, secret):
    """The connection ``bucket``, whose secret is mounted at ``secret``."""
    if hasattr(place, "root"):  # a volume
        mount = {"hostPath": str(place.root), "mountPath": str(place.root)}
        return {"name": "bucket", "kind": "host_path", "schema": mount}
    kind, uri, options = {
        S3Bucket: ("s3", f"s3://{place.name}", {"region": getattr(place, "region", None)}),
        GcsBucket: ("gcs", f"gs://{place.name}", {}),
        AzureContainer: ("wasb", f"wasbs://{place.name}", {}),
    }[type(place)]
    return {
        "name": "bucket",
        "kind": kind,
        "schema": {"bucket": uri},
        "secret": {"name": "keys", "mountPath": str(secret)},
        "options": options | {"endpoint": place.endpoint},
    }


def secret_files(place):
    """The files of the secret, as Kubernetes mounts them."""
    if isinstance(place, S3Bucket):
        keys = place.access_key_id, place.secret_access_key
        names = "AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"
        return {name: f"{key}\n" for name, key in zip(names, keys, strict=True)}
    if isinstance(place, GcsBucket):
        return {"service-account.json": json.dumps(place.server.service_account())}
    if isinstance(place, AzureContainer):
        account = place.server.account, place.server.key
        names = "AZURE_STORAGE_ACCOUNT", "AZURE_STORAGE_KEY"
        return {name: f"{key}\n" for name, key in zip(names, account, strict=True)}
    return {}


def secrets_of(place):
    """What nobody may see."""
    if isinstance(place, S3Bucket):
        return [place.secret_access_key]
    if isinstance(place, GcsBucket):
        key = place.server.service_account()["private_key"]
        return [key, key.splitlines()[1]]
    return [place.server.key] if isinstance(place, AzureContainer) else []


def catalog(place, directory: Path):
    """Write catalog and secret below ``directory``; gives the catalog's path."""
    secret = directory / "secret"
    secret.mkdir()
    for name, content in secret_files(place).items():
        (secret / name).write_text(content)
    path = directory / "catalog.json"
    path.write_text(json.dumps({"connections": [entry(place, secret)]}))
    return path


def names_for(place):
    """Odd names of files, as far as the place can have them."""
    return trees.NAMES_FOR_AZURE if isinstance(place, AzureContainer) else trees.ODD_NAMES


def through(place, url):
    """The same place, reached by the proxy at ``url``."""
    if isinstance(place, S3Bucket):
        return place._replace(endpoint=url)
    server = place.server
    server = server._replace(**{"url" if isinstance(place, AzureContainer) else "endpoint": url})
    return place._replace(server=server)
