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
PLOT: Final = REPOSITORY / "docs" / "img" / "fetch.svg"
FIGURES: Final = REPOSITORY / "docs" / "img" / "fetch.json"
BEGIN: Final = "<!-- fetch: written by `make bench-report` from fetch.json -->"
END: Final = "<!-- fetch: end -->"


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument(
        "figures", type=Path, nargs="?", default=REPOSITORY / "build" / "bench" / "fetch.json"
    )
    given = options.parse_args()
    if not given.figures.exists():
        raise SystemExit(f"{given.figures} is not there: make bench")
    result = read(given.figures)
    PLOT.parent.mkdir(exist_ok=True)
    PAGE.write_text(inserted(PAGE.read_text(), section(result)))
    PLOT.write_text(plot.svg(result))
    if given.figures.resolve() != FIGURES:
        shutil.copyfile(given.figures, FIGURES)


def read(path: Path) -> Result:
    """The result that a run wrote; ends with the place of what is wrong with it."""
    try:
        return msgspec.json.decode(path.read_bytes(), type=Result)
    except msgspec.DecodeError as error:
        raise SystemExit(f"{path} is no result of make bench: {error}") from None


def section(result: Result) -> str:
    """What stands between the marks."""
    commands = "\n".join(f"{name + ':':12} {line}" for name, line in result.commands.items())
    return "\n\n".join(
        [
            "![Wall time of each program beside lighterman's](img/fetch.svg)",
            tables.facts(result),
            tables.medians(result),
            tables.ratios(result),
            f"As they were called:\n\n```\n{commands}\n```",
        ]
    )


def inserted(page: str, text: str) -> str:
    """The page, with this text between its marks."""
    before, begin, rest = page.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not begin or not end:
        raise SystemExit(f"{PAGE} has no section between {BEGIN} and {END}")
    return f"{before}{BEGIN}\n{text}\n{END}{after}"


if __name__ == "__main__":
    main()
