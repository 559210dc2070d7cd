"""A Jupyter of the tests' own: a kernelspec of this Python, and no settings from anywhere else."""

from __future__ import annotations

import pytest
from tests.support.kernels import make_jupyter


@pytest.fixture(scope="session")
def jupyter(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """The environment variables with which Jupyter and its kernels start."""
    return make_jupyter(tmp_path_factory.mktemp("jupyter"))


@pytest.fixture
def in_jupyter(jupyter: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> None:
    """Sets those variables."""
    for name, value in jupyter.items():
        monkeypatch.setenv(name, value)
