# Copyright: zfsfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""``zpool``: the part of the host that deals with whole pools. Private to the collection."""

from __future__ import annotations

import contextlib
import os
import re
import tempfile
import typing as t
from dataclasses import replace

from . import _devices, _users
from ._command import READ_TIMEOUT, assignments, failure, patiently, run
from ._errors import CallFailed, EncryptionError, Refused, StateUnknown, in_use
from ._host import Importable, PoolCreation, PoolImport, PoolState
from ._key_calls import key_line
from ._topology import Topology, drift, parse_status

_LIKE_SIZES = 16 * 1024 * 1024  # bytes, ZPOOL_FUZZ of zpool_vdev.c
_DISKS = ("/dev/disk/by-id", "/dev/disk/by-vdev", "/dev/mapper", "/dev/disk/by-path", "/dev/disk/by-partuuid", "/dev")
_HOSTID_FILE = "/proc/sys/kernel/spl/hostid"
# zpool-import(8) puts these before the configuration; each may go on in further lines that begin with a tab.
_FIELD = re.compile(r"^ *(\w+): (.*(?:\n\t.*)*)", re.MULTILINE)


def states() -> dict[str, PoolState]:
    """Read the vdevs and properties of all imported pools."""
    properties: dict[str, dict[str, str]] = {}
    for line in _read("zpool", "get", "-Hp", "-o", "name,property,value", "all").split("\n"):
        name, _tab, rest = line.partition("\t")
        prop, _tab, value = rest.partition("\t")
        properties.setdefault(name, {})[prop] = value or "-"  # a comment that was taken away is printed empty
    topologies = parse_status(_read("zpool", "status", "-P")) if properties else {}
    return {name: PoolState(topologies.get(name, Topology()), values) for name, values in properties.items()}


def _read(*argv: str) -> str:
    answer = run(*argv, timeout=READ_TIMEOUT)
    if answer.code != 0:
        raise Refused(f"The pools cannot be read: {answer.error}")
    return answer.out


def importable(search: t.Sequence[str]) -> tuple[Importable, ...]:
    """Look for pools that are not imported."""
    answer = run("zpool", "import", *_search_options(search), timeout=READ_TIMEOUT)
    if answer.code != 0 and "no pools available" not in answer.error:
        raise Refused(f"The pools that could be imported cannot be listed: {answer.error}")
    sections = re.split(r"^ *pool: ", answer.out, flags=re.MULTILINE)[1:]
    return tuple(_importable(section) for section in sections)


def _importable(section: str) -> Importable:
    name, _newline, rest = section.partition("\n")
    head, _config, config = rest.partition("config:\n")
    fields = {key: " ".join(text.split()) for key, text in _FIELD.findall(head)}
    problem = fields.get("status", "")
    members = re.findall(r"^\s+(\S+)\s+ONLINE\s*$", config, re.MULTILINE) if "another system" in problem else []
    last_host = next(filter(None, map(_last_host, members)), "")
    return Importable(name, fields.get("id", ""), fields.get("state", ""), problem, last_host)


def _last_host(member: str) -> str:
    """Read from the label of one disk which system used its pool last; its name is all that the listing shows."""
    for path in (member, *(f"{directory}/{member}" for directory in _DISKS)):
        for candidate in (f"{path}-part1", f"{path}1", f"{path}p1", path):
            if candidate.startswith("/") and os.path.exists(candidate):
                label = run("zdb", "-l", candidate, timeout=READ_TIMEOUT).out
                name, number = re.search(r"hostname: '(.*)'", label), re.search(r"hostid: (\d+)", label)
                if name is not None and number is not None:
                    return f"{name.group(1)} (hostid {int(number.group(1)):08x})"
    return ""


def _search_options(search: t.Sequence[str]) -> list[str]:
    return [word for place in search for word in ("-d", place)]


def hostid() -> str:
    """Return this system's hostid as OpenZFS uses it."""
    try:
        with open("/sys/module/spl/parameters/spl_hostid", encoding="ascii") as file:
            given = int(file.read())
        if given:
            return f"{given:08x}"
        with open(_HOSTID_FILE, encoding="ascii") as file:
            return f"{int(file.read(), 16):08x}"
    except (OSError, ValueError):
        return "unknown"


def _create_words(creation: PoolCreation, *options: str) -> list[str]:
    words = ["zpool", "create", *options, *(["-f"] if creation.force else [])]
    words += ["-R", creation.altroot] if creation.altroot is not None else []
    words += assignments("-o", creation.properties)
    properties = dict(creation.root.properties)
    if creation.root.key is not None:
        properties["keylocation"] = "prompt"
    words += assignments("-O", properties)
    return [*words, creation.name, *creation.topology.words()]


def rehearse(creation: PoolCreation) -> str | None:
    """Return what ``zpool create`` would complain of; it looks at disks and vdevs, not at the key."""
    answer = run(*_create_words(creation, "-n"), timeout=READ_TIMEOUT)
    return None if answer.code == 0 else answer.error.removeprefix("invalid vdev specification ")


