"""A Jupyter of the tests' own: a kernelspec of this Python, and no settings from anywhere else."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.support.kernels import Kernel, make_jupyter, running_kernel

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture(scope="session")
def jupyter(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """The environment variables with which Jupyter and its kernels start."""
    return make_jupyter(tmp_path_factory.mktemp("jupyter"))


@pytest.fixture(scope="session")
def shared_kernel(jupyter: dict[str, str]) -> Iterator[Kernel]:
    """One kernel for all cells that neither end it nor depend on what was run before."""
    with running_kernel(jupyter) as one:
        yield one


@pytest.fixture
def in_jupyter(jupyter: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> None:
    """Sets those variables."""
    for name, value in jupyter.items():
        monkeypatch.setenv(name, value)
