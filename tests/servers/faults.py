"""What a proxy can be told to do to a request, and which requests are meant."""

import json
from collections.abc import Callable
from dataclasses import dataclass
from urllib.parse import parse_qsl, urlsplit


@dataclass
class Request:
    """What a client asked for, and with which status it was answered."""

    method: str
    target: str
    headers: dict[str, str]
    status: int | None = None
    body_bytes: int = 0
    """How much of its body has passed."""
    body_start: bytes = b""
    """What has passed of the first 4 KiB."""
    answer_bytes: int = 0
    """How much of the body of its answer has passed."""
    is_answered: bool = False
    """Whether all of that has."""

    @property
    def path(self) -> str:
        """As it was sent, still quoted."""
        target = self.target
        if "://" in target.split("?", 1)[0]:
            target = "/" + target.split("://", 1)[1].partition("/")[2]
        return target.split("?", 1)[0]

    @property
    def query(self) -> dict[str, str]:
        return dict(parse_qsl(urlsplit(self.target).query, keep_blank_values=True))


class Answer:
    """Answer in the server's place."""

    def __init__(self, status: int, body: bytes = b"", **headers: str) -> None:
        self.status = status
        self.body = body
        self.headers = {name.replace("_", "-"): value for name, value in headers.items()}


class Reset:
    """Reset the connection, after so many bytes of the request's body."""

    def __init__(self, after_bytes: int = 0) -> None:
        self.after_bytes = after_bytes


class Stall:
    """Never answer, and never close."""


class Cut:
    """Close after so many bytes of the answer's body."""

    def __init__(self, after_bytes: int) -> None:
        self.after_bytes = after_bytes


class StallBody:
    """Stop sending after so many bytes of the answer's body, and never close."""

    def __init__(self, after_bytes: int) -> None:
        self.after_bytes = after_bytes


class Delay:
    """Pass on, later."""

    def __init__(self, seconds: float) -> None:
        self.seconds = seconds


class Slow:
    """Pass on both bodies at no more than so many bytes a second."""

    def __init__(self, bytes_per_second: float) -> None:
        self.bytes_per_second = bytes_per_second


class Call:
    """Call a function with the request, then pass on."""

    def __init__(self, hook: Callable[[Request], object]) -> None:
        self.hook = hook


class CallAfter:
    """Pass on, and call a function with the request once the server's answer is there, before it is told."""

    def __init__(self, hook: Callable[[Request], object]) -> None:
        self.hook = hook


class Without:
    """Pass on without one header of the request, whose name is given in lower case."""

    def __init__(self, header: str) -> None:
        self.header = header


Fault = Answer | Reset | Stall | Cut | StallBody | Delay | Slow | Call | CallAfter | Without
Match = Callable[[Request], bool]


def slow_down(status: int = 503) -> Answer:
    """S3's answer to too many requests."""
    return s3_error(status, "SlowDown", "Please reduce your request rate.")


def s3_error(status: int, code: str, message: str = "", **headers: str) -> Answer:
    """An error as S3 writes it."""
    body = f"<Error><Code>{code}</Code><Message>{message}</Message></Error>".encode()
    return Answer(status, body, Content_Type="application/xml", **headers)


def gcs_error(status: int, reason: str, message: str = "", **headers: str) -> Answer:
    """An error as GCS's JSON API writes it; its XML API's are as S3's."""
    error = {
        "code": status,
        "message": message,
        "errors": [{"domain": "global", "reason": reason, "message": message}],
    }
    body = json.dumps({"error": error}).encode()
    return Answer(status, body, Content_Type="application/json; charset=UTF-8", **headers)


def azure_error(status: int, code: str, message: str = "", **headers: str) -> Answer:
    """An error as Azure's Blob service writes it: the code is in a header too, which HEAD has alone."""
    body = (
        "<?xml version='1.0' encoding='utf-8'?>"
        f"<Error><Code>{code}</Code><Message>{message}</Message></Error>"
    )
    headers = {"Content_Type": "application/xml", "x_ms_error_code": code} | headers
    return Answer(status, body.encode(), **headers)


def is_get(request: Request) -> bool:
    """A GET of an object, not a listing."""
    return request.method == "GET" and "list-type" not in request.query


def is_listing(request: Request) -> bool:
    return request.method == "GET" and "list-type" in request.query


def is_put(request: Request) -> bool:
    """A PUT of a whole object."""
    return request.method == "PUT" and "partNumber" not in request.query


def is_part(request: Request) -> bool:
    """Whether it carries a part of an upload: S3's, Azure's block, or a chunk of a session of GCS's."""
    query, content_range = request.query, request.headers.get("content-range", "")
    is_chunk = "upload_id" in query and content_range and not content_range.startswith("bytes */")
    # An upload to Azure begins and ends with marks of one byte.
    is_block = query.get("comp") == "block" and int(request.headers.get("content-length", "0")) > 1
    return request.method == "PUT" and bool("partNumber" in query or is_block or is_chunk)


def has_arrived(request: Request) -> bool:
    """Whether the place has taken that part."""
    return request.status in {200, 201, 308}
