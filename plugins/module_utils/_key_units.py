# Copyright: zfsfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""systemd's units that load keys, so that it leaves mounted what is mounted.

zfs-mount-generator(8) makes a ``zfs-load-key@ROOT.service`` for each encryption root in ``/etc/zfs/zfs-list.cache`` and
binds the mount units of what inherits from that root to it. Seen with OpenZFS 2.3.9 and systemd 257:

* What is mounted while that unit is inactive, systemd unmounts 0.1 to 1.2 s later (openzfs/zfs#12418).
* Its command asks for the key, and waits, if the key is not loaded, and else does nothing: it is started afterwards.
* It stays active when filesystems are unmounted and the key is unloaded by others. That keeps nothing from being
  locked, and what is mounted again later stays. Stopping it unmounts and unloads the key.
* A masked unit cannot be started, and what is bound to it does not stay mounted.

So what is bound to a unit that does not become active is not mounted at all; nobody needs to wait and see whether it
stays.

A part of ``_openzfs``. Private to the collection.
"""

from __future__ import annotations

import functools
import os
import re
import threading
import typing as t

from ._command import run
from ._errors import CallFailed, StateUnknown
from ._model import Dataset

_GENERATED = "/run/systemd/generator"
_START_TIMEOUT = 60  # seconds; the units of all roots at once
_TO_ESCAPE = re.compile(rb"^\.|[^A-Za-z0-9:_.]")


class KeyUnits:
    """The units of a host, read once; all that are due are started by one call, before the first mount."""

    def __init__(self) -> None:
        self._turn = threading.Lock()
        self._due: set[str] = set()
        self._problems: dict[str, str | None] = {}

    def key_was_loaded(self, root: str) -> None:
        """Note a root whose unit is due."""
        with self._turn:
            self._due.add(root)

    def let_mount(self, dataset: Dataset) -> None:
        """Start what is due, with the unit of this filesystem's root, whose key is loaded.

        Raises:
            CallFailed: systemd would unmount the filesystem at once.
        """
        root = dataset.encryption_root
        if root is None or not self._generated:
            return
        with self._turn:
            self._start_due(root)
        problem = self._problems[root]
        if problem is not None and mount_unit(dataset.value("mountpoint")) in self._generated:
            raise CallFailed(
                f"{dataset.name} was not mounted: systemd binds it to {unit_of(root)}, which is not active, and would "
                f"unmount it at once. {problem} Mend or unmask that unit, or take the dataset out of "
                "/etc/zfs/zfs-list.cache and run 'systemctl daemon-reload'.",
                reason="mount_failed",
            )

    def _start_due(self, root: str) -> None:
        new = [name for name in (root, *self._due) if name not in self._problems]
        self._due.clear()
        self._problems.update(dict.fromkeys(new))
        there = {name: unit_of(name) for name in new if unit_of(name) in self._generated}
        if there:
            self._problems.update(_start(there))

    @functools.cached_property
    def _generated(self) -> frozenset[str]:
        try:
            return frozenset(os.listdir(_GENERATED))
        except OSError:  # systemd does not run here
            return frozenset()


def unit_of(root: str) -> str:
    """Return the name of a root's unit (systemd-escape(1))."""
    return f"zfs-load-key@{_escaped(root)}.service"


def mount_unit(path: str) -> str:
    """Return the name of a mountpoint's unit (systemd.mount(5))."""
    return f"{_escaped(path.strip('/')) or '-'}.mount"


def _escaped(text: str) -> str:
    def escape(found: re.Match[bytes]) -> bytes:
        return b"-" if found.group() == b"/" else b"\\x%02x" % found.group()[0]

    return _TO_ESCAPE.sub(escape, os.fsencode(text)).decode()


def _start(units: t.Mapping[str, str]) -> dict[str, str | None]:
    """Start units by root; return what is wrong with those that are not active then."""
    try:
        answer = run("systemctl", "start", "--no-ask-password", *units.values(), timeout=_START_TIMEOUT)
    except StateUnknown:
        why = f"It did not start within {_START_TIMEOUT} s."
    else:
        if answer.code == 0:
            return {}
        why = answer.error
    states = run("systemctl", "is-active", *units.values(), timeout=_START_TIMEOUT).out.split()
    return {root: why for root, state in zip(units, states) if state != "active"}
