from __future__ import annotations

import pytest

from leads_pandas.pace.silence import Silence


def heard(silence: Silence, *moments: float) -> list[bool]:
    """What each of these looks, all of them silent, makes of it."""
    found = []
    for at in moments:
        silence.look(at, silent=True)
        found.append(silence.is_enough)
    return found


def test_a_silence_is_long_enough_when_looks_say_so_from_its_beginning_to_its_end() -> None:
    assert heard(Silence(60.0), 100.0, 120.0, 140.0, 159.0, 160.0) == [False] * 4 + [True]


def test_a_long_pause_between_two_looks_counts_for_a_third() -> None:
    assert heard(Silence(60.0), 0.0, 1000.0, 2000.0, 3000.0) == [False] * 3 + [True]


def test_whatever_is_heard_begins_it_anew() -> None:
    silence = Silence(20.0)
    heard(silence, 0.0, 5.0, 10.0, 15.0)
    silence.look(19.0, silent=False)
    assert heard(silence, 20.0, 26.0, 32.0, 38.0, 40.0) == [False] * 4 + [True]


@pytest.mark.parametrize(("enough", "said"), [(None, False), (0.0, True)])
def test_some_silences_never_tell_anything_and_some_at_once(
    enough: float | None, said: bool
) -> None:
    assert heard(Silence(enough), 0.0, 1e9)[0] is said
    assert heard(Silence(enough), 0.0, 1e9)[1] is said
