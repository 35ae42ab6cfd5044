"""The images of the Dockerfile, each built once, and pods of them over moto's server on the host."""

import os
import secrets

import pytest
from pods import Pod, built, run_python

IMAGE = os.environ.get("LIGHTERMAN_TEST_IMAGE", "localhost/lighterman:test")
DISTROLESS_UID = 65532
OPENSHIFT_UID = 1000640000
"""From the range that a namespace gets there: no passwd entry knows it."""


@pytest.fixture(scope="session")
def image():
    """The Dockerfile's image."""
    return built(IMAGE)


@pytest.fixture(scope="session")
def shell_less_image(image):
    """The same on the base without a shell."""
    return built(f"{IMAGE}-shell-less", "--target", "shell-less")


@pytest.fixture(scope="session")
def s3_image(image):
    """The one that was built for S3 alone."""
    return built(f"{IMAGE}-s3", "--target", "slim", "--build-arg", "CLOUDS=s3")


@pytest.fixture(scope="session", params=["image", "shell_less_image"])
def target(request):
    """Each target of the Dockerfile in turn."""
    return request.getfixturevalue(request.param)


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
    return lambda code, *options: run_python(image, code, *options)
