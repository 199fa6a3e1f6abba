# Copyright: zfsfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The demo from boot to the closing line, whose figures come from `zfs` and checksums."""

from __future__ import annotations

import os
import signal
import sys
import tempfile
from pathlib import Path
from types import FrameType

from . import guest
from .controller import Controller, Keys, fresh_keys
from .guest import POOL, DemoFailed
from .screen import Screen

STAGES = 9
# What is written below each root; tank/media/films inherits its key.
DATA = {
    "tank": ["/tank/data"],
    "tank/media": ["/tank/media/data", "/tank/media/films/data"],
    "tank/home": ["/tank/home/data"],
    "tank/disk0": ["/dev/zvol/tank/disk0"],
}
PATHS = [path for paths in DATA.values() for path in paths]
EXPECTED = {"pools": 1, "roots": 4, "locked": 4, "unlocked": 4, "rekeyed": 1, "exported": 4, "second_run_changed": 0}
EVERYTHING = ("zfsfleet.encryption.provision", "change_key.yml", "zfsfleet.encryption.export_keys")


def tell_story(directory: Path, screen: Screen, figures: dict[str, int]) -> None:
    """Run all stages and count into `figures`.

    Raises:
        DemoFailed: an expectation was not met.
    """
    with screen.stage("Boot a machine with OpenZFS and two empty disks"):
        guest.boot()
        controller = Controller(directory, guest.inventory())
        keys = fresh_keys()
        controller.keep(keys)

    with screen.stage("Provision: an encrypted mirror, three more encryption roots, a child that inherits"):
        controller.play("zfsfleet.encryption.provision")
        figures["pools"] = len(guest.sound_pools())
        figures["roots"] = len(guest.encryption_roots())

    with screen.stage("Write data"):
        guest.tell(*(f"dd if=/dev/urandom of={path} bs=1M count=4 conv=fsync status=none" for path in PATHS))
        written = guest.checksums(PATHS)
        require(written.keys() == set(PATHS), "not all data could be written")

    with screen.stage("Change a key: the old one no longer opens"):
        keys = keys.with_new_media_key()
        controller.keep(keys)
        controller.play("change_key.yml")
        figures["rekeyed"] = count_rekeyed(keys)

    with screen.stage("Export the keys: each one in the manifest opens its root"):
        controller.play("zfsfleet.encryption.export_keys")
        figures["exported"] = count_exported(controller.manifest())

    with screen.stage("Lock: the data is out of reach"):
        controller.play("zfsfleet.encryption.lock")
        readable = guest.checksums(PATHS)
        require(not readable, f"{', '.join(readable)} can be read though locked")
        figures["locked"] = sum(root.keystatus == "unavailable" for root in guest.encryption_roots())

    with screen.stage("Unlock by the manifest: the data is back, by its checksums"):
        controller.play("zfsfleet.encryption.unlock")
        figures["unlocked"] = count_unlocked(written)

    with screen.stage("Run everything again: nothing changes"):
        figures["second_run_changed"] = controller.play(*EVERYTHING)
        require(guest.checksums(PATHS) == written, "the data changed")

    with screen.stage("What is there now"):
        columns = "name,type,encryption,keyformat,keystatus,encryptionroot,mounted"
        print(guest.tell(f"zfs list -o {columns} -r {POOL}"), flush=True)


def count_unlocked(written: dict[str, str]) -> int:
    """Count the roots whose keys are loaded and whose data are what was written."""
    read = guest.checksums(PATHS)
    available = [root.name for root in guest.encryption_roots() if root.keystatus == "available"]
    return sum(all(read.get(path) == written[path] for path in DATA[root]) for root in available)


def count_rekeyed(keys: Keys) -> int:
    """Count the roots that their new key opens and their old one does not."""
    root = "tank/media"
    require(keys.old_media_key is not None, "no key was changed")
    print("its new key and its old key:")
    return int(guest.opens([(root, keys.by_root[root]), (root, keys.old_media_key or "")]) == [True, False])


def count_exported(manifest: dict[str, str]) -> int:
    """Count the roots that their key in the manifest opens."""
    return sum(guest.opens(list(manifest.items())))


def require(condition: bool, otherwise: str) -> None:
    if not condition:
        raise DemoFailed(otherwise)


def closing_line(figures: dict[str, int], problem: str | None) -> str:
    """Say `demo: ok` with its figures only if all are as expected."""
    # After a problem the later figures are missing, which is no problem of its own.
    due = figures if problem else EXPECTED
    wrong = [f"{name}={figures.get(name)}, not {EXPECTED[name]}" for name in due if figures.get(name) != EXPECTED[name]]
    if problem or wrong:
        return f"demo: failed {'; '.join([*([problem] if problem else []), *wrong])}"
    return "demo: ok " + " ".join(f"{name}={figures[name]}" for name in EXPECTED)


def interrupt(_number: int, _frame: FrameType | None) -> None:
    raise KeyboardInterrupt


def main() -> int:
    # A terminal that closes or a job that is cancelled must not leave the machine running.
    signal.signal(signal.SIGTERM, interrupt)
    signal.signal(signal.SIGHUP, interrupt)
    figures: dict[str, int] = {}
    problem: str | None = None
    try:
        with tempfile.TemporaryDirectory(prefix="demo-") as directory:
            tell_story(Path(directory), Screen(STAGES), figures)
    except (DemoFailed, OSError) as failure:
        problem = str(failure)
    except KeyboardInterrupt:
        problem = "interrupted"
    finally:
        leave_machine()
    line = closing_line(figures, problem)
    print(f"\n{line}", flush=True)
    return 0 if line.startswith("demo: ok") else 1


def leave_machine() -> None:
    print(flush=True)
    if os.environ.get("KEEP") == "1":
        print(f"The machine stays: {guest.VM} ssh {guest.NAME}; end it with {guest.VM} stop {guest.NAME} --discard")
    else:
        sys.stdout.flush()
        guest.discard()
