"""What an image's layers are to a registry: each as gzip at its default level, which is how they are sent and kept."""

import json
import subprocess
import tarfile
import tempfile
import zlib
from pathlib import Path
from typing import IO, Final

PODMAN: Final = Path(__file__).parent.parent / "containers" / "podman"
_LEVEL: Final = 6
"""gzip's own default."""
_GZIP: Final = 31
_BLOCK_BYTES: Final = 1 << 20


def compressed_layers(image: str) -> list[int]:
    """The compressed size of each layer in bytes, the base's first."""
    with tempfile.TemporaryDirectory() as directory:
        saved = Path(directory, "image.tar")
        save = ["save", "--quiet", "--format", "docker-archive", "--output", str(saved), image]
        subprocess.run([PODMAN, *save], check=True, stdin=subprocess.DEVNULL, capture_output=True)
        with tarfile.open(saved) as archive:
            [manifest] = json.load(_member(archive, "manifest.json"))
            return [compressed_bytes(_member(archive, layer)) for layer in manifest["Layers"]]


def base_layers(image: str) -> int:
    """Of how many layers the image's base is made."""
    done = subprocess.run(
        [PODMAN, "image", "inspect", "--format", "{{len .RootFS.Layers}}", image],
        check=True,
        capture_output=True,
        text=True,
    )
    return int(done.stdout)


def compressed_bytes(file: IO[bytes]) -> int:
    """How long it is as gzip."""
    deflating = zlib.compressobj(_LEVEL, wbits=_GZIP)
    size_bytes = 0
    while block := file.read(_BLOCK_BYTES):
        size_bytes += len(deflating.compress(block))
    return size_bytes + len(deflating.flush())


def _member(archive: tarfile.TarFile, name: str) -> IO[bytes]:
    file = archive.extractfile(name)
    assert file is not None  # noqa: S101 - podman wrote a file of that name
    return file
