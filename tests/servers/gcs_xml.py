"""The XML API of the GCS server of the tests, as far as an object store's client uses it: objects one by one."""

from typing import Any
from urllib.parse import unquote

from servers.gcs_access import Access
from servers.gcs_media import download, hashes_of, received
from servers.gcs_objects import ApiError, Catalog, Conditions, GcsObject, Hashes, invalid
from servers.http_server import Call, Reply

METADATA = "x-goog-meta-"
HEADER_FIELDS = {
    "Cache-Control": "cacheControl",
    "Content-Disposition": "contentDisposition",
    "Content-Encoding": "contentEncoding",
    "Content-Language": "contentLanguage",
    "Content-Type": "contentType",
    "x-goog-custom-time": "customTime",
    "x-goog-storage-class": "storageClass",
}


class XmlApi:
    """``/BUCKET/OBJECT`` (docs/xml-api/overview)."""

    def __init__(self, catalog: Catalog, access: Access) -> None:
        self._catalog = catalog
        self._access = access

    def answer(self, call: Call) -> Reply:
        quoted_bucket, _, quoted_name = call.path[1:].partition("/")
        bucket, name = unquote(quoted_bucket), unquote(quoted_name, errors="surrogateescape")
        who = self._access.who(call.headers.get("Authorization"))
        if not name:
            raise invalid("Requests for buckets are made by the JSON API here.")
        allow = {
            "GET": (self._get, "get"),
            "HEAD": (self._get, "get"),
            "PUT": (self._copy if call.headers.get("x-goog-copy-source") else self._put, "create"),
            "DELETE": (self._delete, "delete"),
        }
        if call.method not in allow:
            raise ApiError(405, "invalid", "MethodNotAllowed", "The method is not allowed.")
        act, right = allow[call.method]
        held = self._catalog.bucket(bucket)
        payer = call.query.get("userProject") or call.headers.get("x-goog-user-project")
        self._access.demand_payer(who, payer, held.fields)
        policy = held.policy
        self._access.demand(who, f"storage.objects.{right}", policy, "object")
        if right == "create" and name in held.objects:
            # docs/access-control/iam-xml: to replace an object is to delete the old one
            self._access.demand(who, "storage.objects.delete", policy, "object")
        return act(call, bucket, name)

    def _get(self, call: Call, bucket: str, name: str) -> Reply:
        """docs/xml-api/get-object-download, docs/xml-api/head-object"""
        found = self._catalog.find(bucket, name, _generation(call), _conditions(call), _etag)
        return download(found, call.headers, etag=found.xml_etag)

    def _put(self, call: Call, bucket: str, name: str) -> Reply:
        """docs/xml-api/put-object-upload"""
        headers = call.headers
        if headers.get("Content-Length") is None and headers.get("Transfer-Encoding") is None:
            raise ApiError(411, "required", "MissingContentLength", "You must provide a length.")
        content = received(call.body)
        made = self._catalog.place(
            bucket,
            name,
            content,
            _fields(headers),
            _conditions(call),
            hashes_of(headers),
            etag_of=_etag,
        )
        return Reply(200, _made(made))

    def _copy(self, call: Call, bucket: str, name: str) -> Reply:
        """docs/xml-api/put-object-copy"""
        headers = call.headers
        quoted_bucket, _, quoted_name = headers["x-goog-copy-source"].lstrip("/").partition("/")
        wanted = Conditions(
            generation=_number(headers.get("x-goog-copy-source-if-generation-match")),
            metageneration=_number(headers.get("x-goog-copy-source-if-metageneration-match")),
            etags=_listed(headers.get("x-goog-copy-source-if-match")),
            not_etags=_listed(headers.get("x-goog-copy-source-if-none-match")),
        )
        generation = _number(headers.get("x-goog-copy-source-generation"))
        source = self._catalog.find(
            unquote(quoted_bucket), unquote(quoted_name), generation, wanted, _etag
        )
        replaces = headers.get("x-goog-metadata-directive", "COPY").upper() == "REPLACE"
        fields = _fields(headers) if replaces else source.fields
        made = self._catalog.place(
            bucket,
            name,
            source.content,
            fields,
            _conditions(call),
            Hashes(),
            source.components,
            _etag,
        )
        body = (
            "<?xml version='1.0' encoding='UTF-8'?>"
            f"<CopyObjectResult><ETag>{made.xml_etag}</ETag></CopyObjectResult>"
        )
        return Reply(200, _made(made), body.encode())

    def _delete(self, call: Call, bucket: str, name: str) -> Reply:
        """docs/xml-api/delete-object"""
        self._catalog.delete(bucket, name, _generation(call), _conditions(call), _etag)
        return Reply(204)


def _etag(found: GcsObject) -> str:
    return found.xml_etag


def _made(made: GcsObject) -> list[tuple[str, str]]:
    hashes = [f"crc32c={made.content.crc32c}", *([f"md5={made.md5}"] if made.md5 else [])]
    return [
        ("ETag", made.xml_etag),
        ("x-goog-generation", str(made.generation)),
        ("x-goog-metageneration", str(made.metageneration)),
        ("x-goog-stored-content-length", str(made.content.size_bytes)),
        *(("x-goog-hash", value) for value in hashes),
    ]


def _fields(headers: Any) -> dict[str, Any]:
    fields: dict[str, Any] = {
        field: headers[header] for header, field in HEADER_FIELDS.items() if headers.get(header)
    }
    fields["metadata"] = {
        name[len(METADATA) :].lower(): value.encode("latin-1").decode(errors="replace")
        for name, value in headers.items()
        if name.lower().startswith(METADATA)
    }
    return fields


def _conditions(call: Call) -> Conditions:
    """docs/xml-api/reference-headers"""
    headers = call.headers
    return Conditions(
        generation=_number(headers.get("x-goog-if-generation-match")),
        metageneration=_number(headers.get("x-goog-if-metageneration-match")),
        etags=_listed(headers.get("If-Match")),
        not_etags=_listed(headers.get("If-None-Match")),
    )


def _generation(call: Call) -> int | None:
    return _number(call.query.get("generation"))


def _number(text: str | None) -> int | None:
    if text is None:
        return None
    if not text.isdigit():
        raise invalid(f"Invalid argument: {text}")
    return int(text)


def _listed(header: str | None) -> tuple[str, ...]:
    return tuple(each.strip() for each in header.split(",")) if header else ()
