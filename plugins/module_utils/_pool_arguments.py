# Copyright: zfsfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The argument spec of a pool; its documentation is in the module. Private to the collection."""

from __future__ import annotations

from . import _arguments
from ._arguments import Arguments
from ._topology import CLASSES, LISTS, TYPES


def topology() -> Arguments:
    """The vdevs of a pool, under the names of TrueNAS's API."""
    vdevs = {
        "type": "list",
        "elements": "dict",
        "options": {
            "type": {"type": "str", "choices": list(TYPES), "required": True},
            "disks": {"type": "list", "elements": "str", "required": True},
            "draid_data_disks": {"type": "int"},
            "draid_spare_disks": {"type": "int"},
        },
    }
    disks = {"type": "list", "elements": "str"}
    return {"type": "dict", "options": {**dict.fromkeys(CLASSES, vdevs), **dict.fromkeys(LISTS, disks)}}


def pool() -> Arguments:
    """A pool, and the options of its root dataset."""
    every = _arguments.dataset()
    return {
        "name": {"type": "str"},
        "guid": {"type": "str"},
        "state": {"type": "str", "choices": ["present", "absent", "imported", "exported"], "default": "present"},
        "topology": topology(),
        "file_size": {"type": "str"},
        "overwrite": {"type": "list", "elements": "str"},
        "force": {"type": "bool"},
        "pool_properties": {"type": "dict"},
        **{name: every[name] for name in _arguments.ROOT_OPTIONS},
        "altroot": {"type": "str"},
        "search": {"type": "list", "elements": "str"},
        "force_import": {"type": "bool"},
        "readonly": {"type": "bool"},
        "mount": {"type": "bool"},
        **_arguments.offers(),
        **_arguments.escrow(),
        "verify_key": {"type": "bool", "no_log": False},
        "force_destroy": {"type": "bool"},
    }
