"""Addresses in what a page says to machines: JSON-LD, a framework's state, an application's script.

What lives here: texts in, addresses out. Whether somebody sees them is the reader's to judge.
"""

from __future__ import annotations

import html
import json
import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

_JSON_EMAIL = re.compile(
    r"""(?:e-?mail(?:address)?)["']?\s*:\s*(\[[^\]]{0,2000}\]|\{[^{}]{0,300}\}|"(?:[^"\\]|\\.){0,300}"|'(?:[^'\\]|\\.){0,300}')""",
    re.IGNORECASE | re.DOTALL,
)
_JSON_STRING = re.compile(r"""["']((?:[^"'\\]|\\.){3,300})["']""")
_PLAIN_MAIL = re.compile(r"(?<![\w.+-])[\w.+-]{1,64}@[\w.-]{4,100}")
_MAILTO = re.compile(r"[\"'`]mailto:([\w.+-]{1,64}@[\w.-]{4,100})")
_SHOWN = re.compile(r"""children["']?\s*:\s*["'`]([^"'`\n]{0,300}@[^"'`\n]{4,200})["'`]""")
_CURLY = dict.fromkeys(range(0x201C, 0x201F), '"') | dict.fromkeys((0x2018, 0x2019), "'")


def linked_emails(content: str) -> list[str]:
    """The addresses that strings link to."""
    return _MAILTO.findall(content)


def shown_texts(content: str) -> list[str]:
    """The texts with an @ that an application's script puts into its elements."""
    return _SHOWN.findall(content)


def plain_emails(content: str) -> list[str]:
    """Whatever looks like an address."""
    return _PLAIN_MAIL.findall(content)


def structured_emails(content: str) -> Iterator[str]:
    """The values of ``email`` in JSON-LD, also where it is not quite JSON."""
    if "&" in content:
        content = html.unescape(content)
    for found in _JSON_EMAIL.finditer(content.translate(_CURLY)):
        for value in _JSON_STRING.findall(found[1]):
            try:
                yield json.loads(f'"{value}"', strict=False)
            except ValueError:
                yield value
