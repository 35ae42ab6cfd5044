"""The fenced blocks of the pages: language, title, text, and where they stand."""

import re
from pathlib import Path
from typing import NamedTuple

REPOSITORY = Path(__file__).parents[1]
DOCS = REPOSITORY / "docs"
PAGES = sorted(DOCS.glob("**/*.md"))
_BLOCK = re.compile(
    r'^(?P<indent> *)```(?P<language>[\w-]*)(?: title="(?P<title>[^"]+)")?(?P<rest>[^\n]*)\n'
    r"(?P<text>.*?)^(?P=indent)```$",
    re.MULTILINE | re.DOTALL,
)


class Block(NamedTuple):
    """One block. ``title`` is the name of a file that commands on its page find beside them."""

    page: str
    line: int
    language: str
    title: str
    text: str

    @property
    def place(self) -> str:
        return f"{self.page}:{self.line}"


def blocks_of(path: Path) -> list[Block]:
    """All blocks of one page, in their order."""
    text = path.read_text()
    return [
        Block(
            str(path.relative_to(DOCS)),
            text.count("\n", 0, match.start()) + 1,
            match["language"] + match["rest"],
            match["title"] or "",
            match["text"],
        )
        for match in _BLOCK.finditer(text)
    ]


def titled(page: str, title: str) -> str:
    """The text of the block that is called so on that page."""
    [found] = [block.text for block in blocks_of(DOCS / page) if block.title == title]
    return found


BLOCKS = [block for path in PAGES for block in blocks_of(path)]
