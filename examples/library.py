"""
A training step that reads Parquet in place and brings its results into the bucket, by the names of two
connections: python examples/library.py DATA RESULTS
"""

import json
import pathlib
import sys

from pyarrow import dataset

import lighterman


def main(data: str, results: str) -> None:
    """Read ``train/`` of one connection, write ``runs/1/`` of another."""
    fs = lighterman.get_fs(data)
    table = dataset.dataset("train", filesystem=fs, format="parquet").to_table()
    fs.close()

    out = pathlib.Path("out")
    out.mkdir(exist_ok=True)
    (out / "metrics.json").write_text(json.dumps({"rows": table.num_rows}))

    with lighterman.connect(results) as place:
        told = place.upload_dir(out, "runs/1")
        print(f"{told.files} files, {told.size_bytes} bytes in {place.name}")
        for entry in place.list("runs/1"):
            print(entry.key, entry.size_bytes, entry.modified.isoformat())


if __name__ == "__main__":
    main(*sys.argv[1:])
