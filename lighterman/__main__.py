"""``python -m lighterman``, the entry of images without a shell."""

from lighterman.cli import program

if __name__ == "__main__":
    raise SystemExit(program())
