"""Where lighterman's time goes, sampled by py-spy from outside: stacks, and a summary that fits on a screen."""

import shutil
import subprocess
import sys
from collections import Counter
from collections.abc import Iterable
from pathlib import Path
from typing import Final

from programs import Fetch, Program

_SAMPLES_A_SECOND: Final = 250
_LINES: Final = 25
_NO_FRAME: Final = "(no frame of Python)"


def profile(program: Program, fetch: Fetch, home: Path, out: Path, *, of_lock: bool) -> None:
    """
    Run the program once under py-spy, and sample the threads that run, or those that have the interpreter's lock.
    ``out`` with ``.stacks`` has the collapsed stacks (for speedscope or flamegraph.pl), with ``.txt`` the summary,
    which is printed too.
    """
    spy = shutil.which("py-spy", path=str(Path(sys.executable).parent)) or shutil.which("py-spy")
    if spy is None:
        raise SystemExit("py-spy is missing: .venv/bin/python -m pip install py-spy")
    stacks = out.with_suffix(".stacks")
    rate = str(_SAMPLES_A_SECOND)
    recording = [spy, "record", "--rate", rate, "--format", "raw", "--output", str(stacks)]
    if of_lock:
        recording.append("--gil")
    ended = subprocess.run(
        [*recording, "--", sys.executable, *program.command(fetch)],
        env=program.environment(fetch, home),
        check=False,
        capture_output=True,
        text=True,
    )
    if ended.returncode or not stacks.exists():
        raise SystemExit(f"py-spy ended with {ended.returncode}: {ended.stderr[-2000:]}")
    lines = stacks.read_text().splitlines()
    whose = "that have the interpreter's lock" if of_lock else "that run"
    text = f"Of threads {whose}: {summary(lines)}"
    out.with_suffix(".txt").write_text(text)
    print(f"{out.name}\n{text}")


def summary(stacks: Iterable[str]) -> str:
    """
    Of collapsed stacks (frames between semicolons, then a count), the share of the samples that each function was
    running itself, and that it was on the stack, the largest first.
    """
    itself: Counter[str] = Counter()
    anywhere: Counter[str] = Counter()
    total = 0
    for line in stacks:
        stack, _, count = line.rpartition(" ")
        frames = [_function(frame) for frame in stack.split(";") if frame] or [_NO_FRAME]
        total += int(count)
        itself[frames[-1]] += int(count)
        for frame in set(frames):
            anywhere[frame] += int(count)
    lines = [f"{total} samples"]
    for title, counts in (("running itself", itself), ("on the stack", anywhere)):
        lines.append(f"\n{title}")
        lines.extend(
            f"{count / total:6.1%}  {frame}" for frame, count in counts.most_common(_LINES)
        )
    return "\n".join([*lines, ""])


def _function(frame: str) -> str:
    """``carry (initializer/fetch.py:120)`` without the line's number, so that one function is one entry."""
    name, colon, line = frame.rpartition(":")
    return f"{name})" if colon and line.rstrip(")").isdecimal() else frame
