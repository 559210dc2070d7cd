"""A local service that speaks LeadsAPI's contract, for trying, testing and self-hosting.

It is installed with the extra ``server``: ``pip install "leads_pandas[server]"``.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from leads_pandas.server.local import LocalServer

__all__ = ["LocalServer"]


def __getattr__(name: str) -> Any:
    if name != "LocalServer":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    try:
        from leads_pandas.server.local import LocalServer
    except ModuleNotFoundError as error:
        if (error.name or "").partition(".")[0] == "leads_pandas":
            raise
        raise ModuleNotFoundError(
            f"the local service needs {error.name}, which is not installed: "
            'pip install "leads_pandas[server]"',
            name=error.name,
        ) from None
    return LocalServer
