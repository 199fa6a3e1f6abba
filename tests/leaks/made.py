# Copyright: zfsfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Keys that nobody gave: what the product made by itself, and what it derived from passphrases.

They carry no mark, and are known only when the tasks are done.
"""

from __future__ import annotations

import hashlib
import typing as t
from collections import defaultdict

from ansible_collections.zfsfleet.encryption.tests.leaks.cast import ASKED, POOL, Canaries, manifest
from ansible_collections.zfsfleet.encryption.tests.secrecy.machine import Machine

DERIVATION = f"zfs get -Hp -r -t filesystem,volume -o name,property,value pbkdf2salt,pbkdf2iters {POOL}"


def made_keys(machine: Machine, canaries: Canaries) -> t.Iterator[tuple[str, bytes]]:
    """Return 32 bytes each, with a name for reports."""
    yield "key that was generated", bytes.fromhex(machine.ask(f"cat {ASKED}/made.key"))
    yield from _derived(machine, canaries)


def _derived(machine: Machine, canaries: Canaries) -> t.Iterator[tuple[str, bytes]]:
    numbers: defaultdict[str, dict[str, int]] = defaultdict(dict)
    for line in machine.ask(DERIVATION).splitlines():
        name, number, value = line.split("\t")
        if value.isdigit():
            numbers[name][number] = int(value)
    for name, secret in manifest(canaries).items():
        found = numbers.get(name, {})
        if found.get("pbkdf2iters"):
            salt = found["pbkdf2salt"].to_bytes(8, "little")
            yield (
                f"key that was derived for {name}",
                hashlib.pbkdf2_hmac("sha1", secret.encode(), salt, found["pbkdf2iters"], 32),
            )
