"""The JSON API of the GCS server of the tests, as far as google-cloud-storage, gcsfs and rclone use it."""

import json
import re
from collections.abc import Callable
from email.parser import BytesParser
from typing import Any
from urllib.parse import unquote

from servers.gcs_access import ROLES, Access
from servers.gcs_fields import selected
from servers.gcs_media import download, hashes_of, received
from servers.gcs_objects import ApiError, Catalog, Conditions, Content, Hashes, invalid
from servers.gcs_sessions import Sessions
from servers.http_server import Call, Reply, json_reply

MOST_RESULTS = 1000
"""docs/json_api/v1/objects/list: the recommended upper value, and what no page exceeds."""
MIB = 1024 * 1024

_Route = tuple[str, str, Callable[..., Reply], str]


class JsonApi:
    """``/storage/v1``, ``/upload/storage/v1`` and ``/download/storage/v1`` (docs/json_api)."""

    def __init__(self, catalog: Catalog, access: Access) -> None:
        self._catalog = catalog
        self._access = access
        self._sessions = Sessions(catalog)
        name, blob = r"([^/]+)", r"([^/]+)"
        there = rf"/b/{name}/o/{blob}"
        # method, path below /storage/v1, what answers it, and the permission that it takes in the bucket
        self._routes: list[_Route] = [
            ("GET", r"/b", self._list_buckets, ""),
            ("POST", r"/b", self._create_bucket, ""),
            ("GET", rf"/b/{name}", self._get_bucket, "buckets.get"),
            ("PATCH", rf"/b/{name}", self._change_bucket, "buckets.update"),
            ("DELETE", rf"/b/{name}", self._delete_bucket, "buckets.delete"),
            ("GET", rf"/b/{name}/iam", self._get_policy, "buckets.getIamPolicy"),
            ("PUT", rf"/b/{name}/iam", self._set_policy, "buckets.setIamPolicy"),
            ("GET", rf"/b/{name}/iam/testPermissions", self._test_permissions, ""),
            ("GET", rf"/b/{name}/o", self._list, "objects.list"),
            ("POST", rf"{there}/copyTo{there}", self._copy, "objects.get"),
            ("POST", rf"{there}/rewriteTo{there}", self._rewrite, "objects.get"),
            ("POST", rf"{there}/moveTo/o/{blob}", self._move, "objects.delete"),
            ("POST", rf"{there}/compose", self._compose, "objects.create"),
            ("GET", there, self._get, "objects.get"),
            ("PATCH", there, self._patch, "objects.update"),
            ("PUT", there, self._update, "objects.update"),
            ("DELETE", there, self._delete, "objects.delete"),
        ]

    @staticmethod
    def serves(path: str) -> bool:
        return path.startswith(("/storage/v1/", "/upload/storage/v1/", "/download/storage/v1/"))

    def answer(self, call: Call) -> Reply:
        kind, path = re.match(r"(/upload|/download|)/storage/v1(/.*)", call.path).groups()
        if kind == "/upload" and "upload_id" in call.query:
            return self._sessions.answer(call)  # its URI is all the login that it takes
        who = self._access.who(call.headers.get("Authorization"))
        if kind == "/upload":
            return self._upload(call, path, who)
        for method, pattern, act, permission in self._routes:
            match = re.fullmatch(pattern, path)
            if match and method == call.method.replace("HEAD", "GET"):
                names = [unquote(each) for each in match.groups()]
                if permission:
                    self._demand(call, who, names[0], permission)
                elif act != self._test_permissions:
                    self._access.demand(who, "storage.buckets.create", (), "project")
                if act == self._move:
                    self._demand_to_place(call, who, names[0], names[2])
                if act in {self._copy, self._rewrite}:
                    self._demand_to_place(call, who, names[2], names[3])
                if act == self._test_permissions:
                    names.append(who or "")
                return act(call, *names)
        raise ApiError(404, "notFound", "NotFound", f"Not Found: {call.method} {call.path}")

    def _demand(self, call: Call, who: str | None, bucket: str, permission: str) -> None:
        held = self._catalog.bucket(bucket)
        payer = call.query.get("userProject") or call.headers.get("x-goog-user-project")
        self._access.demand_payer(who, payer, held.fields)
        where = "bucket" if permission.startswith("buckets.") else "object"
        self._access.demand(who, f"storage.{permission}", held.policy, where)

    def _demand_to_place(self, call: Call, who: str | None, bucket: str, name: str) -> None:
        """To replace an object is to delete the old one (docs/access-control/iam-json)."""
        self._demand(call, who, bucket, "objects.create")
        if name in self._catalog.bucket(bucket).objects:
            self._demand(call, who, bucket, "objects.delete")

    def _list_buckets(self, call: Call) -> Reply:
        items = [bucket.resource(call.base_url) for bucket in self._catalog.buckets()]
        return json_reply({"kind": "storage#buckets", "items": items})

    def _create_bucket(self, call: Call) -> Reply:
        given = call.json()
        return json_reply(self._catalog.create_bucket(given["name"], given).resource(call.base_url))

    def _get_bucket(self, call: Call, bucket: str) -> Reply:
        return _shown(call, self._catalog.bucket(bucket).resource(call.base_url))

    def _change_bucket(self, call: Call, bucket: str) -> Reply:
        changed = self._catalog.change_bucket(bucket, call.json())
        return _shown(call, changed.resource(call.base_url))

    def _delete_bucket(self, _call: Call, bucket: str) -> Reply:
        self._catalog.delete_bucket(bucket)
        return Reply(204)

    def _get_policy(self, _call: Call, bucket: str) -> Reply:
        bindings = self._catalog.bucket(bucket).policy
        return json_reply(
            {"kind": "storage#policy", "version": 1, "etag": "CAE=", "bindings": bindings}
        )

    def _set_policy(self, call: Call, bucket: str) -> Reply:
        bindings = call.json().get("bindings", [])
        unknown = {binding["role"] for binding in bindings} - set(ROLES)
        if unknown:
            raise invalid(f"Role {', '.join(sorted(unknown))} is not supported for this resource.")
        self._catalog.bucket(bucket).policy = bindings
        return self._get_policy(call, bucket)

    def _test_permissions(self, call: Call, bucket: str, who: str) -> Reply:
        """docs/json_api/v1/buckets/testIamPermissions: those of the asked that the caller has."""
        held = self._catalog.bucket(bucket)
        granted = []
        for permission in re.findall(r"(?:^|&)permissions=([^&]+)", call.query_string):
            try:
                self._access.demand(who or None, unquote(permission), held.policy, "bucket")
            except ApiError:
                continue
            granted.append(unquote(permission))
        kind = "storage#testIamPermissionsResponse"
        return json_reply({"kind": kind, **({"permissions": granted} if granted else {})})

    def _list(self, call: Call, bucket: str) -> Reply:
        """docs/json_api/v1/objects/list"""
        query = call.query
        most = min(int(query.get("maxResults") or MOST_RESULTS), MOST_RESULTS)
        if most < 1:
            raise invalid("Invalid value for maxResults.")
        found, prefixes, token = self._catalog.page(
            bucket,
            query.get("prefix", ""),
            query.get("pageToken") or None,
            most,
            query.get("delimiter", ""),
            query.get("startOffset", ""),
            query.get("endOffset", ""),
        )
        answer: dict[str, Any] = {"kind": "storage#objects"}
        if token:
            answer["nextPageToken"] = token
        if prefixes:
            answer["prefixes"] = prefixes
        if found:
            answer["items"] = [each.resource(call.base_url) for each in found]
        return _shown(call, answer)

    def _get(self, call: Call, bucket: str, name: str) -> Reply:
        """docs/json_api/v1/objects/get"""
        found = self._catalog.find(bucket, name, _generation(call), _conditions(call))
        if call.query.get("alt") == "media" or call.path.startswith("/download/"):
            return download(found, call.headers, etag=found.etag)
        return _shown(call, found.resource(call.base_url), ("ETag", found.etag))

    def _patch(self, call: Call, bucket: str, name: str) -> Reply:
        return self._changed(call, bucket, name, whole=False)

    def _update(self, call: Call, bucket: str, name: str) -> Reply:
        return self._changed(call, bucket, name, whole=True)

    def _changed(self, call: Call, bucket: str, name: str, *, whole: bool) -> Reply:
        changed = self._catalog.change(
            bucket, name, _generation(call), call.json(), _conditions(call), whole=whole
        )
        return _shown(call, changed.resource(call.base_url))

    def _delete(self, call: Call, bucket: str, name: str) -> Reply:
        self._catalog.delete(bucket, name, _generation(call), _conditions(call))
        return Reply(204)

    def _copy(self, call: Call, bucket: str, name: str, to_bucket: str, to_name: str) -> Reply:
        """docs/json_api/v1/objects/copy"""
        return _shown(call, self._copied(call, call.json(), bucket, name, to_bucket, to_name))

    def _rewrite(self, call: Call, bucket: str, name: str, to_bucket: str, to_name: str) -> Reply:
        """docs/json_api/v1/objects/rewrite: in several calls, where the caller bounds what one may do."""
        query, given = call.query, call.json()
        source = self._catalog.find(
            bucket, name, _number(query, "sourceGeneration"), _of_source(call)
        )
        most = _number(query, "maxBytesRewrittenPerCall")
        if most is not None and (most < MIB or most % MIB):
            raise invalid("maxBytesRewrittenPerCall must be a multiple of 1 MiB.")
        size = source.content.size_bytes
        token, so_far = self._catalog.rewritten(query.get("rewriteToken"), most, size)
        answer: dict[str, Any] = {
            "kind": "storage#rewriteResponse",
            "totalBytesRewritten": str(so_far),
            "objectSize": str(size),
            "done": so_far == size,
        }
        if so_far < size:
            answer["rewriteToken"] = token
        else:
            answer["resource"] = self._copied(call, given, bucket, name, to_bucket, to_name)
        return _shown(call, answer)

    def _copied(
        self,
        call: Call,
        given: dict[str, Any],
        bucket: str,
        name: str,
        to_bucket: str,
        to_name: str,
    ) -> dict[str, Any]:
        """With a body, that is the metadata of the copy, whole; without, the source's is kept."""
        generation = _number(call.query, "sourceGeneration")
        source = self._catalog.find(bucket, name, generation, _of_source(call))
        fields = given or source.fields
        made = self._catalog.place(
            to_bucket,
            to_name,
            source.content,
            fields,
            _conditions(call),
            Hashes(),
            source.components,
        )
        return made.resource(call.base_url)

    def _move(self, call: Call, bucket: str, name: str, to_name: str) -> Reply:
        made = self._catalog.move(bucket, name, to_name, _conditions(call), _of_source(call))
        return _shown(call, made.resource(call.base_url))

    def _compose(self, call: Call, bucket: str, name: str) -> Reply:
        given = call.json()
        sources = [
            (
                each["name"],
                _number(each, "generation"),
                Conditions(_number(each.get("objectPreconditions") or {}, "ifGenerationMatch")),
            )
            for each in given["sourceObjects"]
        ]
        fields = given.get("destination") or {}
        made = self._catalog.compose(bucket, name, sources, fields, _conditions(call))
        return _shown(call, made.resource(call.base_url))

    def _upload(self, call: Call, path: str, who: str | None) -> Reply:
        """docs/json_api/v1/objects/insert: media, multipart or resumable."""
        match = re.fullmatch(r"/b/([^/]+)/o", path)
        kind = call.query.get("uploadType")
        if not match or call.method != "POST":
            raise ApiError(404, "notFound", "NotFound", f"Not Found: {call.method} {call.path}")
        bucket = unquote(match[1])
        self._demand(call, who, bucket, "objects.create")
        if kind == "media":
            fields: dict[str, Any] = {"contentType": call.headers.get("Content-Type")}
            content = received(call.body)
        elif kind == "multipart":
            fields, content = _parts(call)
        elif kind == "resumable":
            fields, content = call.json(), Content()
            fields.setdefault("contentType", call.headers.get("X-Upload-Content-Type"))
        else:
            raise invalid(f"Invalid upload type: {kind}")
        name = call.query.get("name") or fields.get("name")
        if not name:
            raise ApiError(400, "required", "InvalidArgument", "Required object name is missing")
        self._demand_to_place(call, who, bucket, name)
        for field in ("contentEncoding", "storageClass"):
            if call.query.get(field):
                fields[field] = call.query[field]
        hashes = Hashes(fields.get("md5Hash"), fields.get("crc32c")).merged(hashes_of(call.headers))
        conditions = _conditions(call)
        if kind == "resumable":
            return self._sessions.begin(call, bucket, name, fields, conditions, hashes)
        made = self._catalog.place(bucket, name, content, fields, conditions, hashes)
        return _shown(call, made.resource(call.base_url))


