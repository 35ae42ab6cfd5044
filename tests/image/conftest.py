"""The images of the Dockerfile, each built once, and pods of them over moto's server on the host."""

import os
import secrets

import jobs
import pytest
from kubelet import PlayedPod
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


@pytest.fixture
def play(image, tmp_path):
    """
    Starts a pod of a manifest by the kubelet's rules. At the test's end it is removed, and no secret was in any
    of its logs and termination messages.
    """
    played, hidden = [], []

    def start(documents, *, images=None, **options):
        ours = {jobs.IMAGE: image, **(images or {})}
        pod = PlayedPod(documents, tmp_path / f"pod-{len(played)}", ours, **options)
        played.append(pod)
        hidden.extend(
            text.strip()
            for document in pod.manifest.secrets.values()
            for key, text in document.string_data.items()
            if "SECRET" in key
        )
        return pod.start()

    yield start
    try:
        for pod in played:
            told = pod.told()
            assert [text for text in hidden if text in told] == []
    finally:
        for pod in played:
            pod.remove()


@pytest.fixture
def job(s3_bucket, tmp_path):
    """Makes a job over the fresh bucket, with a secret key of its own, that runs a script of sh."""

    def make(script, bucket=s3_bucket, **options):
        options = {
            "endpoint": bucket.endpoint,
            "secret_access_key": secrets.token_urlsafe(30),
        } | options
        return jobs.Job(
            directory=tmp_path,
            bucket=bucket.name,
            access_key_id=bucket.access_key_id,
            script=script,
            **options,
        )

    return make


@pytest.fixture
def proxy(s3_bucket, proxy_to):
    """Before the fresh bucket's server, on the pods' network too."""
    return proxy_to(s3_bucket.endpoint)
