"""
Puts the last run of the benchmark into the documentation: its tables between the marks in docs/performance.md, its
plot and its figures beside the other pictures. Nothing between the marks is written by hand.
"""

import argparse
import shutil
from pathlib import Path
from typing import Final

import msgspec
import plot
import tables
from figures import Result
from programs import REPOSITORY

PAGE: Final = REPOSITORY / "docs" / "performance.md"
PICTURES: Final = REPOSITORY / "docs" / "img"
HEADINGS: Final = {
    "fetch": "Wall time to fetch, lighterman = 1",
    "send": "Wall time to send, lighterman = 1",
}
"""By the name that a run's files, and its marks in the page, begin with."""


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("of", nargs="?", choices=HEADINGS, default="fetch")
    options.add_argument(
        "figures", type=Path, nargs="?", help="default: build/bench/{fetch,send}.json"
    )
    given = options.parse_args()
    of, figures = given.of, given.figures or REPOSITORY / "build" / "bench" / f"{given.of}.json"
    if not figures.exists():
        raise SystemExit(f"{figures} is not there: make bench, or make bench-send")
    result = read(figures)
    PICTURES.mkdir(exist_ok=True)
    PAGE.write_text(inserted(PAGE.read_text(), section(result, of), of))
    (PICTURES / f"{of}.svg").write_text(plot.svg(result, HEADINGS[of]))
    kept = PICTURES / f"{of}.json"
    if figures.resolve() != kept:
        shutil.copyfile(figures, kept)


def read(path: Path) -> Result:
    """The result that a run wrote; ends with the place of what is wrong with it."""
    try:
        return msgspec.json.decode(path.read_bytes(), type=Result)
    except msgspec.DecodeError as error:
        raise SystemExit(f"{path} is no result of make bench: {error}") from None


def section(result: Result, of: str = "fetch") -> str:
    """What stands between the marks."""
    commands = "\n".join(f"{name + ':':12} {line}" for name, line in result.commands.items())
    return "\n\n".join(
        [
            f"![Wall time of each program beside lighterman's](img/{of}.svg)",
            tables.facts(result),
            tables.medians(result),
            tables.ratios(result),
            f"As they were called:\n\n```text\n{commands}\n```",
        ]
    )


def marks(of: str) -> tuple[str, str]:
    """Between what a section is."""
    made = "make bench-report" if of == "fetch" else "make bench-send-report"
    return f"<!-- {of}: written by `{made}` from {of}.json -->", f"<!-- {of}: end -->"


def inserted(page: str, text: str, of: str = "fetch") -> str:
    """The page, with this text between its marks."""
    begins, ends = marks(of)
    before, begin, rest = page.partition(begins)
    _, end, after = rest.partition(ends)
    if not begin or not end:
        raise SystemExit(f"{PAGE} has no section between {begins} and {ends}")
    return f"{before}{begins}\n{text}\n{ends}{after}"


if __name__ == "__main__":
    main()
