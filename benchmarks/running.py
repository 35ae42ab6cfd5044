"""One run of one program: into an empty directory, measured from outside, and looked at afterwards."""

import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Final

import msgspec
from figures import Cost
from ideal_store import Ideal
from programs import Fetch, Program

_LAUNCH: Final = Path(__file__).parent / "launch.py"
_MOST_SECONDS: Final = 1200
_BLOCK_BYTES: Final = 1 << 20


def run(program: Program, fetch: Fetch, store: Ideal) -> Cost:
    """What it took; ends the benchmark if the program fails. The directory is left as the program left it."""
    environment = program.environment(fetch, store.root)
    return measured(program.name, program.command(fetch), environment, store)


def measured(name: str, command: list[str], environment: Mapping[str, str], store: Ideal) -> Cost:
    """As ``run``, of any command."""
    output = store.root / "output"
    store_begun = store.cpu_seconds()
    # A session of its own, so that whatever happens here, all of it can be ended.
    launcher = subprocess.Popen(
        [sys.executable, "-I", "-S", str(_LAUNCH), str(output), *command],
        env=environment,
        stdout=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    try:
        said, _ = launcher.communicate(timeout=_MOST_SECONDS)
    except BaseException:
        os.killpg(launcher.pid, signal.SIGKILL)
        launcher.wait()
        raise
    if launcher.returncode:
        raise SystemExit(f"{command[0]} could not be started")
    code, wall, cpu, peak_kib = said.split()
    if code != "0":
        ends = output.read_text(errors="replace")[-2000:]
        raise SystemExit(f"{name} ended with {code}: {ends}")
    return Cost(
        wall_seconds=float(wall),
        cpu_seconds=float(cpu),
        peak_mib=int(peak_kib) / 1024,
        store_cpu_seconds=store.cpu_seconds() - store_begun,
    )


def unverified_files(said: str) -> int | None:
    """What lighterman's last line of log counts as such; none where it has no such line."""
    for line in reversed(said.splitlines()):
        if '"init.done"' in line:
            count: int = msgspec.json.decode(line)["unverified_files"]
            return count
    return None


def empty(target: Path) -> None:
    """Take away what an earlier run brought, and let the disk finish with it before the next one begins."""
    shutil.rmtree(target, ignore_errors=True)
    subprocess.run(["/bin/sync", "--file-system", str(target.parent)], check=True)


def check_sizes(program: str, target: Path, sizes: Mapping[str, int]) -> None:
    """Every file must be there with its size; ends the benchmark where one isn't."""
    for key, size_bytes in sizes.items():
        try:
            found = os.stat(target / key).st_size
        except FileNotFoundError:
            raise SystemExit(f"{program} did not bring {key}") from None
        if found != size_bytes:
            raise SystemExit(f"{program} brought {found} of the {size_bytes} bytes of {key}")


def check_contents(program: str, target: Path, objects: Path, keys: Mapping[str, int]) -> None:
    """Every byte must be the object's; ends the benchmark where one isn't."""
    for key in keys:
        with (target / key).open("rb") as found, (objects / key).open("rb") as wanted:
            while block := wanted.read(_BLOCK_BYTES):
                if found.read(_BLOCK_BYTES) != block:
                    raise SystemExit(f"{program} brought other bytes than those of {key}")
