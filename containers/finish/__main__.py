"""
The last steps of building the image. Both are run by the Python of a base image.

    python finish pack CLOUDS USED    in the build stage, by the program's own Python: leaves out of the
                                      installed packages what the program can't reach, and compiles the
                                      rest. CLOUDS: some of s3, gcs and azure, with commas. What the program
                                      uses is noted in the file USED.
    python finish fit USED ROOT       on the base of the final image, with what is packed at its place: ties
                                      it to this base's Python, and compiles what is used of that one's standard
                                      library. What is new is written below ROOT, to be copied to /.
"""

import sys
import sysconfig
from pathlib import Path

from bytecode import compile_packages, compile_standard_library
from elf import cut
from leave_out import CERTIFICATES, leave_out
from reach import CLOUDS, left_out, reached
from use import errors_of, named_by, sources_of

HOME = Path("/opt/lighterman")
LIBRARY = f"lib/python{sysconfig.get_python_version()}/site-packages"


def main() -> None:
    match sys.argv[1:]:
        case ["pack", clouds, used]:
            pack(HOME / LIBRARY, frozenset(clouds.split(",")), Path(used))
        case ["fit", used, root]:
            fit(Path(used), Path(root))
        case _:
            raise SystemExit(__doc__)


def pack(site: Path, clouds: frozenset[str], used: Path) -> None:
    """Whatever could be imported before can be afterwards, except what is left out by name."""
    if not clouds or not clouds <= set(CLOUDS):
        raise SystemExit(f"CLOUDS: {','.join(clouds)} is not some of {','.join(CLOUDS)}")
    found = reached(site, clouds)
    modules = [name for name, file in found.items() if file.is_file()]
    before = errors_of(modules)
    used.write_text("\n".join(named_by(found, left_out(clouds))))
    gone = leave_out(site, found)
    saved_bytes = sum(cut(file) for file in sorted(site.rglob("*.so*")))
    compiled = compile_packages(site)
    for script in (*HOME.glob("bin/*ctivate*"), HOME / ".gitignore"):
        script.unlink(missing_ok=True)
    for module, error in errors_of(modules).items():
        if error and not before[module]:
            raise SystemExit(f"{module} misses what was left out: {error}")
    print(
        f"compiled {compiled} modules, left out {', '.join(gone)} whole, cut {saved_bytes} bytes off "
        "extensions"
    )


def fit(used: Path, root: Path) -> None:
    """The venv is this base's, whatever Python it was made with."""
    if not (HOME / LIBRARY).is_dir():
        raise SystemExit(f"{sys.executable} is no Python of the version that was built for")
    home = root / HOME.relative_to("/")
    (home / "bin").mkdir(parents=True, exist_ok=True)
    for name, target in {
        "python": sys.executable,
        "python3": "python",
        f"python{sysconfig.get_python_version()}": "python",
    }.items():
        (home / "bin" / name).unlink(missing_ok=True)
        (home / "bin" / name).symlink_to(target)
    (home / "pyvenv.cfg").write_text(
        f"home = {Path(sys.executable).parent}\ninclude-system-site-packages = false\n"
    )
    if not Path(CERTIFICATES).exists():
        raise SystemExit(f"this base has no {CERTIFICATES}: install ca-certificates in it")
    sys.path.insert(0, str(HOME / LIBRARY))
    compiled = compile_standard_library(sources_of(used.read_text().split()), root)
    print(f"compiled {compiled} modules of the standard library")


if __name__ == "__main__":
    main()
