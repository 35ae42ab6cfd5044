"""Whether a store keeps its word: tried before it is relied on."""

import json

import pytest
from sending import Acting, HastyClock

from lighterman.errors import ConfigurationError, CredentialsError
from lighterman.transfer.retry import Attempts
from lighterman.transfer.tally import Tally
from sidecar.promises import Kept, probe, require


@pytest.fixture
def attempts():
    return Attempts(5.0, HastyClock(), Tally())


class Forgetful(Acting):
    """A store that forgets a condition of some methods."""

    def __init__(self, store, forgets: dict[str, set[str]]) -> None:
        super().__init__(store)
        self._forgets = forgets

    def __getattr__(self, name):
        attribute = super().__getattr__(name)
        if name not in self._forgets:
            return attribute
        forgotten = self._forgets[name]

        def call(*arguments, **options):
            return attribute(
                *arguments, **{each: v for each, v in options.items() if each not in forgotten}
            )

        return call


def keys(store) -> list[str]:
    """All but directories, of which a volume keeps the prefix."""
    found = (listed.key for page in store.pages("") for listed in page)
    return [key for key in found if not key.endswith("/")]


def test_each_store_is_known_by_what_it_keeps(request, store, attempts):
    """Real servers: a local volume, moto, GCS, Azurite, and Ceph where there is one."""
    kind = request.node.callspec.params["store"]

    kept = probe(store, "run-1", attempts)

    assert (
        Kept(
            new=True,
            known=True,
            new_by_parts=kind != "rgw",
            known_by_parts=kind not in {"s3", "rgw"},
        )
        == kept
    )


def test_nothing_of_a_probe_is_left(store, attempts):
    """A scratch key under the prefix, removed after."""
    probe(store, "run-1", attempts)
    probe(store, "", attempts)

    assert keys(store) == []
    assert store.open_uploads("") == []


@pytest.mark.parametrize(
    ("forgets", "what"),
    [
        ({"write": {"only_if_absent"}}, "must not replace anything"),
        ({"write": {"replacing"}}, "must replace one object alone"),
        ({"begin": {"only_if_absent"}, "finish": {"only_if_absent"}}, "by parts that must not"),
    ],
)
def test_a_store_that_forgets_is_refused(store, attempts, forgets, what):
    """One that doesn't keep its word is refused (78) with a mend."""
    forgetful = Forgetful(store, forgets)

    with pytest.raises(ConfigurationError, match=what) as caught:
        require(forgetful, "run-1", attempts)

    assert 78 == caught.value.exit_code
    assert "--on-conflict overwrite" in caught.value.hint
    assert keys(store) == []


def test_what_is_compared_instead_is_said(s3_store, attempts, said):
    """A store that forgets at the end of an upload what it was to replace is looked at before; the log says so."""
    require(s3_store, "run-1", attempts)

    [line] = [json.loads(line) for line in said.getvalue().splitlines()]
    assert "sidecar.condition_ignored" == line["event"]


def test_what_is_no_answer_is_raised(s3_store, attempts):
    """Credentials that are refused say nothing of conditions."""
    acting = Acting(s3_store)

    def refuse() -> None:
        raise CredentialsError("403")

    acting.before("write", refuse)
    with pytest.raises(CredentialsError):
        probe(acting, "run-1", attempts)


def test_a_login_that_may_only_write_leaves_the_scratch_key_and_says_so(s3_store, attempts, said):
    """A probe is no reason to fail."""
    acting = Acting(s3_store)

    def refuse() -> None:
        raise CredentialsError("403")

    acting.before("delete", refuse)
    probe(acting, "run-1", attempts)

    assert "sidecar.probe_left" in said.getvalue()
    [left] = keys(s3_store)
    assert left.startswith("run-1/.lighterman-probe-")
