# Copyright: zfsfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Points at which a change dies: which there are, and which count."""

from __future__ import annotations

import random

import pytest

from ansible_collections.zfsfleet.encryption.tests.faults.points import order
from ansible_collections.zfsfleet.encryption.tests.faults.trace import Call, parsed
from ansible_collections.zfsfleet.encryption.tests.faults.works import WORKS, Escrow, Work, arguments

BEFORE = """\
7     openat(AT_FDCWD, "/etc/localtime", O_RDONLY|O_CLOEXEC) = 3
7     ioctl(5, ZFS_IOC_LOAD_KEY, 0x7ffc31306e10) = 0
"""
BEGIN = """\
7     openat(AT_FDCWD, "/x/__pycache__/_carry_out.cpython-313.pyc", O_RDONLY|O_CLOEXEC) = 6
7     mmap(NULL, 36864, PROT_READ, MAP_PRIVATE, -1, 0) = 0x7f8dc93e0000
7     clone3({flags=CLONE_VM|CLONE_VFORK, exit_signal=SIGCHLD}, 88 <unfinished ...>
8     dup2(9, 0)                        = 0
8     ioctl(5, ZFS_IOC_GET, 0x1)        = 0
7     <... clone3 resumed>)             = 8
7     ioctl(5, ZFS_IOC_CHANGE_KEY, 0x7ffc31306e10) = 0
"""
RESULT = """\
7     write(10, ""..., 5)               = 5
7     write(1, ""..., 1045)             = 1045
"""
KILLED = "7     +++ killed by SIGKILL +++\n"
AFTER = """\
7     close(3)                          = 0
7     +++ exited with 0 +++
"""


def test_the_window_goes_from_the_begin_of_a_change_to_its_result() -> None:
    window = parsed(BEFORE + BEGIN + RESULT + AFTER, 7).window
    assert [(call.name, call.number, call.kind) for call in window] == [
        ("openat", 2, "openat"),
        ("clone3", 1, "clone3"),
        ("ioctl", 2, "ZFS_IOC_CHANGE_KEY"),
        ("write", 1, "write"),
        ("write", 2, "write"),
    ]


@pytest.mark.parametrize(
    ("text", "counts"),
    [
        pytest.param(BEFORE + BEGIN + KILLED, True, id="in the middle"),
        pytest.param(BEFORE + BEGIN + RESULT + KILLED, True, id="before anybody knows the result"),
        pytest.param(BEFORE + KILLED, False, id="before it began"),
        pytest.param(BEFORE + BEGIN + RESULT + "7     close(3) = 0\n" + KILLED, False, id="after its result"),
        pytest.param(BEFORE + BEGIN + RESULT + AFTER, False, id="not at all"),
    ],
)
def test_only_what_dies_in_the_middle_counts(text: str, counts: bool) -> None:
    assert parsed(text, 7).is_in_flight == counts


def test_all_calls_are_tried_in_an_order_that_a_seed_gives() -> None:
    window = [Call("ioctl", number, "TCGETS") for number in range(9)] + [
        Call("fsync", 1, "fsync"),
        Call("read", 1, "read"),
    ]
    tried = order(window, random.Random("1"))
    assert sorted(map(repr, tried)) == sorted(map(repr, window))
    assert {call.kind for call in tried[:3]} == {"fsync", "read", "TCGETS"}
    assert tried[0].kind == "fsync"
    assert tried == order(window, random.Random("1")) != order(window, random.Random("2"))


@pytest.mark.parametrize("work", WORKS, ids=lambda work: work.name)
def test_both_keys_are_in_escrow_before_a_change(work: Work) -> None:
    escrow = Escrow()
    for _turn in range(3):
        for root in work.roots:
            escrow.mint(root)
    for entry in arguments(work, escrow)["datasets"]:
        root = next(root for root in work.roots if root.name == entry["name"])
        texts = [key["text"] for key in escrow.candidates(root)]
        current = entry.get("current", {})
        assert entry.get("key", entry.get("passphrase")) == texts[1]
        assert bool(root.below) or current.get("key", current.get("passphrase")) == texts[0]
