"""What the image's last building step leaves in: what can be reached, and what a loader reads of it."""

import ast
import importlib.util
import os
import shutil
import subprocess
import sys
from pathlib import Path

import bytecode
import elf
import leave_out
import pytest
import reach

ALL = frozenset(reach.CLOUDS)


@pytest.mark.parametrize(
    ("source", "found"),
    [
        ("import a, b.c", [("a", ""), ("b.c", "")]),
        ("from a import b, c", [("a", "b"), ("a", "c")]),
        ("from . import b", [("top.sub", "b")]),
        ("from ..x import b", [("top.x", "b")]),
        ("def f():\n    import late", [("late", "")]),
        ("try:\n    import a\nexcept ImportError:\n    import b", [("a", ""), ("b", "")]),
        ("if TYPE_CHECKING:\n    import a\nelse:\n    import b", [("b", "")]),
        ("if typing.TYPE_CHECKING:\n    import a", []),
        ("if __name__ == '__main__':\n    import a", []),
        ("if sys.version_info >= (3, 8):\n    import a\nelse:\n    import b", [("a", "")]),
        ("if sys.version_info < (3, 8):\n    import a\nelse:\n    import b", [("b", "")]),
        ("if os.name == 'nt':\n    import a", [("a", "")]),
    ],
)
def test_imports_are_read_where_they_could_be_made(source, found):
    """Inside functions too; not those for types, for scripts, and for other versions of Python."""
    assert sorted(reach.imports(ast.parse(source), "top.sub")) == found


def test_what_nothing_leads_to_is_not_reached(tmp_path):
    """From the program's modules along all imports, by names in texts too, and no further."""
    for directory in ("lighterman/stores/s3", "lighterman/stores/gcs", "initializer", "sidecar"):
        (tmp_path / directory).mkdir(parents=True)
        (tmp_path / directory / "__init__.py").touch()
    (tmp_path / "lighterman" / "__init__.py").write_text("import used\nLATER = 'named.below'")
    (tmp_path / "lighterman" / "stores" / "gcs" / "__init__.py").write_text("import of_gcs")
    for name in ("used", "helper", "unused", "of_gcs"):
        (tmp_path / f"{name}.py").touch()
    (tmp_path / "used.py").write_text("def late():\n    from helper import anything")
    (tmp_path / "named").mkdir()
    (tmp_path / "named" / "__init__.py").touch()
    (tmp_path / "named" / "below.py").touch()
    found = set(reach.reached(tmp_path, ALL))
    assert {"used", "helper", "named.below", "of_gcs"} <= found
    assert "unused" not in found
    without = set(reach.reached(tmp_path, ALL - {"gcs"}))
    assert found - without == {"lighterman.stores.gcs", "of_gcs"}


def test_an_extension_is_loaded_after_its_cut(tmp_path):
    """What the loader reads is as it was; the linker's symbols and the sections are gone."""
    package = Path(importlib.util.find_spec("msgspec").origin).parent
    shutil.copytree(package, tmp_path / "msgspec")
    [extension] = (tmp_path / "msgspec").glob("_core*.so")
    before = extension.stat().st_size
    assert elf.cut(extension) == before - extension.stat().st_size > 0
    code = "import msgspec; print(msgspec.__file__, msgspec.json.encode({'a': 1}))"
    done = subprocess.run(
        [sys.executable, "-c", code],
        env={**os.environ, "PYTHONPATH": str(tmp_path)},
        check=True,
        capture_output=True,
        text=True,
    )
    assert done.stdout.split()[0].startswith(str(tmp_path))
    assert elf.cut(extension) == 0


def test_what_is_no_extension_is_not_cut(tmp_path):
    """A file of another kind, or for 32 bits, is named and left alone."""
    (tmp_path / "x.so").write_bytes(b"\x7fELF\x01\x01 of another kind")
    with pytest.raises(ValueError, match=r"x\.so is no 64-bit"):
        elf.cut(tmp_path / "x.so")
    assert (tmp_path / "x.so").read_bytes().endswith(b"another kind")


def test_sources_become_bytecode_that_is_never_compared_with_them(tmp_path, monkeypatch):
    """Sourceless, without docstrings, with asserts; equal each time."""
    texts = {
        "module": '"""Says."""\ndef f():\n    """Only says."""\nclass C:\n    """Says."""\n    x = 1\n',
        "wrong": "assert not __name__",
    }
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        for module, text in texts.items():
            (tmp_path / name / f"{module}.py").write_text(text)
        monkeypatch.chdir(tmp_path / name)
        assert bytecode.compile_packages(Path()) == 2
        assert sorted(os.listdir()) == ["module.pyc", "wrong.pyc"]
    first, second = ((tmp_path / name / "module.pyc").read_bytes() for name in ("one", "two"))
    assert first == second
    assert first[4:8] == bytes([1, 0, 0, 0])
    assert b"ays." not in first
    code = "import module; print(module.__doc__, module.f.__doc__, module.C.x); import wrong"
    done = subprocess.run([sys.executable, "-c", code], check=False, capture_output=True, text=True)
    assert done.stdout == "None None 1\n"
    assert done.stderr.splitlines()[-1] == "AssertionError"


def test_documentation_is_emptied_and_members_of_that_name_stay():
    """Some code asks for the texts: what is gone is what they say."""
    described = {
        "documentation": "Long.",
        "members": {"documentation": {"shape": "S", "documentation": "Longer."}},
        "list": [{"documentation": "Also."}],
    }
    assert leave_out._without_prose(described) == {
        "documentation": "",
        "members": {"documentation": {"shape": "S", "documentation": ""}},
        "list": [{"documentation": ""}],
    }
