"""
Cold start: ``lighterman init`` of one 1 KiB file, and of a directory of ten, beside ``aws s3 cp`` of the
same, over an S3 server on this machine. The programs take turns; each figure is the median of all turns,
each ratio the median of the turns' own ratios.
"""

import argparse
import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent.parent / "tests"))

from servers.processes import moto_server

BUCKET = "cold-start"


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--turns", type=int, default=11)
    turns = options.parse_args().turns
    with (
        tempfile.TemporaryDirectory() as directory,
        moto_server(Path(directory, "server.log")) as endpoint,
    ):
        work = Path(directory)
        environ = {
            "PATH": os.environ["PATH"],
            "HOME": directory,
            "AWS_ACCESS_KEY_ID": "bench",
            "AWS_SECRET_ACCESS_KEY": "bench-secret",
            "AWS_REGION": "us-east-1",
            "AWS_ENDPOINT_URL": endpoint,
        }
        fill(work, environ)
        rows = [
            compare("one file of 1 KiB", turns, environ, work, *one_file()),
            compare("a directory of ten", turns, environ, work, *ten_files()),
        ]
    print(json.dumps(rows, indent=2))


def one_file() -> tuple[list[str], list[str]]:
    source = f"s3://{BUCKET}/ten/0"
    return ["init", source, "ours"], ["s3", "cp", source, "theirs/0"]


def ten_files() -> tuple[list[str], list[str]]:
    source = f"s3://{BUCKET}/ten"
    return ["init", source, "ours"], ["s3", "cp", "--recursive", source, "theirs"]


def fill(work: Path, environ: dict[str, str]) -> None:
    (work / "ten").mkdir()
    for number in range(10):
        (work / "ten" / str(number)).write_bytes(os.urandom(1024))
    aws = str(Path(sys.executable).parent / "aws")
    for arguments in (["mb", f"s3://{BUCKET}"], ["cp", "--recursive", "ten", f"s3://{BUCKET}/ten"]):
        subprocess.run(
            [aws, "s3", *arguments], env=environ, cwd=work, check=True, capture_output=True
        )


def compare(
    name: str,
    turns: int,
    environ: dict[str, str],
    work: Path,
    ours: list[str],
    theirs: list[str],
) -> dict[str, object]:
    here = Path(sys.executable).parent
    commands = {
        "lighterman": [str(here / "lighterman"), *ours],
        "aws": [str(here / "aws"), *theirs],
    }
    seconds: dict[str, list[float]] = {program: [] for program in commands}
    for _ in range(turns + 1):
        for program, command in commands.items():
            for place in ("ours", "theirs"):
                shutil.rmtree(work / place, ignore_errors=True)
            begun = time.perf_counter()
            subprocess.run(command, env=environ, cwd=work, check=True, capture_output=True)
            seconds[program].append(time.perf_counter() - begun)
    # The first turn reads the programs from disk, whichever comes first pays for it.
    ratios = [ours / theirs for ours, theirs in zip(*seconds.values(), strict=True)][1:]
    return {
        "workload": name,
        "lighterman_seconds": round(statistics.median(seconds["lighterman"][1:]), 3),
        "aws_seconds": round(statistics.median(seconds["aws"][1:]), 3),
        "ratio": round(statistics.median(ratios), 2),
    }


if __name__ == "__main__":
    main()
