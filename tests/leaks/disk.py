# Copyright: zfsfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a machine has left on its disks, deleted files included; read past the guest, after it was shut down."""

from __future__ import annotations

import json
import subprocess
import typing as t

from ansible_collections.zfsfleet.encryption.tests.secrecy.machine import Packet

if t.TYPE_CHECKING:
    from pathlib import Path

CHUNK = 32 * 2**20
OVERLAP = 4096
"""More than any spelling of a canary needs."""


def disks_of(directory: Path) -> t.Iterator[Packet]:
    """Return what was ever written to the root, since it was laid over the image, and to the data disks."""
    yield from _content("disk, root", directory / "root.qcow2", "qcow2")
    for disk in sorted((directory / "disks").iterdir()):
        yield from _content(f"disk, {disk.stem}", disk, "raw")


def _content(place: str, path: Path, image_format: str) -> t.Iterator[Packet]:
    """Return allocated areas in the order in which the guest sees them, so that a file lies in one piece."""
    mapped = subprocess.run(
        ["qemu-img", "map", "--output=json", "-f", image_format, path], capture_output=True, check=True
    )
    areas = [area for area in json.loads(mapped.stdout) if area["data"] and area["depth"] == 0]
    assert not any(area.get("compressed") for area in areas)
    with path.open("rb") as file:
        held, until = b"", -1
        for area in areas:
            if area["start"] != until:
                held = b""
            file.seek(area["offset"])
            left = area["length"]
            while left:
                piece = file.read(min(left, CHUNK))
                left -= len(piece)
                yield Packet(place, f"{path.name} near {area['start'] + area['length'] - left:#x}", held + piece)
                held = piece[-OVERLAP:]
            until = area["start"] + area["length"]
