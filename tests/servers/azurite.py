"""
Azurite, Microsoft's own emulator of Azure Blob storage, as a process of its own.

It is a program for Node, which ``azurite_install`` puts into ``.venv``; ``LIGHTERMAN_TEST_AZURITE`` names another
``node_modules`` that has it.
"""

import base64
import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

from servers.azurite_install import node
from servers.certificates import Authority
from servers.processes import running

ACCOUNT = "lightermantests"
READY = r"Azurite Blob service successfully listens on (https?://127\.0\.0\.1:\d+)"
INSTALLED = Path(".venv") / "azurite"


class Azurite(NamedTuple):
    """Where it is, and the account that it has."""

    url: str
    account: str
    key: str

    @property
    def endpoint(self) -> str:
        """The account's, as connections name it."""
        return f"{self.url}/{self.account}"

    @property
    def connection_string(self) -> str:
        scheme = self.url.partition(":")[0]
        return (
            f"DefaultEndpointsProtocol={scheme};AccountName={self.account};AccountKey={self.key};"
            f"BlobEndpoint={self.endpoint};"
        )


def azurite_command() -> list[str]:
    """Node and Azurite's program for Blob storage."""
    root = Path(__file__).parents[2]
    modules = Path(os.environ.get("LIGHTERMAN_TEST_AZURITE") or root / INSTALLED / "node_modules")
    program = modules / "azurite" / "dist" / "src" / "blob" / "main.js"
    if not program.is_file():
        raise RuntimeError(f"no Azurite in {modules}: run `make .venv/dev`")
    return [node(), str(program)]


@contextmanager
def azurite_server(directory: Path, authority: Authority | None = None) -> Iterator[Azurite]:
    """
    Azurite with its objects below ``directory``, on a free loopback port, with an account of its own. With
    an authority it speaks TLS by its certificate, and takes bearer tokens too (their signature isn't checked).
    """
    directory.mkdir(parents=True, exist_ok=True)
    key = base64.b64encode(secrets.token_bytes(64)).decode()
    command = [
        *azurite_command(),
        *("--blobHost", "127.0.0.1", "--blobPort", "0"),
        *("--location", str(directory)),
        *("--skipApiVersionCheck", "--disableTelemetry", "--silent"),
    ]
    if authority:
        certificate = authority.ca_bundle.with_name("server.pem")
        command += ["--cert", str(certificate), "--key", str(certificate.with_suffix(".key"))]
        command += ["--oauth", "basic"]
    environment = {"AZURITE_ACCOUNTS": f"{ACCOUNT}:{key}"}
    with running(command, directory / "log", READY, environment) as match:
        yield Azurite(match[1], ACCOUNT, key)
