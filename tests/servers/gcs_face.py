"""
A GCS server for the tests, held to Google's documentation: the JSON API that google-cloud-storage speaks,
the XML API that obstore speaks, and a token endpoint, over one set of objects in memory.

PyPI's ``gcp-storage-emulator`` isn't behind it: that ignores every precondition, cannot be asked for a key
that ends in ``/``, takes ``a//b`` for ``a/b``, writes the metadata of all objects anew for each, and has no
XML API. What both do, ``tests/gcs_server`` asks of both. The rules are in ``gcs_objects`` (objects,
preconditions, sessions), ``gcs_json``, ``gcs_xml`` and ``gcs_access``, each with the page that it is from.

``python -m servers.gcs_face OWNER_TOKEN`` serves on a free loopback port and says which.
"""

import json
import sys
from urllib.parse import parse_qsl

from servers.gcs_access import Access, GrantError
from servers.gcs_json import JsonApi
from servers.gcs_objects import ApiError, Catalog
from servers.gcs_xml import XmlApi
from servers.http_server import Call, Reply, json_reply, serve

OWNER = "owner@tests.iam.gserviceaccount.com"
AUDIENCE = "https://oauth2.googleapis.com/token"
"""Of a request for an access token it is always this, wherever it is sent to:
https://developers.google.com/identity/protocols/oauth2/service-account#jwt-claim-set."""


class Face:
    """Tells the two APIs apart by path, and serves what is beside them."""

    def __init__(self, owner_token: str) -> None:
        self._access = Access()
        self._access.know(OWNER, "", owner=True)
        self._access.allow(owner_token, OWNER)
        self._owner_token = owner_token
        catalog = Catalog()
        self._json = JsonApi(catalog, self._access)
        self._xml = XmlApi(catalog, self._access)

    def answer(self, call: Call) -> Reply:
        if call.path in {"/token", "/v1/token"}:
            return self._token(call)
        if call.path.startswith("/_control/"):
            return self._control(call)
        if JsonApi.serves(call.path):
            try:
                return self._json.answer(call)
            except ApiError as error:
                return _json_error(error, call)
        try:
            return self._xml.answer(call)
        except ApiError as error:
            return _xml_error(error)

    def _token(self, call: Call) -> Reply:
        form = dict(parse_qsl(call.body.whole().decode()))
        try:
            return json_reply(self._access.grant(form, AUDIENCE))
        except GrantError as error:
            return json_reply(error.answer, 400)

    def _control(self, call: Call) -> Reply:
        """What the tests tell the server: a method of ``Access`` or a setting of it, by name."""
        if call.headers.get("Authorization") != f"Bearer {self._owner_token}":
            return Reply(403)
        given = call.json()
        action = call.path.removeprefix("/_control/")
        if action == "lifetime":
            self._access.lifetime_seconds = given["seconds"]
            return json_reply({})
        return json_reply(getattr(self._access, action)(**given))


def _json_error(error: ApiError, call: Call) -> Reply:
    """https://cloud.google.com/storage/docs/json_api/v1/status-codes; media answers are plain text."""
    headers = list(error.headers.items())
    message = error.details or error.message
    if error.status == 304:
        return Reply(304, headers)
    if call.query.get("alt") == "media":
        kind = ("Content-Type", "text/html; charset=UTF-8")
        return Reply(error.status, [kind, *headers], message.encode())
    reason = {"message": message, "domain": "global", "reason": error.reason}
    body = {"error": {"code": error.status, "message": message, "errors": [reason]}}
    return json_reply(body, error.status, *headers)


def _xml_error(error: ApiError) -> Reply:
    """https://cloud.google.com/storage/docs/xml-api/reference-status"""
    headers = list(error.headers.items())
    if error.status == 304:
        return Reply(304, headers)
    details = f"<Details>{_escaped(error.details)}</Details>" if error.details else ""
    body = (
        "<?xml version='1.0' encoding='UTF-8'?>"
        f"<Error><Code>{error.code}</Code><Message>{_escaped(error.message)}</Message>{details}</Error>"
    )
    kind = ("Content-Type", "application/xml; charset=UTF-8")
    return Reply(error.status, [kind, *headers], body.encode(errors="replace"))


def _escaped(text: str) -> str:
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


def main() -> None:
    face = Face(sys.argv[1])

    def ready(port: int) -> None:
        sys.stdout.write(json.dumps({"gcs": f"http://127.0.0.1:{port}"}) + "\n")
        sys.stdout.flush()

    serve(face.answer, ready)


if __name__ == "__main__":
    main()
