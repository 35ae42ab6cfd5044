"""``--deletes mirror`` where a file's name became a directory's, and the other way round."""

import shutil

MIRROR = ("--deletes", "mirror")


def test_a_file_that_became_a_directory_is_deleted(s3_outputs):
    """``mirror`` deletes keys whose absence two walks confirm: a directory isn't the file that it replaced."""
    s3_outputs.write("stays")
    s3_outputs.write("x", "file")
    assert s3_outputs.sync(*MIRROR).code == 0
    (s3_outputs.path / "x").unlink()
    s3_outputs.write("x/y", "below")
    assert s3_outputs.sync(*MIRROR).code == 0
    assert s3_outputs.names() == ["stays", "x/y"]


def test_a_directory_that_became_a_file_is_deleted(s3_outputs):
    """What was below it, and its marker."""
    s3_outputs.write("stays")
    s3_outputs.write("x/y", "below")
    (s3_outputs.path / "x" / "empty").mkdir()
    (s3_outputs.path / "bare").mkdir()
    assert s3_outputs.sync(*MIRROR).code == 0
    assert s3_outputs.names() == ["bare/", "stays", "x/empty/", "x/y"]
    shutil.rmtree(s3_outputs.path / "x")
    (s3_outputs.path / "bare").rmdir()
    s3_outputs.write("x", "file")
    s3_outputs.write("bare", "file")
    assert s3_outputs.sync(*MIRROR).code == 0
    assert s3_outputs.names() == ["bare", "stays", "x"]
