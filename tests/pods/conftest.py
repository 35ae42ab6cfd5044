"""Job specs as their users write them, rendered by the program."""

import json

import pytest
import rendering
from program import Program


@pytest.fixture
def render(tmp_path):
    """
    Renders a job spec with these connections as its catalog and these flags; gives what is rendered. ``job`` is
    changed by the members that are given.
    """

    def run(*flags, catalog=rendering.CONNECTIONS, name="job.yaml", **members):
        (tmp_path / name).write_text(json.dumps(rendering.job(**members)))
        (tmp_path / "connections.json").write_text(json.dumps(catalog))
        program = Program(tmp_path, {"LIGHTERMAN_CATALOG": str(tmp_path / "connections.json")})
        return rendering.Rendered(program.run("render", name, *flags))

    return run
