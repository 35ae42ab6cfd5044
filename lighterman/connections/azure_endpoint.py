"""Where a storage account of Azure is: its name in a URL of the service, and the URL of a name."""

import re
from typing import Final
from urllib.parse import urlsplit

from lighterman.connections.sources import Setting, url_of

DEFAULT_SUFFIX: Final = "core.windows.net"
EMULATOR_ACCOUNT: Final = "devstoreaccount1"
EMULATOR_KEY: Final = (
    "Eby8vdM02xNOcqFlqUwJPLlmEtlCDXJ1OUzFT50uSRZ6IFsuFq2UVErCz4I6tq/K1SZFPTOtr/KBHBeksoGMGw=="
)
"""No secret: the emulators' own, https://learn.microsoft.com/azure/storage/common/storage-use-azurite."""
EMULATOR_PORT: Final = 10000

_ACCOUNT: Final = re.compile(r"[a-z0-9]{3,24}")
"""https://learn.microsoft.com/azure/storage/common/storage-account-overview#storage-account-name"""
_HOST: Final = re.compile(
    r"([a-z0-9]{3,24})(?:-secondary)?\.(?:privatelink\.|z\d+\.)?(blob|dfs)\.[a-z0-9.-]+"
)
_PATH_STYLE_HOSTS: Final = ("localhost", "host.docker.internal")


def is_account(name: str) -> bool:
    """Whether a storage account can have that name."""
    return _ACCOUNT.fullmatch(name) is not None


def checked_account(setting: Setting) -> str:
    """The name of an account; ``ConfigurationError`` if none can have it."""
    if not is_account(setting.value):
        setting.fail(
            f"{setting.value!r} is no name of a storage account",
            "3 to 24 lower-case letters and digits, without a domain",
        )
    return setting.value


def endpoint_of(account: str, suffix: str = "") -> str:
    """Azure's own endpoint of an account."""
    return f"https://{account}.blob.{suffix or DEFAULT_SUFFIX}"


def checked_endpoint(setting: Setting) -> str:
    """
    A URL of the blob service of one account, without a slash at its end. ``ConfigurationError`` for one of
    another service, or with more behind it than an emulator's account.
    """
    url = url_of(setting, use_ssl=True)
    parts = urlsplit(url)
    match = _HOST.fullmatch(parts.hostname or "")
    path = parts.path.strip("/")
    if match and match[2] == "dfs":
        setting.fail("that is the endpoint for Data Lake", "write blob in place of dfs in it")
    if (match and path) or "/" in path:
        setting.fail(
            "there is more behind the account than an endpoint has",
            "end it with the host, or with the account of an emulator; the container belongs into schema.bucket",
        )
    return url


def account_in(endpoint: str) -> str:
    """The account that an endpoint names, in its host or, as emulators have it, in its path; else ``""``."""
    parts = urlsplit(endpoint)
    if match := _HOST.fullmatch(parts.hostname or ""):
        return match[1]
    return parts.path.strip("/")


def with_account(endpoint: str, account: str) -> str:
    """
    The endpoint with the account in its path, where it must stand there: behind an address, ``localhost`` or a
    bare host name. Other hosts without a path are an account's own domain.
    """
    if account_in(endpoint) or not is_path_style(urlsplit(endpoint).hostname or ""):
        return endpoint
    return f"{endpoint}/{account}"


def is_path_style(host: str) -> bool:
    """Whether the account stands in the path behind this host, as emulators have it."""
    return bool(host) and (_is_address(host) or "." not in host or host in _PATH_STYLE_HOSTS)


def _is_address(host: str) -> bool:
    import ipaddress

    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True
