"""Every flag has an environment variable (`LIGHTERMAN_` + its name), so that a manifest needs no args."""

import pytest

from lighterman.errors import UsageError
from lighterman.flags import (
    Flags,
    Parser,
    rate,
    seconds,
    size,
    switch,
    timeout,
    variable_of,
    whole_number,
)


def parsed(argv, environ=None):
    parser = Parser(prog="lighterman test", allow_abbrev=False)
    flags = Flags(parser, environ or {})
    flags.add("--grace", convert=seconds, default=30.0, help="100% of it")
    flags.add("--deletes", choices=("keep", "mirror"), default="keep", help="what")
    flags.add("--to", help="where")
    flags.add_repeated("--live", default=("*.log",), help="which")
    flags.add_switch("--native", help="how")
    return parser.parse_args(argv)


@pytest.mark.parametrize(
    ("text", "amount"),
    [
        ("4096", 4096),
        ("64MiB", 64 << 20),
        ("64M", 64 << 20),
        ("1.5G", 3 << 29),
        ("10kB", 10_000),
        ("1KiB", 1024),
        ("7b", 7),
        (" 2 GiB ", 2 << 30),
    ],
)
def test_sizes(text, amount):
    """Sizes as people write them."""
    assert size(text) == amount


@pytest.mark.parametrize(
    ("text", "amount"),
    [("50M", 50 << 20), ("20MB", 20_000_000), ("20MB/s", 20_000_000), ("1k/s", 1024), ("0", 0)],
)
def test_rates(text, amount):
    """Bytes per second, as sizes are written; 0 is no limit."""
    assert rate(text) == amount


@pytest.mark.parametrize("text", ["50", "0.5k", "1023", "/s", "50 M/h"])
def test_a_rate_that_is_a_slip_of_the_pen_is_refused(text):
    """`--bwlimit 50` would take half an hour for a tenth of a megabyte: the unit is missing."""
    with pytest.raises(ValueError, match=r"slower than|no size"):
        rate(text)


@pytest.mark.parametrize(
    ("text", "amount"),
    [("30", 30), ("2.5", 2.5), (".2", 0.2), ("500ms", 0.5), ("5m", 300), ("1h", 3600), ("9s", 9)],
)
def test_durations(text, amount):
    """Durations as people write them."""
    assert seconds(text) == amount


@pytest.mark.parametrize("convert", [size, seconds, whole_number, switch])
@pytest.mark.parametrize("text", ["", "-1", "ten", "5 parsecs", "1e3"])
def test_what_is_no_value_is_refused(convert, text):
    """With the text that was given."""
    if convert is switch and text == "":
        assert switch(text) is False
        return
    with pytest.raises(ValueError, match="is n"):
        convert(text)


@pytest.mark.parametrize(
    ("convert", "text"),
    [
        (size, "9" * 400),
        (size, "2000000T"),
        (seconds, "9" * 400),
        (seconds, "999999h"),
        (timeout, "0"),
        (timeout, "25h"),
    ],
)
def test_what_no_machine_takes_is_refused(convert, text):
    """Where it is said, rather than by whoever would wait so long or hold so much."""
    with pytest.raises(ValueError, match=r"is more than|is longer than|is no timeout"):
        convert(text)


def test_a_timeout_is_a_duration():
    """Within what a socket takes."""
    assert timeout("2m") == 120


@pytest.mark.parametrize(
    ("text", "value"), [("1", True), ("Yes", True), ("0", False), ("off", False)]
)
def test_switches_in_the_environment(text, value):
    """A boolean as environments write it."""
    assert parsed([], {"LIGHTERMAN_NATIVE": text}).native is value


def test_the_default_holds_without_flag_and_variable():
    """Nothing given."""
    given = parsed([])
    assert (given.grace, given.deletes, given.to, given.live, given.native) == (
        30.0,
        "keep",
        None,
        ["*.log"],
        False,
    )


def test_a_variable_stands_for_its_flag():
    """Every flag has an environment variable."""
    environ = {
        "LIGHTERMAN_GRACE": "5m",
        "LIGHTERMAN_DELETES": "mirror",
        "LIGHTERMAN_TO": "x",
        "LIGHTERMAN_LIVE": "a,b\nc",
    }
    given = parsed([], environ)
    assert (given.grace, given.deletes, given.to, given.live) == (
        300,
        "mirror",
        "x",
        ["a", "b", "c"],
    )
    assert variable_of("--max-delay") == "LIGHTERMAN_MAX_DELAY"


def test_the_command_line_wins_over_the_variable():
    """Also where a flag may be repeated."""
    given = parsed(
        ["--grace", "1", "--live", "x", "--live", "y"],
        {"LIGHTERMAN_GRACE": "5m", "LIGHTERMAN_LIVE": "a"},
    )
    assert (given.grace, given.live) == (1, ["x", "y"])


def test_an_empty_variable_is_as_none():
    """Manifests often set what they leave empty."""
    assert parsed([], {"LIGHTERMAN_GRACE": "", "LIGHTERMAN_TO": ""}).grace == 30.0


@pytest.mark.parametrize(
    ("argv", "environ", "said"),
    [
        (["--grace", "soon"], {}, "--grace"),
        (["--deletes", "all"], {}, "'all' is none of keep, mirror"),
        (["--nativ"], {}, "--nativ"),
        ([], {"LIGHTERMAN_GRACE": "soon"}, "$LIGHTERMAN_GRACE: 'soon' is no duration"),
        ([], {"LIGHTERMAN_DELETES": "all"}, "$LIGHTERMAN_DELETES: 'all' is none of keep, mirror"),
    ],
)
def test_a_wrong_value_is_named_with_its_flag_or_variable(argv, environ, said):
    """Usage errors end as 64, with one line."""
    with pytest.raises(UsageError) as caught:
        parsed(argv, environ)
    assert said in caught.value.message
    assert caught.value.exit_code == 64


def test_help_names_the_default_and_the_variable(capsys):
    """So that nobody has to guess either."""
    with pytest.raises(SystemExit) as end:
        parsed(["--help"])
    assert end.value.code == 0
    seen = " ".join(capsys.readouterr().out.split())
    assert "100% of it (default: 30) [$LIGHTERMAN_GRACE]" in seen
