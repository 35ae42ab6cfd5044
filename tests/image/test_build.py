"""How the images are built: the same from the same files, and for the other architecture too."""

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest
from pods import built, podman

pytestmark = pytest.mark.image

REPOSITORY = Path(__file__).parent.parent.parent
LOCK = REPOSITORY / "requirements" / "runtime.txt"
GLIBC = range(17, 42)
"""Minor versions of glibc 2 whose wheels run on the bases: Debian trixie has 2.41."""


def test_two_builds_give_the_same_image(image):
    """
    Bit by bit: the second one takes nothing from the first. (The ids differ, since Docker's format of an image
    tells the name of the container that built it.)
    """
    again = built(f"{image}-again", "--no-cache")
    try:
        first, second = json.loads(podman("image", "inspect", image, again))
    finally:
        podman("rmi", again)
    assert first["RootFS"] == second["RootFS"]
    assert first["Config"] == second["Config"]
    assert first["Healthcheck"] == second["Healthcheck"]


def test_the_lock_has_wheels_for_arm64(tmp_path):
    """
    Each locked requirement is there for AArch64 under the lock's own hashes. What else is in the image is
    bytecode and data, which are the same on both.
    """
    report = tmp_path / "report.json"
    subprocess.run(
        [
            *(sys.executable, "-m", "pip", "install", "--dry-run", "--quiet", "--ignore-installed"),
            *(
                "--no-deps",
                "--require-hashes",
                "--only-binary",
                ":all:",
                "--python-version",
                "3.13",
            ),
            *("--target", tmp_path / "nowhere", "--report", report, "--requirement", LOCK),
            *(word for minor in GLIBC for word in ("--platform", f"manylinux_2_{minor}_aarch64")),
            *("--platform", "manylinux2014_aarch64"),
        ],
        check=True,
        capture_output=True,
        text=True,
    )
    found = json.loads(report.read_text())["install"]
    wheels = [each["download_info"]["url"].rpartition("/")[2] for each in found]
    assert [name for name in wheels if not name.endswith(("-any.whl", "aarch64.whl"))] == []
    locked = re.findall(r"^([a-z0-9-]+)(?:\[.*\])?==", LOCK.read_text(), re.MULTILINE)
    assert sorted(
        each["metadata"]["name"].lower().replace("_", "-").replace(".", "-") for each in found
    ) == sorted(locked)
