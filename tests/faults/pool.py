# Copyright: zfsfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The pool inside the machine, by ``zfs`` alone: how it is made, which key opens what, what can be read afterwards."""

from __future__ import annotations

import hashlib
import os
import secrets
import subprocess
import time
import typing as t
from pathlib import Path

from .works import ITERATIONS, KEY_FILES, KEY_ID, POOL, Root, Secret, Work

DISK = "/dev/disk/by-id/virtio-faults"
SIZE = 64 * 1024
SECONDS = 300
PATIENCE = 30
Contents = dict[str, str]
Keys = t.Mapping[str, Secret]
Properties = dict[str, dict[str, str]]
READ = ("type", "encryptionroot", "keystatus", "keyformat", "keylocation", KEY_ID)


class Trouble(Exception):
    """A person would not get at the data."""


def zfs(*words: str, given: str | None = None) -> str:
    """Run ``zfs``.

    Raises:
        Trouble: it failed.
    """
    done = _zfs(words, given)
    if done.returncode != 0:
        raise Trouble(f"zfs {' '.join(words)}: {done.stderr.strip()}")
    return done.stdout


def _zfs(words: t.Sequence[str], given: str | None) -> subprocess.CompletedProcess[str]:
    return _run(["zfs", *words], given)


def _run(command: t.Sequence[str], given: str | None = None) -> subprocess.CompletedProcess[str]:
    # Without standard input it would ask.
    return subprocess.run(command, input=given or "", capture_output=True, text=True, timeout=SECONDS, check=False)


def make_pool() -> None:
    """Make the pool anew, whatever was there before."""
    _run(["zpool", "destroy", "-f", POOL])
    done = _run(["zpool", "create", "-f", "-O", "compression=off", "-m", f"/{POOL}", POOL, DISK])
    if done.returncode != 0:
        raise Trouble(f"zpool create: {done.stderr}")
    Path(KEY_FILES).mkdir(mode=0o700, parents=True, exist_ok=True)


def import_pool() -> None:
    done = _run(["zpool", "import", "-f", "-N", "-d", os.path.dirname(DISK), POOL])
    if done.returncode != 0:
        raise Trouble(f"zpool import: {done.stderr}")


def make(work: Work, keys: Keys) -> Contents:
    """Make what a work is about, anew if it is there; return the checksums of what was written there."""
    for root in work.roots:
        if not root.below:
            _zfs(("destroy", "-r", root.name), None)
    for root in work.roots:
        _make_root(root, keys[root.name])
    contents = {name: _fill(name) for root in work.roots for name in (*root.mounted, *root.read)}
    _run(["zpool", "sync", POOL])
    return contents


def _make_root(root: Root, key: Secret) -> None:
    if root.below:
        zfs("create", root.name)
    else:
        location = "prompt"
        if root.in_files:
            path = Path(root.key_file(key))
            path.write_text(key["text"])
            os.sync()
            location = f"file://{path}"
        rounds = ("-o", f"pbkdf2iters={ITERATIONS}") if key["keyformat"] == "passphrase" else ()
        options = ("-o", "encryption=on", "-o", f"keyformat={key['keyformat']}", "-o", f"keylocation={location}")
        zfs("create", *options, *rounds, root.name, given=key["text"] + "\n")
    for name in root.mounted[1:]:
        zfs("create", name)
    for name in root.read:
        zfs("create", "-s", "-V", "8M", name)


