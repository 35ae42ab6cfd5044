"""``--on-failure``: what becomes of the outputs of a CMD that failed."""

import difflib
import os
from argparse import Namespace
from collections.abc import Mapping, Sequence
from typing import Final

from lighterman.errors import UsageError
from lighterman.jobspec import Output
from sidecar.options import Options

UPLOAD: Final = "upload"
SKIP: Final = "skip"
WORDS: Final = (UPLOAD, SKIP)
FAILED_STATE: Final = "failed"
"""The directory, in that of the state, of the journal of a failed CMD's prefix."""
_SLIP: Final = 0.7
"""How like (difflib's ratio) a prefix may be to one of the words: ``uplaod`` has 0.83, ``ship`` 0.75."""


def on_failure(text: str) -> str:
    """``upload``, ``skip``, or a prefix; a prefix that looks like a word needs a ``/``."""
    text = text.strip()
    if text in WORDS or "/" in text:
        return text
    close = difflib.get_close_matches(text.lower(), WORDS, n=1, cutoff=_SLIP)
    if close:
        raise ValueError(
            f"{text!r} is nearly {close[0]!r}; a prefix of that name is written {text}/"
        )
    if not text:
        raise ValueError("'' is no prefix; write upload, skip or a prefix like failed/{pod}")
    return text


def failed_output(
    arguments: Namespace, outputs: Sequence[Output], environ: Mapping[str, str]
) -> str | None:
    """
    Where a failed CMD's outputs go, below the connection's root; ``None``: nowhere of their own.
    ``UsageError`` if that is where they go anyway, or if several would go there; as for ``--to``,
    ``ConfigurationError`` for no prefix.
    """
    said = getattr(arguments, "on_failure", UPLOAD)
    if said in WORDS:
        return None
    from sidecar.place import prefix_of

    if len(outputs) > 1:
        raise UsageError(
            f"--on-failure {said} is one prefix, and there are {len(outputs)} outputs",
            hint="say upload or skip, or run them one by one",
        )
    prefix = prefix_of(said, environ, "--on-failure")
    if prefix == prefix_of(outputs[0].to, environ):
        raise UsageError(
            f"--on-failure {said} is where outputs go anyway (--to)",
            hint="give a prefix of its own, like failed/{pod}, or the word upload",
        )
    return prefix


def elsewhere(options: Options, prefix: str) -> tuple[Options, str]:
    """
    How all outputs are sent to ``prefix`` (its place in the bucket) once CMD has failed, and the directory
    of that journal.
    """
    again = options._replace(prefix=prefix, once=True, drops_failed=False, done_file=None)
    return again, os.path.join(options.state, FAILED_STATE)
