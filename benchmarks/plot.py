"""
A result as a picture: for every workload, how long each other program took where lighterman takes 1, on a scale of
logarithms, a panel for each place. It is plain SVG, and reads on light and dark ground.
"""

import math
from collections.abc import Iterator
from typing import Final, NamedTuple
from xml.sax.saxutils import escape

from figures import OURS, Result, Row

_LABELS_WIDTH: Final = 240
_PANEL_WIDTH: Final = 262
_GAP: Final = 24
_TOP: Final = 76
_ROW_HEIGHT: Final = 28
_BOTTOM: Final = 46
_TICKS: Final = (0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10, 20, 50, 100, 200, 500)
_SHAPES: Final = ("circle", "square", "diamond", "triangle", "cross")
# Okabe and Ito's colours, which readers who see few colours tell apart too; the shapes tell the rest.
_COLOURS: Final = ("#0072b2", "#d55e00", "#009e73", "#8a8a8a", "#cc79a7")
_COLOURS_ON_DARK: Final = ("#56b4e9", "#ff8c42", "#2fc79a", "#a6a6a6", "#e6a3c8")


class Axis(NamedTuple):
    """From a ratio to a place in a panel, by logarithms."""

    least: float
    most: float

    def at(self, ratio: float) -> float:
        """Pixels from the panel's left edge."""
        span = math.log(self.most / self.least)
        return math.log(ratio / self.least) / span * _PANEL_WIDTH

    def ticks(self) -> list[float]:
        """The round numbers that are on it."""
        return [tick for tick in _TICKS if self.least <= tick <= self.most]


def axis_of(ratios: list[float]) -> Axis:
    """An axis that holds all of these and 1, with a little room at both ends."""
    return Axis(min([0.8, *ratios]) / 1.25, max([1.25, *ratios]) * 1.25)


def svg(result: Result, heading: str = "Wall time to fetch, lighterman = 1") -> str:
    """The picture, as the text of an SVG file."""
    places = list(dict.fromkeys(row.place for row in result.rows))
    names = list(dict.fromkeys(row.name for row in result.rows))
    peers = list(
        dict.fromkeys(peer for row in result.rows for peer in row.programs if peer != OURS)
    )
    axis = axis_of([ratio for row in result.rows for _, ratio in _dots(row)])
    width = _LABELS_WIDTH + len(places) * (_PANEL_WIDTH + _GAP)
    height = _TOP + len(names) * _ROW_HEIGHT + _BOTTOM
    size = f'viewBox="0 0 {width} {height}" width="{width}" height="{height}"'
    font = 'font-family="system-ui, sans-serif" font-size="12"'
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" {size} {font} role="img">',
        f"<title>Wall time of each program, lighterman = 1; {escape(result.date)}</title>",
        _style(len(peers)),
        f'<text class="head" x="0" y="16">{escape(heading)}</text>',
        *_legend(peers),
        *_labels(result.rows, names),
    ]
    for number, place in enumerate(places):
        left = _LABELS_WIDTH + number * (_PANEL_WIDTH + _GAP)
        rows = {row.name: row for row in result.rows if row.place == place}
        parts.append(f'<g transform="translate({left} 0)">')
        parts.extend(_panel(place, [rows.get(name) for name in names], peers, axis))
        parts.append("</g>")
    return "\n".join([*parts, "</svg>", ""])


def _dots(row: Row) -> Iterator[tuple[str, float]]:
    """Each other program's wall time over lighterman's."""
    for peer, program in row.programs.items():
        if program.wall_ratio:
            yield peer, 1 / program.wall_ratio


