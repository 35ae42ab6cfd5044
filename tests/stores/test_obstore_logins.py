"""The login's own error reaches the caller through an engine that would make a text of it."""

import pytest

from lighterman.errors import CredentialsError
from lighterman.stores.objects import Relay


def provider_that(*answers):
    """Gives the answers in turn; raises those that are errors."""
    waiting = list(answers)

    def provide():
        answer = waiting.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return answer

    return provide


def test_a_refused_login_is_told_once():
    """What fails later, fails for another reason."""
    refused = CredentialsError("no")
    relay = Relay(provider_that(refused))

    with pytest.raises(CredentialsError):
        relay()

    assert [refused, None] == [relay.taken(), relay.taken()]


def test_a_login_that_works_again_explains_no_later_error():
    """An engine may have asked again by itself: a missing object of the next day isn't a refused login."""
    relay = Relay(provider_that(CredentialsError("no"), {"token": "good"}))
    with pytest.raises(CredentialsError):
        relay()

    assert {"token": "good"} == relay()
    assert relay.taken() is None