def _parts(call: Call) -> tuple[dict[str, Any], Content]:
    """``multipart/related``: the metadata, then the content (docs/json_api/v1/how-tos/multipart-upload)."""
    match = re.search(r'boundary="?([^";]+)"?', call.headers.get("Content-Type") or "")
    if not match:
        raise invalid("A multipart upload must have a boundary.")
    mark, body = b"--" + match[1].encode(), call.body.whole()
    end = b"\r\n" if body.startswith(mark + b"\r\n") else b"\n"  # gcsfs ends its lines so
    pieces = (end + body).split(end + mark)
    if len(pieces) != 4 or pieces[0] or pieces[3].strip() != b"--":
        raise invalid("A multipart upload must have two parts.")
    _, metadata = _part(pieces[1], end)
    headers, content = _part(pieces[2], end)
    fields = json.loads(metadata)
    fields.setdefault("contentType", headers.get("Content-Type"))
    return fields, Content(content)


def _part(piece: bytes, end: bytes) -> tuple[Any, bytes]:
    head, _, body = piece.removeprefix(end).partition(end + end)
    return BytesParser().parsebytes(head + end + end, headersonly=True), body


def _shown(call: Call, value: dict[str, Any], *headers: tuple[str, str]) -> Reply:
    fields = call.query.get("fields")
    return json_reply(selected(value, fields) if fields else value, 200, *headers)


