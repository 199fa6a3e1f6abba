# Copyright: zfsfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Keys that nobody gave: what the product made by itself, and what it derived from passphrases.

They carry no mark, and are known only when the tasks are done.
"""

from __future__ import annotations

import typing as t

from ansible_collections.zfsfleet.encryption.tests.leaks.cast import ASKED
from ansible_collections.zfsfleet.encryption.tests.leaks.servers import Servers
from ansible_collections.zfsfleet.encryption.tests.secrecy.machine import Machine


def made_keys(machine: Machine, servers: Servers) -> t.Iterator[tuple[str, bytes]]:
    """Return them with a name for reports; keys that were given to be kept are among them."""
    yield "key that was generated", bytes.fromhex(machine.ask(f"cat {ASKED}/made.key"))
    yield from servers.keys_of(machine.name).items()
