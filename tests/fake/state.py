# Copyright: zfsfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the fake is made of, and how a call begins: it is noted, and fails where a test wants it to."""

from __future__ import annotations

from .datasets import Datasets
from .disks import Disks
from .mountpoints import Mountpoints
from .places import Places
from .pools import Pools
from .replication import Replication

CHANGING_CALLS = frozenset(
    {
        *("load_key", "unload_key", "drop_left_key", "change_key", "inherit_key", "repoint", "reattach"),
        *("create", "destroy", "set_properties", "inherit_properties"),
        *("mount", "unmount", "force_unmount", "protect_place", "write_key_file", "move_aside", "move_back"),
        *("create_pool", "destroy_pool", "export_pool", "import_pool", "set_pool_properties"),
        *("clear_device", "make_file", "remove_file"),
    }
)

# What a pool that is imported read-only does not let happen.
WRITING_CALLS = frozenset(
    {
        *("change_key", "inherit_key", "repoint", "reattach", "create", "destroy"),
        *("set_properties", "inherit_properties"),
    }
)


class State:
    """Everything that there is on the host; the other parts of the fake answer and change it."""

    def __init__(self) -> None:
        self.calls: list[tuple[str, str]] = []
        self.occupied: dict[str, str] = {}
        self.key_files: dict[str, bytes] = {}
        self.faults: dict[tuple[str, str], Exception] = {}
        self.remarks: list[str] = []
        self.exported: set[str] = set()
        self.links: dict[str, str] = {}
        self.with_node: set[str] = set()
        self._datasets = Datasets()
        self._disks = Disks()
        self.places = Places(self._datasets, self.occupied)
        self.replication = Replication(self._datasets)
        self.mountpoints = Mountpoints(self._datasets)
        self.standing: dict[str, tuple[str, ...]] = {}
        self._pools = Pools(self._datasets, self._disks, self.occupied)

    def fail_on(self, call: str, dataset: str, error: Exception) -> None:
        """Make a call about a dataset (a path, for files) fail before it changes anything.

        A verification that fails gives the verdict ``unknown``, as the protocol has it.
        """
        self.faults[call, dataset] = error

    @property
    def changes(self) -> list[tuple[str, str]]:
        return [call for call in self.calls if call[0] in CHANGING_CALLS]

    def _enter(self, call: str, dataset: str) -> None:
        self.calls.append((call, dataset))
        if (call, dataset) in self.faults:
            raise self.faults[call, dataset]
        if call in WRITING_CALLS:
            self._pools.refuse_readonly(dataset)
