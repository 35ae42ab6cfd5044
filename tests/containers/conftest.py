"""The scripts that finish the image are no package of this project: they are found here."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent.parent.parent / "containers" / "finish"))
