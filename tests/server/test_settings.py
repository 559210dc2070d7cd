from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from leads_pandas.server.settings import own_settings

if TYPE_CHECKING:
    from collections.abc import Callable


def test_the_users_settings_are_hidden_for_a_while(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LOCALLEADS_API_KEY", "ll_mine")
    monkeypatch.setenv("LEADS_PANDAS_ACCOUNT", "mine")
    before = dict(os.environ)
    with own_settings():
        ours = {name for name in os.environ if name.startswith(("LOCALLEADS_", "LEADS_PANDAS_"))}
        assert ours == {"LEADS_PANDAS_HOME"}
    assert dict(os.environ) == before


def test_the_store_of_a_call_is_gone_whichever_way_it_ends() -> None:
    def stopped() -> None:
        Path(os.environ["LEADS_PANDAS_HOME"], "results").write_text("x")
        homes.append(os.environ["LEADS_PANDAS_HOME"])
        raise KeyboardInterrupt

    homes: list[str] = []
    call: Callable[[], None] = own_settings()(stopped)
    with pytest.raises(KeyboardInterrupt):
        call()
    assert not Path(homes[0]).exists()
