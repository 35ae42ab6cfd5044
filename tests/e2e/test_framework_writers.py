"""
Checkpoints and events as the frameworks write them, under a sidecar: at the end the bucket equals the tree. The
writers run with an interpreter of their own, as a job's do (``make test-writers``).
"""

from pathlib import Path

import pytest
from writing import Written, burst

pytestmark = pytest.mark.writers

PYTHON = Path(__file__).parent.parent.parent / "build" / "writers" / "bin" / "python"
"""Made by ``make test-writers``."""
BEGINNING = """
import os, sys
from pathlib import Path
root = Path(sys.argv[1])
"""


@pytest.fixture
def written(s3_outputs, tmp_path):
    """Outputs that go to a bucket of moto's; live files are sent often."""
    return Written(s3_outputs, tmp_path / "back", "--max-delay", "0.3")


def write(written, script):
    assert PYTHON.exists(), "make test-writers makes the writers' interpreter"
    written.do(PYTHON, "-c", BEGINNING + script, written.path)


NUMPY = """
import numpy
for step in range(6):
    weights = numpy.full((300, 300), step, dtype="float32")
    numpy.save(root / "latest.npy", weights)
    numpy.savez_compressed(root / "part.npz.tmp.npz", weights=weights)
    os.replace(root / "part.npz.tmp.npz", root / f"step-{step}.npz")
mapped = numpy.lib.format.open_memmap(root / "mapped.npy", "w+", "float32", (500, 500))
for row in range(500):
    mapped[row] = row
    mapped.flush()
"""
ARROW = """
import pyarrow, pyarrow.dataset, pyarrow.parquet
table = pyarrow.table({"step": list(range(5000)), "part": [n % 4 for n in range(5000)]})
for turn in range(4):
    pyarrow.parquet.write_table(table, root / "table.parquet")
    with pyarrow.OSFile(str(root / "stream.arrow"), "wb") as sink:
        with pyarrow.ipc.new_stream(sink, table.schema) as stream:
            for batch in table.to_batches(max_chunksize=100):
                stream.write_batch(batch)
    pyarrow.dataset.write_dataset(
        table, root / "dataset", format="parquet", partitioning=["part"],
        existing_data_behavior="overwrite_or_ignore",
    )
"""
SAFETENSORS = """
import numpy
from safetensors.numpy import save_file
for step in range(5):
    tensors = {f"layer{n}": numpy.full((200, 200), step, dtype="float32") for n in range(4)}
    save_file(tensors, root / "model.safetensors")
    directory = root / f"checkpoint-{step}.partial"
    directory.mkdir()
    save_file(tensors, directory / "model.safetensors")
    (directory / "config.json").write_text("{}")
    directory.rename(root / f"checkpoint-{step}")
"""
TORCH = """
import torch
model = torch.nn.Sequential(torch.nn.Linear(300, 300), torch.nn.Linear(300, 10))
optimizer = torch.optim.Adam(model.parameters())
for step in range(5):
    loss = model(torch.randn(8, 300)).square().mean()
    loss.backward()
    optimizer.step()
    state = {"model": model.state_dict(), "optimizer": optimizer.state_dict(), "step": step}
    torch.save(state, root / "last.pt")
    torch.save(state, root / "best.pt.tmp")
    os.replace(root / "best.pt.tmp", root / "best.pt")
    torch.save(state, root / f"step-{step}.pt", _use_new_zipfile_serialization=step % 2 == 0)
"""
TENSORBOARD = """
from tensorboardX import SummaryWriter
with SummaryWriter(str(root / "runs"), flush_secs=1) as writer:
    for step in range(3000):
        writer.add_scalar("loss", 1 / (step + 1), step)
        if step % 300 == 0:
            writer.flush()
"""


@pytest.mark.parametrize(
    "script",
    [NUMPY, ARROW, SAFETENSORS, TORCH, TENSORBOARD],
    ids=["NumPy", "PyArrow", "safetensors", "torch.save", "TensorBoard"],
)
def test_what_frameworks_write(written, script):
    """Checkpoints in place, by temporary name and rename, through mappings; events that grow."""
    write(written, script)
    assert written.differences() == []


BURST_FILES = 100_000


def test_a_burst_of_100000_files(outputs, tmp_path):
    """Made at full speed, with the queue overflowed: all there."""
    written = Written(outputs, tmp_path / "back")
    burst(written, BURST_FILES)
    assert written.differences() == []
