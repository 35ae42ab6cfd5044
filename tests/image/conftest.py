"""The image, built once, and pods of it over moto's server on the host."""

import secrets
import subprocess

import pytest
from pods import CONTAINERS, Pod, podman

IMAGE = "localhost/lighterman:test"
DISTROLESS_UID = 65532
OPENSHIFT_UID = 1000640000
"""From the range that a namespace gets there: no passwd entry knows it."""


@pytest.fixture(scope="session")
def image():
    """The Dockerfile's image."""
    build = subprocess.run(
        [CONTAINERS / "build-image", IMAGE],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    assert build.returncode == 0, build.stdout[-5000:]
    return IMAGE


@pytest.fixture(params=[DISTROLESS_UID, OPENSHIFT_UID])
def pod(request, image, s3_bucket, tmp_path):
    """A pod of the image's own uid, and one of an arbitrary uid."""
    bucket = s3_bucket._replace(secret_access_key=secrets.token_urlsafe(30))
    pod = Pod(image, tmp_path, bucket, request.param)
    yield pod
    pod.remove()


@pytest.fixture
def in_image(image):
    """Runs Python code in a container of the image, which is removed at its end."""

    def run(code, *options):
        return podman(
            *("run", "--rm", "--network", "none", *options, "--entrypoint", "python"),
            *(image, "-c", code),
        )

    return run
