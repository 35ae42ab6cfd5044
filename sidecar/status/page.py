"""``/``: one HTML page, with its style and script inside, and a policy that lets nothing else in."""

import base64
import hashlib
from functools import cache
from pathlib import Path
from typing import Final

FILES: Final = Path(__file__).with_name("files")


@cache
def page() -> tuple[bytes, str]:
    """The page, and its Content-Security-Policy."""
    style, script = ((FILES / name).read_text() for name in ("page.css", "page.js"))
    html = (FILES / "page.html").read_text()
    html = html.replace("/*style*/", style).replace("/*script*/", script)
    policy = (
        f"default-src 'none'; style-src {_hash(style)}; script-src {_hash(script)};"
        " connect-src 'self'; img-src data:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    )
    return html.encode(), policy


def _hash(text: str) -> str:
    """As https://www.w3.org/TR/CSP3/#external-hash has it: of what stands between the tags, to the byte."""
    return f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"
