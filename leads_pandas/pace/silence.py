"""How long nothing has been heard: pure, over the moments of looks."""

from __future__ import annotations

from dataclasses import dataclass

_PAUSES = 3  # between looks, at least, in a silence that is long enough


@dataclass(slots=True)
class Silence:
    """A silence, by the looks that heard nothing.

    Between two looks far apart anything may have come and gone, so that a pause counts for no more
    than a share of what must be heard out.

    Attributes:
        enough: seconds after which it tells something; None: it never does.
        seconds: how long it has lasted; None: the last look has heard something.
    """

    enough: float | None
    seconds: float | None = None
    _at: float = 0.0

    def look(self, at: float, *, silent: bool) -> None:
        """Take in one look."""
        if not silent:
            self.seconds = None
        elif self.seconds is None:
            self.seconds = 0.0
        else:
            self.seconds += min(at - self._at, (self.enough or 0.0) / _PAUSES)
        self._at = at

    @property
    def is_enough(self) -> bool:
        """Whether it has lasted for long enough."""
        return self.lasted(1)

    def lasted(self, times: int) -> bool:
        """Whether it has lasted for so many times as long as is enough."""
        if self.seconds is None or self.enough is None:
            return False
        return self.seconds >= times * self.enough
