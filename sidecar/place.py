"""The outputs path, made and held for one process, and the prefix it goes to."""

import contextlib
import fcntl
import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from lighterman.connections.model import Bucket, Connection
from lighterman.errors import CannotWriteError, ConfigurationError

VARIABLES: Final = {
    "pod": ("LIGHTERMAN_POD", "POD_NAME"),
    "namespace": ("LIGHTERMAN_NAMESPACE", "POD_NAMESPACE"),
    "index": ("LIGHTERMAN_INDEX", "JOB_COMPLETION_INDEX"),
    "uid": ("LIGHTERMAN_UID", "POD_UID"),
}
"""Where the words of a prefix come from: the downward API, and what an Indexed Job sets."""


def below(prefix: str, further: str) -> str:
    """One prefix below another; either may be empty."""
    return "/".join(part for part in (prefix, further) if part)


def prefix_of(pattern: str, environ: Mapping[str, str], flag: str = "--to") -> str:
    """
    ``pattern`` with ``{pod}``, ``{namespace}``, ``{index}`` and ``{uid}`` filled in, without slashes at
    its ends. An unset or unknown word is a ``ConfigurationError``: replicas would share a prefix.
    """

    def fill(match: re.Match[str]) -> str:
        word = match[1]
        if word not in VARIABLES:
            raise ConfigurationError(
                f"{flag} {pattern}: there is no word {{{word}}}",
                hint=f"words: {', '.join(f'{{{known}}}' for known in VARIABLES)}",
            )
        value = next((environ[name] for name in VARIABLES[word] if environ.get(name)), "")
        if not value:
            raise ConfigurationError(
                f"{flag} {pattern}: {{{word}}} is not set",
                hint=f"set ${VARIABLES[word][1]} from the downward API",
            )
        return value

    filled = re.sub(r"\{([^{}]*)\}", fill, pattern).strip("/")
    if any(part in ("", ".", "..") for part in filled.split("/")) and filled:
        raise ConfigurationError(
            f"{flag} {pattern}: {filled!r} is no prefix", hint="write names with single slashes"
        )
    return filled


def made(path: str) -> str:
    """The real path of the outputs directory, which is made if it is missing (73 if it can't be)."""
    try:
        Path(path).mkdir(parents=True, exist_ok=True)
    except FileExistsError as error:
        raise CannotWriteError(
            f"outputs path {path} is a file", hint="--path names a directory"
        ) from error
    except OSError as error:
        raise CannotWriteError(
            f"can't make outputs path {path}: {error.strerror}",
            hint="give a --path that this uid may write, or make it before",
        ) from error
    return os.path.realpath(path)


class Hold:
    """The outputs directory, held for this process until ``release`` or its end."""

    def __init__(self, root: str) -> None:
        try:
            self._descriptor = os.open(root, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        except OSError as error:
            raise CannotWriteError(
                f"can't read outputs path {root}: {error.strerror}",
                hint="run as the uid that writes it",
            ) from error
        try:
            fcntl.flock(self._descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            os.close(self._descriptor)
            raise ConfigurationError(
                f"another lighterman syncs {root} already",
                hint="one sidecar, run or sync at a time for one --path",
            ) from error
        except (
            OSError
        ):  # a filesystem without locks: the journal's own still keeps a second one out
            pass
        self.device = os.fstat(self._descriptor).st_dev

    def release(self) -> None:
        """Let another process have it."""
        with contextlib.suppress(OSError):
            os.close(self._descriptor)


def check_apart(connection: Connection, prefix: str, root: str) -> None:
    """A volume's directory inside the outputs would be sent into itself for ever (78)."""
    if isinstance(connection.schema, Bucket):
        return
    below = os.path.join(connection.schema.mount_path, prefix) if prefix else ""
    target = os.path.realpath(below or connection.schema.mount_path)
    if target == root or target.startswith(root.rstrip("/") + "/"):
        raise ConfigurationError(
            f"connection {connection.name!r} leads to {target}, inside the outputs path {root}",
            hint="send outputs to a place outside of --path",
            connection=connection.name,
        )
