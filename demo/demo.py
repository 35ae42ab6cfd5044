"""
A pod's life without a cluster: init fills the volume, the job runs, its outputs reach the bucket.

    demo.py local|s3 [DIRECTORY]    everything happens in DIRECTORY (build/demo/local or …/s3), which is
                                    emptied first and left for you to look at
"""

import json
import os
import random
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

from places import Place, buckets, directories

HERE = Path(__file__).resolve().parent
AMBIENT = ("AWS_", "LIGHTERMAN_")
"""The demo shall go the same way whatever is set where it runs."""
BOLD, PLAIN = ("\033[1m", "\033[0m") if sys.stdout.isatty() else ("", "")


def main() -> int:
    sys.stdout.reconfigure(line_buffering=True)  # type: ignore[union-attr]  # stdout is a text file
    kind = sys.argv[1]
    directory = Path(*sys.argv[2:] or [HERE.parent / "build" / "demo" / kind]).resolve()
    shutil.rmtree(directory, ignore_errors=True)
    directory.mkdir(parents=True)
    opened = {"local": directories, "s3": buckets}[kind]
    with opened(directory) as place:
        return demo(place, directory)


def demo(place: Place, directory: Path) -> int:
    for name in ("job.yaml", place.catalog, "train.py"):
        text = (HERE / name).read_text()
        (directory / name).write_text(text.replace("/demo/", f"{directory}/"))
    place.fill("datasets", dataset())
    place.fill("results", {})

    say(f"The job spec, {directory}/job.yaml:")
    print((directory / "job.yaml").read_text())
    say(f"The catalog of connections, {directory}/{place.catalog}:")
    print((directory / place.catalog).read_text())
    say("What is in datasets (measurements/test is not declared, so it stays there):")
    show(place.contents("datasets"))

    say("1. The init container pulls what the spec declares into the volume:")
    given = ["--catalog", place.catalog, "--spec", "job.yaml"]
    lighterman(directory, "init", *given)
    show(
        {name: body for name, body in files(directory, "data").items() if ".lighterman" not in name}
    )

    say("2. The job runs, and what it writes goes to the bucket meanwhile:")
    lighterman(directory, "run", *given, "--", sys.executable, "train.py")

    say("3. What is in results:")
    found = place.contents("results")
    show(found)
    written = {
        f"runs/demo/{name.removeprefix('outputs/')}": body
        for name, body in files(directory, "outputs").items()
        if ".lighterman" not in name
    }
    if found != written:
        print("This is not what the job wrote.")
        return 1
    print(f"All {len(written)} files that the job wrote are there, byte for byte.")
    print(f"Everything is in {directory}; look around.")
    return 0


def dataset() -> dict[str, bytes]:
    """Points near y = 3·x + 1, in files of 50; settings; and a part that the job doesn't ask for."""
    chance = random.Random(1)
    objects = {"settings.json": b'{"epochs": 4, "rate": 0.1, "seconds_per_epoch": 0.5}\n'}
    for part in ("train/part-0", "train/part-1", "train/part-2", "test/part-0"):
        xs = [chance.random() for _ in range(50)]
        rows = [f"{x:.4f},{3 * x + 1 + chance.gauss(0, 0.01):.4f}\n" for x in xs]
        objects[f"measurements/{part}.csv"] = ("x,y\n" + "".join(rows)).encode()
    return objects


def lighterman(directory: Path, command: str, *arguments: str) -> None:
    """Runs the program as a user would, and shows its report; ends the demo when it fails."""
    line = ["lighterman", command, *arguments]
    print("$ " + shlex.join(Path(word).name if word == sys.executable else word for word in line))
    report = directory / f"{command}-report.json"
    code = subprocess.run(
        [sys.executable, "-m", *line],
        cwd=directory,
        env={
            **{name: value for name, value in os.environ.items() if not name.startswith(AMBIENT)},
            "LIGHTERMAN_LOG_FORMAT": "text",
            "LIGHTERMAN_REPORT": str(report),
            "NO_PROXY": "127.0.0.1",
        },
        stdin=subprocess.DEVNULL,
        check=False,
    ).returncode
    if report.exists():
        print("report:", json.dumps(json.loads(report.read_text()), indent=2), end="\n\n")
    if code:
        sys.exit(code)


def files(directory: Path, below: str) -> dict[str, bytes]:
    paths = sorted(path for path in (directory / below).rglob("*") if path.is_file())
    return {path.relative_to(directory).as_posix(): path.read_bytes() for path in paths}


def show(objects: dict[str, bytes]) -> None:
    for name, body in objects.items():
        print(f"{len(body):>10,}  {name}")
    print()


def say(text: str) -> None:
    print(f"{BOLD}{text}{PLAIN}")


if __name__ == "__main__":
    sys.exit(main())