def _style(peers: int) -> str:
    def colours(of: tuple[str, ...]) -> str:
        return "".join(
            f".p{number} {{ fill: {of[number % len(of)]}; stroke: {of[number % len(of)]}; }} "
            for number in range(peers)
        )

    return (
        "<style>text { fill: #57606a; } .head, .label { fill: #1f2328; } .head { font-weight: 600; } "
        ".grid { stroke: #8c959f; stroke-opacity: .3; } .one { stroke: #57606a; stroke-width: 1.5; } "
        ".stem { stroke-opacity: .35; stroke-width: 2; } "
        f"{colours(_COLOURS)}"
        "@media (prefers-color-scheme: dark) { text { fill: #9198a1; } .head, .label { fill: #e6edf3; } "
        f".one {{ stroke: #9198a1; }} {colours(_COLOURS_ON_DARK)}}}</style>"
    )


def _legend(peers: list[str]) -> Iterator[str]:
    x = 0
    for number, peer in enumerate(peers):
        yield _mark(number, x + 6, 36)
        yield f'<text class="label" x="{x + 17}" y="40">{escape(peer)}</text>'
        x += 34 + 7 * len(peer)
    yield f'<text x="{x + 8}" y="40">right of the line: slower than lighterman</text>'


def _labels(rows: list[Row], names: list[str]) -> Iterator[str]:
    by_name = {row.name: row for row in rows}
    for number, name in enumerate(names):
        row, y = by_name[name], _middle(number)
        late = f", {row.latency_milliseconds} ms" if row.latency_milliseconds else ""
        x = _LABELS_WIDTH - 12
        yield f'<text class="label" x="{x}" y="{y + 4}" text-anchor="end">{escape(row.title)}{late}</text>'


def _panel(place: str, rows: list[Row | None], peers: list[str], axis: Axis) -> Iterator[str]:
    bottom = _TOP + len(rows) * _ROW_HEIGHT
    yield f'<text class="head" x="0" y="{_TOP - 10}">onto {escape(place)}</text>'
    for tick in axis.ticks():
        x = axis.at(tick)
        kind = "one" if tick == 1 else "grid"
        yield f'<line class="{kind}" x1="{x:.1f}" y1="{_TOP - 4}" x2="{x:.1f}" y2="{bottom + 4}"/>'
        yield f'<text x="{x:.1f}" y="{bottom + 18}" text-anchor="middle">{tick:g}</text>'
    for number, row in enumerate(rows):
        y = _middle(number)
        # The farthest first, so that the stems of the nearer ones lie on top.
        dots = sorted(_dots(row), key=lambda dot: -abs(math.log(dot[1]))) if row else []
        for peer, ratio in dots:
            x, of = axis.at(ratio), peers.index(peer)
            yield f'<line class="stem p{of}" x1="{axis.at(1):.1f}" y1="{y}" x2="{x:.1f}" y2="{y}"/>'
        for peer, ratio in dots:
            yield _mark(peers.index(peer), axis.at(ratio), y, f"{peer}: {ratio:.2f}")


def _middle(number: int) -> int:
    return _TOP + number * _ROW_HEIGHT + _ROW_HEIGHT // 2


def _mark(number: int, x: float, y: float, title: str = "") -> str:
    shape = f'class="p{number}"'
    inner = f"<title>{escape(title)}</title>" if title else ""
    match _SHAPES[number % len(_SHAPES)]:
        case "circle":
            return f'<circle {shape} cx="{x:.1f}" cy="{y}" r="4.5">{inner}</circle>'
        case "square":
            return f'<rect {shape} x="{x - 4:.1f}" y="{y - 4}" width="8" height="8">{inner}</rect>'
        case "diamond":
            points = f"{x:.1f},{y - 5.5} {x + 5.5:.1f},{y} {x:.1f},{y + 5.5} {x - 5.5:.1f},{y}"
        case "triangle":
            points = f"{x:.1f},{y - 5} {x + 5:.1f},{y + 4} {x - 5:.1f},{y + 4}"
        case _:
            points = f"{x - 1.5:.1f},{y - 5} {x + 1.5:.1f},{y - 5} {x + 1.5:.1f},{y + 5} {x - 1.5:.1f},{y + 5}"
    return f'<polygon {shape} points="{points}">{inner}</polygon>'
