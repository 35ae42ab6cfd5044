"""
Flags whose values may come from the environment: every flag ``--some-name`` is also
``LIGHTERMAN_SOME_NAME``, so that a manifest needs no args. The command line wins.
"""

import argparse
import re
from collections.abc import Callable, Mapping
from typing import Any, Final

from lighterman.errors import UsageError

_SIZE = re.compile(r"(\d+(?:\.\d+)?|\.\d+)\s*([kmgt]?)(i?)b?", re.IGNORECASE)
_DURATION = re.compile(r"(\d+(?:\.\d+)?|\.\d+)\s*(ms|s|m|h)?", re.IGNORECASE)
_SECONDS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0}
MOST_BYTES: Final = 1 << 60
LEAST_RATE: Final = 1024
"""A limit below that, in bytes per second, is a slip of the pen: a megabyte would take a quarter of an hour."""
MOST_SECONDS: Final = 1e9
"""Thirty years; what a wait may take is bounded by ``threading.TIMEOUT_MAX``, 9e9 s."""
MOST_TIMEOUT_SECONDS: Final = 86_400.0
_TRUE, _FALSE = ("1", "true", "yes", "on"), ("", "0", "false", "no", "off")


def size(text: str) -> int:
    """Bytes: ``64MiB``, ``1.5G``, ``4096``. ``k`` is 1,000 only in ``kB``; alone and in ``KiB`` 1,024."""
    match = _SIZE.fullmatch(text.strip())
    if match is None:
        raise ValueError(f"{text!r} is no size; write bytes or a size like 64MiB")
    number, unit, binary = match.groups()
    decimal = text.strip().lower().endswith("b") and not binary
    base = 1000 if decimal and unit else 1024
    found = float(number) * base ** " kmgt".index(unit.lower() or " ")
    if found > MOST_BYTES:
        raise ValueError(f"{text!r} is more than any machine has")
    return int(found)


def rate(text: str) -> int:
    """Bytes per second: a size, with or without ``/s`` after it; 0 is no limit."""
    found = size(text.strip().removesuffix("/s"))
    if 0 < found < LEAST_RATE:
        raise ValueError(
            f"{text!r} is slower than {LEAST_RATE} bytes per second; write a unit: 50M"
        )
    return found


def seconds(text: str) -> float:
    """Seconds: ``30``, ``2.5``, ``500ms``, ``5m``, ``1h``."""
    match = _DURATION.fullmatch(text.strip())
    if match is None:
        raise ValueError(f"{text!r} is no duration; write seconds or a duration like 90s, 5m")
    number, unit = match.groups()
    found = float(number) * _SECONDS[(unit or "s").lower()]
    if found > MOST_SECONDS:
        raise ValueError(f"{text!r} is longer than {MOST_SECONDS:.0f} s")
    return found


def timeout(text: str) -> float:
    """As ``seconds``, but neither zero nor more than a day, which sockets don't take."""
    found = seconds(text)
    if not 0 < found <= MOST_TIMEOUT_SECONDS:
        raise ValueError(f"{text!r} is no timeout: more than 0 s, at most a day")
    return found


def whole_number(text: str) -> int:
    """A whole number from 1 up."""
    if not re.fullmatch(r"[1-9]\d*", text.strip()):
        raise ValueError(f"{text!r} is no whole number from 1 up")
    return int(text)


def switch(text: str) -> bool:
    """A boolean as environments write it."""
    if text.strip().lower() in _TRUE:
        return True
    if text.strip().lower() in _FALSE:
        return False
    raise ValueError(f"{text!r} is neither true nor false")


class Parser(argparse.ArgumentParser):
    """Says what is wrong as a ``UsageError`` instead of ending the process."""

    def error(self, message: str) -> Any:
        raise UsageError(message, hint=f"{self.prog} --help lists the flags")


class Flags:
    """Adds flags to a parser, each with its variable."""

    def __init__(self, parser: argparse.ArgumentParser, environ: Mapping[str, str]) -> None:
        self.parser = parser
        self._environ = environ

    def add(
        self,
        name: str,
        *,
        help: str,  # noqa: A002 - argparse's own word
        default: Any = None,
        convert: Callable[[str], Any] = str,
        choices: tuple[str, ...] = (),
        metavar: str | None = None,
    ) -> None:
        """A flag with one value."""
        self.parser.add_argument(
            name,
            type=_checked(name, convert, choices),
            default=self._from_environment(name, _checked(name, convert, choices), default),
            metavar=metavar or ("|".join(choices) if choices else convert.__name__.upper()),
            help=_described(help, default, name),
        )

    def add_repeated(
        self,
        name: str,
        *,
        help: str,  # noqa: A002 - argparse's own word
        default: tuple[str, ...] = (),
        metavar: str = "VALUE",
    ) -> None:
        """A flag that may stand many times; its variable holds one value a line or comma."""
        fallback = self._from_environment(
            name, lambda text: [part for part in re.split(r"[\n,]", text) if part], list(default)
        )
        self.parser.add_argument(
            name,
            action=_Append,
            default=fallback,
            metavar=metavar,
            help=_described(help, ", ".join(default), name),
        )

    def add_switch(self, name: str, *, help: str) -> None:  # noqa: A002 - argparse's own word
        """A flag without a value."""
        self.parser.add_argument(
            name,
            action="store_true",
            default=self._from_environment(name, _checked(name, switch, ()), default=False),
            help=_described(help, None, name),
        )

    def nearest(self, unknown: str, program: str) -> str:
        """How to mend a flag that isn't there."""
        import difflib

        known = self.parser._option_string_actions  # noqa: SLF001 - argparse tells it nowhere else
        close = difflib.get_close_matches(unknown.partition("=")[0], known, n=1)
        return f"did you mean {close[0]}?" if close else f"{program} --help lists the flags"

    def _from_environment(self, name: str, convert: Callable[[str], Any], default: Any) -> Any:
        variable = variable_of(name)
        text = self._environ.get(variable)
        if text is None or (text == "" and convert is not str):
            return default
        try:
            return convert(text)
        except (ValueError, argparse.ArgumentTypeError) as error:
            raise UsageError(
                f"${variable}: {error}", hint=f"unset it or mend it: {name}"
            ) from error


def variable_of(name: str) -> str:
    """The environment variable of a flag."""
    return "LIGHTERMAN_" + name.removeprefix("--").replace("-", "_").upper()


class _Append(argparse.Action):
    """Appends; the first value on the command line replaces what the environment gave."""

    def __call__(
        self,
        parser: argparse.ArgumentParser,  # noqa: ARG002 - argparse calls it so
        namespace: argparse.Namespace,
        values: Any,
        option_string: str | None = None,  # noqa: ARG002 - argparse calls it so
    ) -> None:
        given = f"_{self.dest}_given"
        kept = getattr(namespace, self.dest) if getattr(namespace, given, False) else []
        setattr(namespace, self.dest, [*kept, values])
        setattr(namespace, given, True)


def _checked(
    name: str, convert: Callable[[str], Any], choices: tuple[str, ...]
) -> Callable[[str], Any]:
    def checked(text: str) -> Any:
        if choices and text not in choices:
            raise argparse.ArgumentTypeError(f"{text!r} is none of {', '.join(choices)}")
        try:
            return convert(text)
        except ValueError as error:
            raise argparse.ArgumentTypeError(str(error)) from error

    checked.__name__ = name
    return checked


def _described(text: str, default: object, name: str) -> str:
    told = f"{default:g}" if isinstance(default, float) else default
    shown = "" if default in (None, "", []) else f" (default: {told})"
    return f"{text}{shown} [${variable_of(name)}]".replace("%", "%%")