def _fill(name: str) -> str:
    content = secrets.token_bytes(SIZE)
    path = _place(name)
    with path.open("r+b" if path.exists() else "wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    return hashlib.sha256(content).hexdigest()


def _place(name: str) -> Path:
    """Return the file in a filesystem, or the node of a volume, as soon as udev made it."""
    directory, node = Path(f"/{name}"), Path(f"/dev/zvol/{name}")
    deadline = time.monotonic() + PATIENCE
    while time.monotonic() < deadline:
        if os.path.ismount(directory):
            return directory / "content"
        if node.exists():
            return node
        time.sleep(0.05)
    raise Trouble(f"{name} is not there: no mount, no node")


def _read(name: str) -> str:
    with _place(name).open("rb") as file:
        return hashlib.sha256(file.read(SIZE)).hexdigest()


def state(work: Work) -> Properties:
    """Read how the datasets of a work are."""
    tops = [root.name for root in work.roots if not root.below]
    wanted = ("get", "-Hpr", "-t", "filesystem,volume", "-o", "name,property,value", ",".join(READ))
    found: Properties = {}
    for line in zfs(*wanted, *tops).splitlines():
        name, prop, value = line.split("\t")
        found.setdefault(name, {})[prop] = value
    return found


def find_keys(work: Work, candidates: t.Mapping[str, list[Secret]]) -> dict[str, tuple[int, str]]:
    """Return which key in escrow opens each encryption root, counted from the end, and the id that it is marked with.

    1 is the newest; what should be a root and still inherits has 0.

    Raises:
        Trouble: none does, something is a root that should not be, or a ``keylocation`` names a file without the key.
    """
    now = state(work)
    found: dict[str, tuple[int, str]] = {}
    for root in work.roots:
        above = now[root.name]["encryptionroot"]
        if above != root.name:
            if above != root.below:
                raise Trouble(f"{root.name} has the encryption root {above}")
            found[root.name] = (0, "")
            continue
        number = _opening(root, now[root.name], candidates[root.name])
        found[root.name] = (number, now[root.name][KEY_ID])
        _check_members(root, now, work)
    return found


def _opening(root: Root, now: t.Mapping[str, str], candidates: list[Secret]) -> int:
    for number, key in enumerate(reversed(candidates), start=1):
        if key["keyformat"] != now["keyformat"]:
            continue
        if _zfs(("load-key", "-n", "-L", "prompt", root.name), key["text"] + "\n").returncode == 0:
            if now["keylocation"] != "prompt":
                _check_file(root, now["keylocation"], key)
            elif root.in_files:
                raise Trouble(f"{root.name} lost its keylocation")
            return number
    raise Trouble(f"no key in escrow opens {root.name}")


def _check_file(root: Root, location: str, key: Secret) -> None:
    if location != f"file://{root.key_file(key)}":
        raise Trouble(f"keylocation of {root.name} is {location}, and the key belongs into {root.key_file(key)}")
    zfs("load-key", "-n", root.name)  # which reads the file


def _check_members(root: Root, now: Properties, work: Work) -> None:
    roots = {each.name for each in work.roots}
    for name in (*root.mounted[1:], *root.read):
        if name not in roots and now[name]["encryptionroot"] != root.name:
            raise Trouble(f"{name} has the encryption root {now[name]['encryptionroot']}, and not {root.name}")


def reopen(work: Work, keys: Keys, contents: Contents) -> None:
    """Lock everything, open it with these keys, mount it, and compare what can be read with what was written.

    Raises:
        Trouble: some of that does not work.
    """
    now = lock(work)
    for root in work.roots:
        if now[root.name]["encryptionroot"] == root.name:
            zfs("load-key", "-L", "prompt", root.name, given=keys[root.name]["text"] + "\n")
    zfs("mount", "-a")
    for root in work.roots:
        for name in (*root.mounted, *root.read):
            if _read(name) != contents[name]:
                raise Trouble(f"{name} does not hold what was written to it")


def lock(work: Work) -> Properties:
    """Unmount everything and unload all keys; return how the datasets are then."""
    tops = [root for root in work.roots if not root.below]
    for root in tops:
        if any(os.path.ismount(f"/{name}") for each in work.roots for name in each.mounted if _is_in(name, root)):
            zfs("unmount", root.name)  # and all that is mounted below it
    for root in tops:
        _patiently(("unload-key", "-r", root.name))
    now = state(work)
    left = [name for name, values in now.items() if values["keystatus"] != "unavailable"]
    if left:
        raise Trouble(f"{', '.join(left)} cannot be locked")
    return now


def _is_in(name: str, root: Root) -> bool:
    return name == root.name or name.startswith(f"{root.name}/")


def _patiently(words: t.Sequence[str]) -> None:
    """Repeat what is busy: udev looks into a volume shortly after others did."""
    deadline = time.monotonic() + PATIENCE
    while True:
        done = _zfs(words, None)
        if done.returncode == 0:
            return
        if "busy" not in done.stderr or time.monotonic() > deadline:
            raise Trouble(f"zfs {' '.join(words)}: {done.stderr.strip()}")
        time.sleep(0.3)


def prepare(work: Work) -> None:
    """Bring about what a work begins with, which the end of the one before it is not."""
    for root in work.roots:
        if root.below and state(work)[root.name]["encryptionroot"] == root.name:
            zfs("change-key", "-i", root.name)
    if work.is_locked:
        lock(work)
