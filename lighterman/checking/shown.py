"""Findings as they are printed: a table for people, a JSON object a line for programs."""

import contextlib
import json
import sys
from collections.abc import Callable
from typing import Final

from lighterman.checking.findings import Finding
from lighterman.secret import scrub
from lighterman.text import one_line

_WIDTHS: Final = (8, 20, 12)
"""Of state, subject and check; what is longer takes the room that it needs."""


def row(finding: Finding) -> str:
    """
    One line, and its mend on a second where there is one. Control characters are those of a key or a
    path, and mean nothing to a terminal here.
    """
    cells = (finding.state, finding.subject, finding.check)
    padded = (f"{cell:<{width}}" for cell, width in zip(cells, _WIDTHS, strict=True))
    lines = [" ".join([*padded, finding.said])]
    if finding.hint:
        lines.append(f"{'':{_WIDTHS[0]}}   → {finding.hint}")
    return "\n".join(one_line(line) for line in lines)


def record(finding: Finding) -> str:
    """The same as JSON; ``code`` and ``kind`` are the error's, of a failure."""
    fields: dict[str, object] = {
        "subject": finding.subject,
        "check": finding.check,
        "state": str(finding.state),
        "said": finding.said,
    }
    if finding.hint:
        fields["hint"] = finding.hint
    if finding.error is not None:
        fields |= {"code": int(finding.error.exit_code), "kind": finding.error.kind}
    return json.dumps(fields, ensure_ascii=False)


def printer(style: str | None) -> Callable[[Finding], None]:
    """Prints each finding to stdout, secrets masked: as ``table`` or ``json``, if not by what stdout is."""
    if style is None:
        style = "table" if sys.stdout and sys.stdout.isatty() else "json"
    shown = row if style == "table" else record

    def show(finding: Finding) -> None:
        # Whoever read it may have gone away; the checks, the report and the code don't depend on it.
        with contextlib.suppress(OSError, ValueError):
            print(scrub(shown(finding)), flush=True)  # noqa: T201 - what was asked for

    return show
