"""An image, or an installation, without the SDK of a cloud: each place there is refused by name."""

import json
import subprocess
import sys

import pytest

# Python takes a module that is None in there for one that isn't installed.
SCRIPT = """
import sys
sys.modules[sys.argv[1]] = None
from lighterman.cli import main
sys.exit(main(sys.argv[2:]))
"""
PLACES = [
    ("botocore", "s3://bucket/p", "s3", "boto3", "gcs,azure", "gcs,azure,s3"),
    ("google.cloud.storage", "gs://bucket/p", "gcs", "google-cloud-storage", "s3", "s3,gcs"),
    (
        "azure.storage.blob",
        "wasbs://box@account.blob.core.windows.net/p",
        "wasb",
        "azure-storage-blob",
        "s3",
        "s3,azure",
    ),
]


def refused(module, place, destination, environ):
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT, module, "init", place, destination],
        env=environ,
        capture_output=True,
        text=True,
        check=False,
    )
    [line] = done.stderr.splitlines()
    return done.returncode, json.loads(line)


@pytest.mark.parametrize(("module", "place", "kind", "package", "built", "wanted"), PLACES)
def test_an_image_of_other_clouds_says_what_it_was_built_with(
    tmp_path, module, place, kind, package, built, wanted
):
    """78, in one line, with the build that would do; nothing is asked of anybody."""
    code, said = refused(module, place, tmp_path / "in", {"LIGHTERMAN_CLOUDS": built})
    assert code == 78
    assert f"this image was built with CLOUDS={built}, without what {kind} needs" == said["error"]
    assert f"build one with CLOUDS={wanted}" in said["hint"]
    assert not (tmp_path / "in").exists()


@pytest.mark.parametrize(("module", "place", "kind", "package", "built", "wanted"), PLACES)
def test_an_installation_without_an_sdk_says_which(
    tmp_path, module, place, kind, package, built, wanted
):
    """78, and what to install."""
    code, said = refused(module, place, tmp_path / "in", {})
    assert (code, said["hint"]) == (78, f"pip install {package}")
    assert f"what {kind} needs isn't installed: {package}" == said["error"]
