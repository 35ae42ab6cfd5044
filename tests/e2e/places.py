"""Every kind of place as a user's catalog has it: the entry, and the secret's files beside it."""

import json
from pathlib import Path

import trees
from outputs_place import Volume
from servers.buckets import S3Bucket
from servers.containers import AzureContainer
from servers.gcs import GcsBucket


def entry(place, secret):
    """The connection ``bucket``, whose secret is mounted at ``secret``."""
    if isinstance(place, Volume):
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


def is_part(request):
    """Whether a request carries a part of an upload: S3's, Azure's block, or a chunk of a session of GCS's."""
    query, content_range = request.query, request.headers.get("content-range", "")
    is_chunk = "upload_id" in query and content_range and not content_range.startswith("bytes */")
    is_block = query.get("comp") == "block"
    return request.method == "PUT" and bool("partNumber" in query or is_block or is_chunk)


def part_of(request):
    """What tells two parts apart: upload and number, block, or session and offset."""
    query = request.query
    if "upload_id" in query:
        return query["upload_id"], request.headers["content-range"].partition("-")[0]
    if query.get("comp") == "block":
        return request.path, query["blockid"]
    return query["uploadId"], query["partNumber"]


def has_arrived(request):
    """Whether the place has taken that part."""
    return request.status in (200, 201, 308)
