# Copyright: zfsfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""OpenBao as a place for keys, with the policies of the guide."""

from __future__ import annotations

import contextlib
import typing as t

from ansible_collections.zfsfleet.encryption.plugins.plugin_utils._openbao import OPTIONS, OpenBao, openbao_from

from . import guide
from .certificates import Authority
from .openbao_server import Server, running
from .place import surroundings

if t.TYPE_CHECKING:
    from pathlib import Path


ALL = ("zfsfleet", "zfsfleet-scan", "zfsfleet-destroy")


def policies(*names: str) -> dict[str, str]:
    """Return policies that the guide shows, by name; all of them where none is named."""
    return {name: guide.captioned("guide_escrow", f"{name}.hcl") for name in names or ALL}


def options(server: Server, **given: t.Any) -> dict[str, t.Any]:
    """Return a backend's options with all that they are by default."""
    defaults = {name: option.default for name, option in OPTIONS.items()}
    return {**defaults, "url": server.url, "ca": str(server.ca), **given}


class OpenBaoPlace:
    """A folder of a running server, and a token that may use it."""

    def __init__(self, server: Server, token: str) -> None:
        self.server, self.token = server, token

    def in_a_task(self) -> dict[str, t.Any]:
        """Return it as one of the places that a task names."""
        return {"type": "openbao", "url": self.server.url, "ca": str(self.server.ca), "token": self.token}

    def open(self) -> OpenBao:
        return openbao_from(options(self.server, token=self.token), surroundings())


@contextlib.contextmanager
def place(directory: Path) -> t.Iterator[OpenBaoPlace]:
    """Run a server, and give a folder in it."""
    authority = Authority("ca", directory)
    with running(directory, authority.ca, authority.server("openbao")) as server:
        yield OpenBaoPlace(server, server.token(policies()))
