"""
Shared access signatures of Azure Storage: read in every form that they are pasted in, and what they tell about
themselves: https://learn.microsoft.com/rest/api/storageservices/create-account-sas, …/create-service-sas,
…/create-user-delegation-sas. What they say is only looked at; whether it holds, the store decides.
"""

import re
from datetime import UTC, datetime
from typing import Final, NamedTuple
from urllib.parse import quote, unquote

from lighterman.connections.sources import Setting, url_of
from lighterman.errors import CredentialsError
from lighterman.secret import Secret

SKEW_SECONDS: Final = 300.0
"""So far this machine's clock may be off before a signature's times are judged by it: within, the store does."""

_NAME: Final = re.compile(r"[a-z]{2,6}")
_UNQUOTED: Final = re.compile(r"[\s\"'<>]")


class Sas(NamedTuple):
    """A signature, and the place in whose URL it was pasted."""

    token: Secret
    """``name=value&…``, percent-encoded, without a question mark."""
    endpoint: str = ""
    container: str = ""
    """Endpoint and container of the URL, ``""`` without one."""


def read_sas(setting: Setting) -> Sas:
    """
    A token as portals and tools give it: with or without ``?`` before it, or as a whole URL.
    ``ConfigurationError`` for what is none, ``CredentialsError`` where the signature itself is missing.
    """
    text = setting.value.strip()
    endpoint = container = ""
    if "://" in text:
        place, question, text = text.partition("?")
        if not question:
            setting.fail("a URL without a signature", "copy the SAS token: sv=…&sig=…")
        endpoint, container = _place(setting, place)
    fields = _fields(setting, text.removeprefix("?"))
    for name in ("sv", "sig"):
        if not fields.get(name):
            raise CredentialsError(
                f"{setting.name} ({setting.source}): a SAS without {name}=",
                hint="copy the whole token, from sv= to the end of sig=; quote it in a shell, since it has & in it",
            )
    if "se" not in fields and "si" not in fields:
        setting.fail("a SAS without se=, the time of its end", "copy the whole token")
    if "b" not in fields.get("ss", "b"):
        setting.fail(
            f"a SAS for other services than blobs (ss={fields['ss']})", "make one for Blob"
        )
    # The signature is also known decoded: an error text may show it so.
    Secret(fields["sig"])
    token = "&".join(f"{name}={quote(value, safe='')}" for name, value in fields.items())
    return Sas(Secret(token), endpoint, container)


def check_times(setting: Setting, token: Secret, now_seconds: float) -> None:
    """``CredentialsError`` for a signature that has ended, or doesn't hold yet, by more than ``SKEW_SECONDS``."""
    fields = _pairs(token.reveal())
    end, start = _time(setting, fields, "se"), _time(setting, fields, "st")
    clock = _shown(now_seconds)
    if end is not None and end + SKEW_SECONDS < now_seconds:
        raise CredentialsError(
            f"{setting.name} ({setting.source}): the SAS has expired at {_shown(end)}; it is {clock}",
            hint="make a new one, or set this machine's clock, if that is wrong",
        )
    if start is not None and start - SKEW_SECONDS > now_seconds:
        raise CredentialsError(
            f"{setting.name} ({setting.source}): the SAS doesn't hold before {_shown(start)}; it is {clock}",
            hint="leave st= out when making it, or set this machine's clock, if that is wrong",
        )


def check_scheme(setting: Setting, token: Secret, endpoint: str) -> None:
    """``ConfigurationError`` for a signature that is for https only, at an endpoint that isn't."""
    if _pairs(token.reveal()).get("spr") == "https" and endpoint.startswith("http://"):
        setting.fail(
            f"the SAS is for https only (spr=https), and the endpoint is {endpoint}",
            "write the endpoint with https, or make a SAS for both",
        )


def shown(token: Secret) -> str:
    """What a signature is for and until when, as far as it tells: for the text of a refusal. Not the signature."""
    fields = _pairs(token.reveal())
    said = [
        f"{name}={fields[name]}"
        for name in ("sp", "ss", "srt", "sr", "si", "sip")
        if name in fields
    ]
    for word, name in (("from", "st"), ("until", "se")):
        seconds = _parsed_time(fields.get(name, ""))
        said += [f"{word} {_shown(seconds)}"] if seconds is not None else []
    return f"a SAS: {', '.join(said)}"


def _place(setting: Setting, url: str) -> tuple[str, str]:
    scheme, _, rest = url.partition("://")
    host, _, path = rest.partition("/")
    first, _, rest_of_path = path.partition("/")
    if ":" in host or "." not in host:  # an emulator, with the account in the path
        host, first = f"{host}/{first}", rest_of_path.partition("/")[0]
    endpoint = url_of(setting._replace(value=f"{scheme}://{host}"), use_ssl=True)
    return endpoint, unquote(first)


def _fields(setting: Setting, text: str) -> dict[str, str]:
    if _UNQUOTED.search(text):
        setting.fail("a SAS with spaces or quotes in it", "write it bare, on one line")
    pieces = text.split("&")
    for number, piece in enumerate(pieces, 1):
        name, equals, _ = piece.partition("=")
        if not equals or not _NAME.fullmatch(name):
            setting.fail(
                f"no SAS token: piece {number} of {len(pieces)} isn't like name=value",
                "copy the whole token, sv=…&sig=…, and quote it in a shell, since it has & in it",
            )
    fields = _pairs(text)
    if len(fields) < len(pieces):
        setting.fail("a SAS in which a name stands twice", "copy one token, once")
    return fields


def _pairs(text: str) -> dict[str, str]:
    """Decoded. A ``+`` is a plus: signatures are base64, and many tools leave it as it is."""
    pairs = (piece.partition("=") for piece in text.split("&"))
    return {name: unquote(value) for name, _, value in pairs}


def _time(setting: Setting, fields: dict[str, str], name: str) -> float | None:
    if not fields.get(name):
        return None
    found = _parsed_time(fields[name])
    if found is None:
        setting.fail(f"the SAS's {name}= is no time", "copy the whole token as it was made")
    return found


def _parsed_time(text: str) -> float | None:
    try:
        time = datetime.fromisoformat(text)
    except ValueError:
        return None
    return (time if time.tzinfo else time.replace(tzinfo=UTC)).timestamp()


def _shown(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%d %H:%M UTC")
