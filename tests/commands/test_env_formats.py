"""How an environment is written down: every reader gets the very values back."""

import json
import shlex
import subprocess

from hypothesis import given, settings
from hypothesis import strategies as st

from lighterman.environments import Environment, printed
from lighterman.secret import Secret

VALUES = st.text(
    st.characters(exclude_characters="\0", exclude_categories=["Cs"]), min_size=1, max_size=40
)


@given(VALUES)
@settings(max_examples=30, deadline=None)
def test_a_shell_reads_what_was_written(value):
    """Quotes, dollars, backslashes and line ends mean themselves."""
    text = printed(Environment({"NAME": Secret(value)}), "shell", reveal=True)
    script = f'{text}printf %s "$NAME"'
    seen = subprocess.run(["sh", "-c", script], capture_output=True, check=True).stdout
    assert value.encode() == seen


@given(VALUES)
def test_json_reads_what_was_written(value):
    """The value, and nothing else."""
    text = printed(Environment({"NAME": value}), "json", reveal=False)
    assert {"NAME": value} == json.loads(text)


@given(VALUES)
def test_an_env_file_has_one_line_a_variable(value):
    """No value runs on into another line, whatever ends a line there; quoted ones are quoted to their end."""
    text = printed(Environment({"ONE": value, "TWO": "plain"}), "dotenv", reveal=True)
    assert 2 == text.count("\n")
    assert "TWO=plain" == text.splitlines()[-1]
    assert "\r" not in text
    if not set(value) & set("\n\r\\$`"):
        assert [f"ONE={value}"] == shlex.split(text.split("\n")[0])


def test_what_is_of_another_login_is_unset_first():
    """Before anything is exported, so that the order of names doesn't matter."""
    environment = Environment({"A": "1"})
    environment.drop({"A": "0", "B": "2"}, ["A", "B", "C"])
    assert "unset B\nexport A=1\n" == printed(environment, "shell", reveal=False)
