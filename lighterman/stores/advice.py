"""
What a store may tell about its place beside the contract, for who looks before a job runs. A store that
has nothing to tell has none of these methods.
"""

from typing import NamedTuple, Protocol, runtime_checkable


class Advice(NamedTuple):
    """One setting of a bucket that works and still wants a word."""

    topic: str
    """What was looked at, as ``lifecycle``."""
    said: str
    """What was found, in one line."""
    hint: str = ""
    """How to mend it; empty where all is well, or where it can't be known."""
    is_known: bool = True
    """False where it couldn't be looked at."""


@runtime_checkable
class Advises(Protocol):
    """A store that knows of such settings."""

    def advice(self, prefix: str) -> list[Advice]:
        """What is worth a word for who writes below ``prefix``. Permissions that are lacking are no errors."""
        ...


@runtime_checkable
class TellsLogin(Protocol):
    """A store that logs in."""

    @property
    def login_source(self) -> str:
        """Where the credentials came from, never what they are."""
        ...