def _conditions(call: Call) -> Conditions:
    """docs/request-preconditions"""
    headers, query = call.headers, call.query
    return Conditions(
        generation=_number(query, "ifGenerationMatch"),
        not_generation=_number(query, "ifGenerationNotMatch"),
        metageneration=_number(query, "ifMetagenerationMatch"),
        not_metageneration=_number(query, "ifMetagenerationNotMatch"),
        etags=_etags(headers.get("If-Match")),
        not_etags=_etags(headers.get("If-None-Match")),
    )


def _of_source(call: Call) -> Conditions:
    return Conditions(
        generation=_number(call.query, "ifSourceGenerationMatch"),
        not_generation=_number(call.query, "ifSourceGenerationNotMatch"),
        metageneration=_number(call.query, "ifSourceMetagenerationMatch"),
        not_metageneration=_number(call.query, "ifSourceMetagenerationNotMatch"),
    )


def _generation(call: Call) -> int | None:
    return _number(call.query, "generation")


def _number(query: dict[str, Any], name: str) -> int | None:
    text = query.get(name)
    if text is None:
        return None
    if not str(text).isdigit():
        raise invalid(f"Invalid value for {name}: {text}")
    return int(text)


def _etags(header: str | None) -> tuple[str, ...]:
    return tuple(each.strip().strip('"') for each in header.split(",")) if header else ()
