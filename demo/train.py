"""The job: fits y = a·x + b to data/train, and writes to outputs as training jobs do. It knows no bucket."""

import csv
import json
import time
from pathlib import Path

OUTPUTS = Path("outputs")


def main() -> None:
    settings = json.loads(Path("data/settings.json").read_text())
    points = [
        (float(row["x"]), float(row["y"]))
        for file in sorted(Path("data/train").glob("*.csv"))
        for row in csv.DictReader(file.read_text().splitlines())
    ]
    (OUTPUTS / "checkpoints").mkdir(parents=True, exist_ok=True)
    slope = intercept = 0.0
    with (OUTPUTS / "metrics.jsonl").open("w") as metrics:
        for epoch in range(1, settings["epochs"] + 1):
            for x, y in points:
                error = slope * x + intercept - y
                slope -= settings["rate"] * error * x
                intercept -= settings["rate"] * error
            loss = sum((slope * x + intercept - y) ** 2 for x, y in points) / len(points)
            model = json.dumps({"slope": slope, "intercept": intercept, "loss": loss})
            (OUTPUTS / "checkpoints" / f"epoch-{epoch}.json").write_text(model)
            metrics.write(json.dumps({"epoch": epoch, "loss": loss}) + "\n")
            metrics.flush()
            print(f"epoch {epoch}: loss {loss:.6f}", flush=True)
            time.sleep(settings["seconds_per_epoch"])
    # Complete beside its place, then renamed into it: a reader never sees half of a model.
    (OUTPUTS / "model.json.tmp").write_text(model)
    (OUTPUTS / "model.json.tmp").rename(OUTPUTS / "model.json")


if __name__ == "__main__":
    main()
