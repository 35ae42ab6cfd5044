"""How large the images are, as registries count: each layer as gzip."""

import pytest
from layers import base_layers, compressed_layers

pytestmark = pytest.mark.image

MB = 1_000_000
BASE = "localhost/lighterman-base:3.13-slim"


def measured(image, base_count, capsys):
    sizes = compressed_layers(image)
    base, own = sum(sizes[:base_count]), sum(sizes[base_count:])
    with capsys.disabled():
        print(f"\n{image}: base {base / MB:.2f} MB, own layers {own / MB:.2f} MB")  # noqa: T201 - to be seen
    return base, own


def test_all_clouds_add_at_most_22_mb_to_the_base(image, capsys):
    """Program, SDKs and bytecode of all three."""
    _, own = measured(image, base_layers(BASE), capsys)
    assert own <= 22 * MB


def test_s3_alone_adds_at_most_9_mb(s3_image, capsys):
    """``CLOUDS=s3`` leaves the rest out."""
    _, own = measured(s3_image, base_layers(BASE), capsys)
    assert own <= 9 * MB


def test_the_whole_image_has_at_most_42_mb_without_a_shell(shell_less_image, capsys):
    """The base included."""
    base, own = measured(shell_less_image, 1, capsys)
    assert base + own <= 42 * MB
