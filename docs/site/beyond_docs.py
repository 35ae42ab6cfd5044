"""
What MkDocs doesn't do by itself (https://www.mkdocs.org/user-guide/configuration/#hooks).

Pages link to files outside of docs/ as a reader of the repository needs it (``../examples/pod.yaml``). For the
site those files become part of it, at their path in the repository, and the links lead there; a link to a
directory leads to its README. And each decision is in the navigation without being named there.
"""

import posixpath
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files, InclusionLevel
from mkdocs.structure.pages import Page

ROOT: Final = Path(__file__).parents[2]
_LINK: Final = re.compile(r"(\]\(|\]: )(?![a-z]+:|#|/)([^)#\s]+)")
"""A Markdown link's target: not a URL, an anchor alone, or an absolute path."""
_FENCED: Final = re.compile(r"(^```.*?^```$|`[^`\n]+`)", re.MULTILINE | re.DOTALL)


def on_config(config: MkDocsConfig) -> MkDocsConfig:
    """The decisions, in their order, as the last of the navigation's last section."""
    decisions = sorted((ROOT / "docs" / "decisions").glob("*.md"))
    [contributors] = config.nav[-1].values()  # type: ignore[index,attr-defined]
    contributors.append({"Decisions": [f"decisions/{path.name}" for path in decisions]})
    return config


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Take in what pages link to outside of docs/, and what that links to in turn."""
    queue = files.documentation_pages()
    while queue:
        page = queue.pop()
        for target in _targets(page.content_string, page.src_uri):
            if target.startswith("docs/") or files.get_file_from_path(target):
                continue
            taken = File.generated(config, target, abs_src_path=str(ROOT / target))
            taken.inclusion = InclusionLevel.NOT_IN_NAV  # it may be there, and needn't
            files.append(taken)
            if target.endswith(".md"):
                queue.append(taken)
    return files


def on_page_markdown(markdown: str, page: Page, **_: Any) -> str:
    """Links as the site has them."""
    here = page.file.src_uri

    def moved(match: re.Match[str]) -> str:
        target = _resolved(match[2], here)
        if target is None:
            return match[0]
        uri = target.removeprefix("docs/")
        return match[1] + posixpath.relpath(uri, posixpath.dirname(here) or ".")

    return _outside_code(markdown, lambda text: _LINK.sub(moved, text))


def _targets(markdown: str, uri: str) -> Iterator[str]:
    for text in _FENCED.split(markdown)[::2]:
        for match in _LINK.finditer(text):
            if target := _resolved(match[2], uri):
                yield target


def _resolved(link: str, uri: str) -> str | None:
    """The file of the repository that a link on that page leads to; ``None`` where there is none."""
    home = "" if (ROOT / uri).is_file() else "docs"
    path = posixpath.normpath(posixpath.join(home, posixpath.dirname(uri), link))
    if (ROOT / path).is_dir():
        path += "/README.md"
    return path if not path.startswith("..") and (ROOT / path).is_file() else None


def _outside_code(markdown: str, change: Any) -> str:
    pieces = _FENCED.split(markdown)
    pieces[::2] = [change(piece) for piece in pieces[::2]]
    return "".join(pieces)
