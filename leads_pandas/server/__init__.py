"""A local service that speaks LeadsAPI's contract, for trying, testing and self-hosting.

It is installed with the extra ``server``: ``pip install "leads_pandas[server]"``.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from leads_pandas.errors import of_extra

if TYPE_CHECKING:
    from leads_pandas.server.local import LocalServer

__all__ = ["LocalServer"]


def __getattr__(name: str) -> Any:
    if name != "LocalServer":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    with of_extra("server", "the local service"):
        from leads_pandas.server.local import LocalServer
    return LocalServer
