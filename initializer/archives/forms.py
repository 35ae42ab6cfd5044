"""Which objects are archives, by their names. Pure."""

from typing import Final, Literal, TypeAlias

Form: TypeAlias = Literal["tar", "tar.gz", "tar.zst", "zip"]
"""How an archive is packed."""
AUTO: Final = "auto"
"""What ``unpack`` says where names tell the form."""
FORMS: Final[tuple[Form, ...]] = ("tar", "tar.gz", "tar.zst", "zip")
CHOICES: Final = (AUTO, *FORMS)
_ENDS: Final[dict[str, Form]] = {
    ".tar": "tar",
    ".tar.gz": "tar.gz",
    ".tgz": "tar.gz",
    ".tar.zst": "tar.zst",
    ".tzst": "tar.zst",
    ".zip": "zip",
}


def form_of(key: str, unpack: str | None) -> Form | None:
    """
    The form of the object under ``key`` for an entry that says ``unpack``; ``None``: it is no archive.
    ``auto`` goes by the name's end, whatever its case; any other word says it of every object.
    """
    if unpack is None or key.endswith("/"):
        return None
    if unpack != AUTO:
        return next(form for form in FORMS if form == unpack)
    name = key[key.rfind("/") + 1 :].lower()
    for end, form in _ENDS.items():
        if name.endswith(end) and len(name) > len(end):
            return form
    return None
