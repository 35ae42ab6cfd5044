"""Azure's refusals, and which of its requests are meant."""

from servers.faults import Answer, Request


def azure_error(status: int, code: str, detail: str = "") -> Answer:
    """An error as the Blob service writes it: in a header too, since a HEAD's answer has no body."""
    body = (
        "\ufeff<?xml version='1.0' encoding='utf-8'?>"
        f"<Error><Code>{code}</Code><Message>Some words.\nRequestId:0\nTime:0</Message>"
        f"<AuthenticationErrorDetail>{detail}</AuthenticationErrorDetail></Error>"
    )
    headers = {"x_ms_error_code": code} if code else {}
    return Answer(status, body.encode(), Content_Type="application/xml", **headers)


def server_busy(status: int = 503) -> Answer:
    """Azure's answer to too many requests."""
    return azure_error(status, "ServerBusy")


def is_listing(request: Request) -> bool:
    return request.method == "GET" and request.query.get("comp") == "list"


def is_get(request: Request) -> bool:
    """A GET of an object."""
    return request.method == "GET" and "comp" not in request.query


def is_put(request: Request) -> bool:
    """A PUT of a whole object."""
    return request.method == "PUT" and "comp" not in request.query


def is_block(request: Request) -> bool:
    return request.method == "PUT" and request.query.get("comp") == "block"


def is_commit(request: Request) -> bool:
    return request.method == "PUT" and request.query.get("comp") == "blocklist"


def is_block_list(request: Request) -> bool:
    return request.method == "GET" and request.query.get("comp") == "blocklist"
