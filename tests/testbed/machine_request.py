"""What somebody asks of a machine, checked."""

from __future__ import annotations

import re
from dataclasses import dataclass

from .failure import TestbedError
from .suites import DEFAULT_SUITE

UNITS = {"": 1, "K": 2**10, "M": 2**20, "G": 2**30, "T": 2**40}
ROOT_SERIAL = "root"
LONGEST_SERIAL = 20  # virtio cuts off the rest


@dataclass(frozen=True)
class Disk:
    serial: str
    size: int
    """In bytes."""


@dataclass(frozen=True)
class MachineRequest:
    name: str
    suite: str = DEFAULT_SUITE
    disks: tuple[Disk, ...] = ()
    memory: int = 2048
    """In MiB."""
    cpus: int = 2
    network: str | None = None

    def __post_init__(self) -> None:
        check_word("name", self.name)
        if self.network is not None:
            check_word("network", self.network)
        serials = [disk.serial for disk in self.disks]
        if len(set(serials)) != len(serials):
            raise TestbedError(f"two disks have the same serial: {', '.join(serials)}.")


def check_word(what: str, text: str) -> None:
    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9-]{0,39}", text):
        raise TestbedError(f"the {what} {text!r} must be 1 to 40 letters, digits and hyphens.")


def parse_disk(text: str) -> Disk:
    """`SERIAL=SIZE`, the size with a unit of K, M, G or T (powers of 1024)."""
    match = re.fullmatch(rf"([A-Za-z0-9_.-]{{1,{LONGEST_SERIAL}}})=(\d+)([KMGT]?)", text)
    if not match or match.group(1) == ROOT_SERIAL or int(match.group(2)) == 0:
        raise TestbedError(
            f"{text!r} is not SERIAL=SIZE, such as d0=1G: a serial has up to {LONGEST_SERIAL} letters, digits, '_', '.'"
            f" and '-', and {ROOT_SERIAL!r} is taken."
        )
    return Disk(match.group(1), int(match.group(2)) * UNITS[match.group(3)])
