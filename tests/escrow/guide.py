# Copyright: zfsfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a page of the documentation tells people to type, taken out of it: tests run that, and no copy."""

from __future__ import annotations

import re
import textwrap
import typing as t
from dataclasses import dataclass
from pathlib import Path

DIRECTORY = Path(__file__).parents[2] / "docs/docsite/rst"
_LABEL = "ansible_collections.zfsfleet.encryption.docsite"


@dataclass(frozen=True)
class Block:
    """A code block of a page.

    Args:
        section: the last label above it, without what all labels begin with; the page's own is its name.
        language: what it is written in.
        caption: the file that it belongs into, empty for what is typed.
        text: what it says.
    """

    section: str
    language: str
    caption: str
    text: str


_PART = re.compile(
    rf"^\.\. _{re.escape(_LABEL)}\.(?P<label>\S+):$"
    r"|^(?P<indent> *)\.\. code-block:: (?P<language>\w+)\n(?: +:caption: (?P<caption>.*)\n)?\n"
    r"(?P<text>(?:(?P=indent)   .*\n|\n)+)",
    re.MULTILINE,
)


def blocks(page: str, *, section: str | None = None, language: str | None = None) -> list[Block]:
    """Return a page's code blocks, in their order.

    Args:
        page: its name, like ``guide_escrow``.
        section: only those below this label, like ``guide_escrow.kmip``.
        language: only those in this language.
    """
    found: list[Block] = []
    label = ""
    for part in _PART.finditer((DIRECTORY / f"{page}.rst").read_text(encoding="utf-8")):
        label = part["label"] or label
        if part["text"]:
            text = textwrap.dedent(part["text"]).strip("\n") + "\n"
            found.append(Block(label, part["language"], part["caption"] or "", text))
    return [block for block in found if section in (None, block.section) and language in (None, block.language)]


def captioned(page: str, caption: str) -> str:
    """Return what the block holds that is to become this file."""
    (text,) = [block.text for block in blocks(page) if block.caption == caption]
    return text


def filled_in(text: str, values: t.Mapping[str, str]) -> str:
    """Return lines of a shell with other values for variables; each has to be set there once."""
    for name, value in values.items():
        text, count = re.subn(rf"(?m)^((?:export )?{name}=).*$", lambda match: f"{match[1]}{value}", text)  # noqa: B023
        assert count == 1, f"{name} is set {count} times"
    return text
