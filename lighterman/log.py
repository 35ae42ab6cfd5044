"""
Logs: structlog on stderr, JSON lines, or human text on a terminal. Event names are dotted
(``init.file_fetched``), fields carry their unit in their name (``size_bytes``, ``wait_seconds``).
Inside another program, which has its own idea of logs, they go to the standard library's logger
``lighterman`` instead. Whatever is written passes ``scrub``: no known secret leaves the process this way.
"""

import atexit
import contextlib
import os
import sys
from collections.abc import MutableMapping
from typing import Any, Final, Literal, Protocol, TextIO, TypeAlias

from lighterman.secret import scrub
from lighterman.text import one_line

Level: TypeAlias = Literal["debug", "info", "warning", "error"]
_QUOTED: Final = frozenset(" \t=\r\n\"'")
"""A value with one of these is written with quotes and escapes in the text style."""
LEVELS: dict[Level, int] = {"debug": 10, "info": 20, "warning": 30, "error": 40}


class Logger(Protocol):
    """What the program asks of a logger: an event and its fields."""

    def debug(self, event: str, **fields: object) -> object: ...
    def info(self, event: str, **fields: object) -> object: ...
    def warning(self, event: str, **fields: object) -> object: ...
    def error(self, event: str, **fields: object) -> object: ...


class _LazyLogger:
    """
    Structlog, imported with the first event that is written: a short run that has nothing to say
    before its end doesn't wait for it at its start.
    """

    def __init__(self) -> None:
        self.level: Level = "info"
        self.style: Literal["json", "text"] = "json"
        self.stream: TextIO | None = None
        self._structlog: Logger | None = None
        self._has_failed = False
        self._is_configured = False
        self._is_handed_over = False

    def to_standard_logging(self) -> None:
        self._is_handed_over = not self._is_configured

    def configure(
        self, level: Level, style: Literal["json", "text"], stream: TextIO | None
    ) -> None:
        self.level, self.style, self.stream = level, style, stream
        self._is_configured, self._is_handed_over = True, False
        self._structlog = None

    def debug(self, event: str, **fields: object) -> object:
        return self._write("debug", event, fields)

    def info(self, event: str, **fields: object) -> object:
        return self._write("info", event, fields)

    def warning(self, event: str, **fields: object) -> object:
        return self._write("warning", event, fields)

    def error(self, event: str, **fields: object) -> object:
        return self._write("error", event, fields)

    def _write(self, level: Level, event: str, fields: dict[str, object]) -> object:
        if self._is_handed_over:
            _hand_over(level, event, fields)
            return None
        stream = self.stream or sys.stderr
        if LEVELS[level] < LEVELS[self.level] or not stream:  # none: it was closed at the start
            return None
        if self._structlog is None:
            self._structlog = _build(self.level, self.style, stream)
        try:
            return getattr(self._structlog, level)(event, **fields)
        except OSError:  # its reader went away, its disk is full: the work goes on without a log
            if not self._has_failed:
                self._has_failed = True
                atexit.register(_drop_unwritten)
            return None


_logger = _LazyLogger()


def configure(
    level: Level = "info",
    style: Literal["json", "text"] | None = None,
    stream: TextIO | None = None,
) -> None:
    """Set what is written, how and where. ``style`` left out: text on a terminal, else JSON lines."""
    if style is None:
        place = stream or sys.stderr
        style = "text" if place and place.isatty() else "json"
    _logger.configure(level, style, stream)


def to_standard_logging() -> None:
    """
    From now on, unless somebody calls ``configure``, events are the host program's: records of the standard
    library's logger ``lighterman``, with the event and its fields as their message and the fields as a
    mapping in their ``fields``. Where nobody set up logging, nothing is written.
    """
    _logger.to_standard_logging()


def get_logger() -> Logger:
    """The process's one logger."""
    return _logger


def _hand_over(level: Level, event: str, fields: dict[str, object]) -> None:
    logging = sys.modules.get("logging")
    if logging is None:  # then nobody can have set it up
        return
    logger = logging.getLogger("lighterman")
    if not logger.handlers:
        logger.addHandler(logging.NullHandler())  # else warnings go to stderr
    if logger.isEnabledFor(LEVELS[level]):
        told = {name: _scrubbed(value) for name, value in fields.items()}
        text = " ".join([event, *(f"{name}={value}" for name, value in told.items())])
        logger.log(LEVELS[level], "%s", text, extra={"fields": told})


def _drop_unwritten() -> None:
    """What stderr still holds would fail again at the interpreter's end, and be its exit code (120)."""
    try:
        sys.stderr.flush()
    except OSError:
        with contextlib.suppress(OSError):
            null = os.open(os.devnull, os.O_WRONLY)
            os.dup2(null, sys.stderr.fileno())
            os.close(null)


def _scrub_values(
    _logger: object, _method: str, event: MutableMapping[str, Any]
) -> MutableMapping[str, Any]:
    first = {name: event.pop(name) for name in ("timestamp", "level", "event")}
    return first | {name: _scrubbed(value) for name, value in event.items()}


def _for_terminal(
    _logger: object, _method: str, event: MutableMapping[str, Any]
) -> MutableMapping[str, Any]:
    """What structlog would print as it is, a terminal might obey. What it quotes, it escapes."""
    for name, value in event.items():
        if isinstance(value, str) and not value.isprintable() and _QUOTED.isdisjoint(value):
            event[name] = one_line(value)
    return event


def _scrubbed(value: object) -> object:
    if isinstance(value, (bool, int, float)) or value is None:
        return value
    return scrub(value if isinstance(value, str) else str(value))


def _build(level: Level, style: Literal["json", "text"], stream: TextIO) -> Logger:
    structlog = _import_structlog()
    renderer = (
        structlog.dev.ConsoleRenderer(
            colors=stream.isatty(), exception_formatter=structlog.dev.plain_traceback
        )
        if style == "text"
        else structlog.processors.JSONRenderer()
    )
    logger: Logger = structlog.wrap_logger(
        structlog.PrintLogger(stream),
        processors=[
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            _scrub_values,
            *([_for_terminal] if style == "text" else []),
            renderer,
        ],
        wrapper_class=structlog.make_filtering_bound_logger(LEVELS[level]),
    )
    return logger


def _import_structlog() -> Any:
    # structlog imports rich, where it is installed, for tracebacks that are never written here:
    # 45 ms of 110. An import that finds None in sys.modules fails at once.
    hidden = sys.modules.get("rich")
    sys.modules["rich"] = None  # type: ignore[assignment]
    try:
        import structlog
    finally:
        if hidden is None:
            del sys.modules["rich"]
        else:
            sys.modules["rich"] = hidden
    return structlog
