"""What is in the image, and what isn't."""

import json
import uuid

import pytest
from pods import podman, run_python

pytestmark = pytest.mark.image

UNWANTED_MODULES = ("pip", "setuptools", "wheel", "ensurepip")
UNWANTED_PROGRAMS = ("pip", "pip3", "cc", "gcc", "g++", "clang", "ld", "make")
STARTED = """
import lighterman.cli, initializer.command, sidecar.command, sys
from botocore.session import Session
session = Session()
session.set_credentials("id", "secret")
for service in ("s3", "sts"):
    session.create_client(service, region_name="us-east-1")
import lighterman.stores.gcs, lighterman.stores.azure
import google.cloud.storage, google.oauth2.service_account, azure.storage.blob, azure.identity
"""


@pytest.mark.parametrize("module", UNWANTED_MODULES)
def test_nothing_that_installs_packages_is_importable(in_image, module):
    """No pip or compiler in the result."""
    code = f"import importlib.util; print(importlib.util.find_spec({module!r}))"
    assert in_image(code).strip() == "None"


@pytest.mark.parametrize("program", UNWANTED_PROGRAMS)
def test_nothing_that_compiles_is_on_the_path(in_image, program):
    """No pip or compiler in the result."""
    assert in_image(f"import shutil; print(shutil.which({program!r}))").strip() == "None"


def test_only_service_data_of_logging_in_and_moving_bytes_is_there(in_image):
    """Botocore's unused service data is removed."""
    code = """
import botocore, pathlib
data = pathlib.Path(botocore.__file__).parent / "data"
print(*sorted(path.name for path in data.iterdir() if path.is_dir()))
"""
    assert in_image(code).split() == ["s3", "sso", "sso-oidc", "sts"]


def test_everything_that_is_imported_is_compiled_already(target):
    """The pyc are shipped, of the standard library too, and none is compared with its source (PEP 552)."""
    code = f"""{STARTED}
import pathlib
for module in list(sys.modules.values()):
    spec = getattr(module, "__spec__", None)
    loader = type(spec.loader).__name__ if spec else ""
    if loader in ("SourceFileLoader", "SourcelessFileLoader"):
        path = pathlib.Path(spec.cached or spec.origin)
        if not path.exists() or path.read_bytes()[4:8] != bytes([1, 0, 0, 0]):
            print(module.__name__)
"""
    assert run_python(target, code).split() == []


def test_the_bar_of_a_terminal_can_be_shown(in_image):
    """What was left out of the installed packages isn't missed by the bar."""
    code = """
import io, rich.console, rich.progress
console = rich.console.Console(file=io.StringIO(), force_terminal=True)
with rich.progress.Progress(console=console) as bar:
    bar.update(bar.add_task("fetching", total=2), advance=1)
print("fetching" in console.file.getvalue())
"""
    assert in_image(code).strip() == "True"


def test_starting_writes_nothing_into_the_image(image):
    """Even as root with a writable root filesystem: nothing is compiled or cached at the start."""
    name = f"lighterman-test-{uuid.uuid4().hex[:12]}"
    try:
        podman("run", "--name", name, "--network", "none", "--user", "0", image, "--version")
        written = json.loads(podman("diff", "--format", "json", name))
        paths = [path for change in written.values() for path in change]
        assert [path for path in paths if path.startswith(("/opt", "/usr", "/home"))] == []
    finally:
        podman("rm", "--force", "--ignore", name)
