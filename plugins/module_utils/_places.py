# Copyright: zfsfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Where datasets appear on the host: mountpoints and the nodes of volumes.

Private to the collection.
"""

from __future__ import annotations

import os
import time

from ._errors import CallFailed

VOLUME_NODE_TIMEOUT = 20  # seconds


def occupant(path: str) -> str | None:
    """Say what stands in the way of mounting at a path, None if nothing does."""
    try:
        with os.scandir(path) as entries:
            first = next(entries, None)
    except FileNotFoundError:
        return None
    except NotADirectoryError:
        return "is a file, not a directory. Move it away."
    except OSError as error:
        return f"cannot be looked into: {error.strerror}."
    return None if first is None else f"is not empty (it holds {first.name!r}). Move its content away."


def read_volume(name: str) -> None:
    """Read a volume's first block; its node comes a moment after the key (udev makes a space into a plus)."""
    node = "/dev/zvol/" + name.replace(" ", "+")
    deadline = time.monotonic() + VOLUME_NODE_TIMEOUT
    while True:
        try:
            with open(node, "rb", buffering=0) as volume:
                volume.read(512)
            return
        except FileNotFoundError as error:
            problem = error
        except OSError as error:
            raise CallFailed(f"{name} cannot be read: {error.strerror}.", reason="unknown", errno=error.errno) from None
        if time.monotonic() > deadline:
            raise CallFailed(f"{node} did not appear within {VOLUME_NODE_TIMEOUT} s.", errno=problem.errno)
        time.sleep(0.05)