def rehearse_on_files(creation: PoolCreation, sizes: t.Mapping[str, int]) -> str | None:
    """Rehearse on sparse files that go away again; what ``zpool create`` tells apart by size differs in size."""
    with tempfile.TemporaryDirectory(prefix="zfsfleet-") as directory:
        files: dict[str, str] = {}
        step, last = 0, 0
        for path, size in sorted(sizes.items(), key=lambda item: item[1]):
            step, last = (step + 1, size) if size > last + _LIKE_SIZES else (step, last)
            files[path] = f"{directory}/{len(files)}"
            with open(files[path], "wb") as file:
                file.truncate(_devices.SMALLEST_FILE * (step + 1))
        complaint = rehearse(replace(creation, topology=creation.topology.renamed(files)))
        for path, stand_in in files.items():
            complaint = complaint and complaint.replace(stand_in, path)
        return complaint


def create(creation: PoolCreation) -> None:
    """Create a pool and mount its root dataset.

    Raises:
        CallFailed: it was not created, and what ``zpool create`` wrote to the blank disks is gone again.
    """
    key, data = creation.root.key, None
    if key is not None:
        keyformat = creation.root.properties["keyformat"]
        data = key_line(key.text(keyformat), keyformat)
    for device in map(_devices.observe, creation.topology.disks):
        if device.holds or device.in_use is not None:
            raise CallFailed(f"Pool {creation.name} was not created: {device.path} is not blank any more.")
    answer = run(*_create_words(creation), stdin=data)
    if answer.code != 0 and "no such pool or dataset" in answer.error:
        # udev reads a partition table anew after a disk was written to, and its nodes are gone for a moment.
        _leave_nothing(creation, is_made=False)
        run("udevadm", "settle", "--timeout=10")
        answer = run(*_create_words(creation), stdin=data)
    if answer.code != 0:
        # Only what comes after the creation leaves a pool; else one of that name is somebody else's.
        is_late = "cannot mount" in answer.error or "cannot share" in answer.error
        _leave_nothing(creation, is_made=is_late or answer.was_killed)
        what = f"Pool {creation.name} was not created"
        raise CallFailed(f"{what}: {answer.why}.") if answer.was_killed else failure(what, answer)
    try:
        _set_keylocation(creation)
    except StateUnknown:
        raise
    except CallFailed:
        _leave_nothing(creation, is_made=True)
        raise


def _set_keylocation(creation: PoolCreation) -> None:
    location = creation.root.keylocation
    if creation.root.key is None or location == "prompt":
        return
    answer = run("zfs", "set", f"keylocation={location}", creation.name)
    if answer.code != 0:
        raise failure(f"Pool {creation.name} was not created, since it did not take its keylocation", answer)


def _leave_nothing(creation: PoolCreation, *, is_made: bool) -> None:
    """Take back what a failed creation left: the pool where only mounting failed, else labels and partitions.

    Everything is left alone that is not certainly its own: a pool of that name may have come from elsewhere meanwhile.

    Raises:
        StateUnknown: the pool stands and could not be taken back.
    """
    if is_made:
        try:
            present = states().get(creation.name)
            if present is not None and drift(creation.topology, present.topology, os.path.realpath):
                return
            if present is not None:
                destroy(creation.name)
        except EncryptionError as error:
            raise StateUnknown(
                f"Pool {creation.name} was made but not as it was wanted, and could not be taken back: {error}"
            ) from None
    with contextlib.suppress(EncryptionError):
        for path in creation.topology.disks:
            device = _devices.observe(path)
            if device.in_use is None and _devices.is_left_by_zpool(device, creation.name):
                _devices.clear(path)


def destroy(name: str) -> None:
    _give_up(name, "destroy", f"Pool {name} was not destroyed")


def export(name: str) -> None:
    _give_up(name, "export", f"Pool {name} was not exported")


def _give_up(name: str, verb: str, what: str) -> None:
    """Destroy or export a pool, or say who uses it.

    In a pool that was imported read-only, what was just unmounted keeps it busy for a moment: the kernel waits for
    that only in pools that it writes to (spa.c, spa_export_common).
    """

    def call() -> None:
        answer = run("zpool", verb, name)
        if answer.code != 0:
            raise failure(what, answer)

    try:
        patiently(call)
    except CallFailed as error:
        raise in_use(error, _users.find([name])) if error.reason == "busy" else error from None


def import_(request: PoolImport) -> None:
    words = ["zpool", "import", "-N", *_search_options(request.search), *(["-f"] if request.force else [])]
    words += ["-R", request.altroot] if request.altroot is not None else []
    words += ["-o", "readonly=on"] if request.readonly else []
    answer = run(*words, request.guid)
    if answer.code != 0:
        raise failure(f"Pool {request.name} was not imported", answer)


def set_properties(name: str, properties: t.Mapping[str, str]) -> None:
    for prop, value in properties.items():
        answer = run("zpool", "set", f"{prop}={value}", name)
        if answer.code != 0:
            raise failure(f"Pool {name} did not take {prop}", answer)
