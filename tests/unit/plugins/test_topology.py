# Copyright: zfsfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Vdevs: as a task names them, as ``zpool status -P`` shows them, and how the two differ.

What it shows is recorded from OpenZFS 2.3.9, with shorter names.
"""

from __future__ import annotations

import typing as t

import pytest

from ansible_collections.zfsfleet.encryption.plugins.module_utils._errors import Refused
from ansible_collections.zfsfleet.encryption.plugins.module_utils._topology import (
    Topology,
    Vdev,
    drift,
    is_same_disk,
    parse_status,
    topology_from,
    whole_disk,
)

ALL_CLASSES = """\
  pool: tank
 state: ONLINE
config:

\tNAME               STATE     READ WRITE CKSUM
\ttank               ONLINE       0     0     0
\t  mirror-0         ONLINE       0     0     0
\t    /tank/f1       ONLINE       0     0     0
\t    /tank/f2       ONLINE       0     0     0
\t  mirror-1         ONLINE       0     0     0
\t    /tank/f3       ONLINE       0     0     0
\t    /tank/f4       ONLINE       0     0     0
\tdedup\t
\t  mirror-3         ONLINE       0     0     0
\t    /tank/f7       ONLINE       0     0     0
\t    /tank/f8       ONLINE       0     0     0
\tspecial\t
\t  mirror-2         ONLINE       0     0     0
\t    /tank/f5       ONLINE       0     0     0
\t    /tank/f6       ONLINE       0     0     0
\tlogs\t
\t  /tank/f9         ONLINE       0     0     0
\t  mirror-5         ONLINE       0     0     0
\t    /tank/f10      ONLINE       0     0     0
\t    /tank/f11      ONLINE       0     0     0
\tcache
\t  /tank/f12        ONLINE       0     0     0
\t  /tank/f13        ONLINE       0     0     0
\tspares
\t  /tank/f14        AVAIL   \n\
\t  /tank/f15        AVAIL   \n\

errors: No known data errors
"""

ACTIVE_SPARE = """\
  pool: tank
 state: ONLINE
  scan: resilvered 165K in 00:00:00 with 0 errors on Mon Nov 23 02:41:12 2026
config:

\tNAME             STATE     READ WRITE CKSUM
\ttank             ONLINE       0     0     0
\t  mirror-0       ONLINE       0     0     0
\t    /tank/f1     ONLINE       0     0     0
\t    spare-1      ONLINE       0     0     0
\t      /tank/f2   ONLINE       0     0     0
\t      /tank/f3   ONLINE       0     0     0
\tspares
\t  /tank/f3       INUSE     currently in use

errors: No known data errors
"""

SPARE_FOR_A_SINGLE_DISK = """\
  pool: t3
 state: ONLINE
  scan: resilvered 170K in 00:00:01 with 0 errors on Mon Nov 23 02:50:03 2026
config:

\tNAME                 STATE     READ WRITE CKSUM
\tt3                   ONLINE       0     0     0
\t  spare-0            ONLINE       0     0     0
\t    /tank/f3         ONLINE       0     0     0
\t    /tank/f1         ONLINE       0     0     0
\tspares
\t  /tank/f1           INUSE     currently in use

errors: No known data errors
"""

MISSING_DISK = """\
  pool: gap
 state: DEGRADED
status: One or more devices could not be opened.  Sufficient replicas exist for
\tthe pool to continue functioning in a degraded state.
action: Attach the missing device and online it using 'zpool online'.
   see: https://openzfs.github.io/openzfs-docs/msg/ZFS-8000-2Q
config:

\tNAME                      STATE     READ WRITE CKSUM
\tgap                       DEGRADED     0     0     0
\t  mirror-0                DEGRADED     0     0     0
\t    16746124750612994390  UNAVAIL      0     0     0  was /tank/a b/f 1
\t    /tank/f2              ONLINE       0     0     0

errors: No known data errors
"""

REPLACING = """\
  pool: tank
 state: ONLINE
status: One or more devices is currently being resilvered.  The pool will
\tcontinue to function, possibly in a degraded state.
action: Wait for the resilver to complete.
  scan: resilver in progress since Mon Nov 23 02:41:29 2026
\t0B / 90.3M scanned, 0B / 90.3M issued
\t0B resilvered, 0.00% done, no estimated completion time
config:

\tNAME             STATE     READ WRITE CKSUM
\ttank             ONLINE       0     0     0
\t  raidz1-0       ONLINE       0     0     0
\t    /tank/f1     ONLINE       0     0     0
\t    replacing-1  ONLINE       0     0     0
\t      /tank/f2   ONLINE       0     0     0
\t      /tank/f4   ONLINE       0     0     0
\t    /tank/f3     ONLINE       0     0     0

errors: No known data errors
"""

DRAID_WITH_AN_ACTIVE_SPARE = """\
  pool: tank
 state: DEGRADED
status: One or more devices are faulted in response to persistent errors.
\tSufficient replicas exist for the pool to continue functioning in a
\tdegraded state.
action: Replace the faulted device, or use 'zpool clear' to mark the device
\trepaired.
  scan: resilvered 0B in 00:00:00 with 0 errors on Mon Nov 23 02:41:38 2026
config:

\tNAME                 STATE     READ WRITE CKSUM
\ttank                 DEGRADED     0     0     0
\t  draid1:2d:5c:1s-0  DEGRADED     0     0     0
\t    spare-0          DEGRADED     0     0     0
\t      /tank/f1       FAULTED      0     0     0  external device fault
\t      draid1-0-0     ONLINE       0     0     0
\t    /tank/f2         ONLINE       0     0     0
\t    /tank/f3         ONLINE       0     0     0
\t    /tank/f4         ONLINE       0     0     0
\t    /tank/f5         ONLINE       0     0     0
\tspares
\t  draid1-0-0         INUSE     currently in use

errors: No known data errors
"""

REMARKS = """\
  pool: checked
 state: ONLINE
  scan: scrub repaired 0B in 00:00:00 with 0 errors on Mon Nov 23 02:42:08 2026
    scan warning: skipped blocks that are only referenced by the checkpoint.
checkpoint: created Mon Nov 23 02:42:07 2026, consumes 63K
config:

\tNAME         STATE     READ WRITE CKSUM
\tchecked      ONLINE       0     0     0
\t  /tank/f3   ONLINE       0     0     0
\t  /tank/f4   ONLINE       0     0     0

errors: No known data errors

  pool: shrunk
 state: ONLINE
remove: Removal of vdev 0 copied 29.5K in 0h0m, completed on Mon Nov 23 02:49:58 2026
\t24 memory used for removed device mappings
config:

\tNAME         STATE     READ WRITE CKSUM
\tshrunk       ONLINE       0     0     0
\t  /tank/f2   ONLINE       0     0     0

errors: No known data errors

  pool: trimmed
 state: ONLINE
config:

\tNAME           STATE     READ WRITE CKSUM
\ttrimmed        ONLINE       0     0     0
\t  mirror-0     ONLINE       0     0     0
\t    /tank/f5   ONLINE       0     0     0  (initializing)  (trimming)
\t    /tank/f6   ONLINE       0     0     0  (initializing)  (trimming)

errors: No known data errors
"""

SEVERAL = """\
  pool: my tank
 state: ONLINE
config:

\tNAME                               STATE     READ WRITE CKSUM
\tmy tank                            ONLINE       0     0     0
\t  /dev/disk/by-id/virtio-d0-part1  ONLINE       0     0     0
\t  /dev/disk/by-id/virtio-d1-part1  ONLINE       0     0     0

errors: No known data errors

  pool: other
 state: ONLINE
config:

\tNAME         STATE     READ WRITE CKSUM
\tother        ONLINE       0     0     0
\t  /tank/f 1  ONLINE       0     0     0

errors: No known data errors
"""


def mirror(*disks: str) -> Vdev:
    return Vdev("mirror", disks)


def stripe(disk: str) -> Vdev:
    return Vdev("stripe", (disk,))


def test_every_class_of_vdevs_is_read() -> None:
    assert parse_status(ALL_CLASSES) == {
        "tank": Topology(
            data=(mirror("/tank/f1", "/tank/f2"), mirror("/tank/f3", "/tank/f4")),
            special=(mirror("/tank/f5", "/tank/f6"),),
            dedup=(mirror("/tank/f7", "/tank/f8"),),
            log=(stripe("/tank/f9"), mirror("/tank/f10", "/tank/f11")),
            cache=(stripe("/tank/f12"), stripe("/tank/f13")),
            spares=(stripe("/tank/f14"), stripe("/tank/f15")),
        )
    }


def test_pools_are_told_apart_and_names_may_hold_spaces() -> None:
    assert parse_status(SEVERAL) == {
        "my tank": Topology(
            data=(stripe("/dev/disk/by-id/virtio-d0-part1"), stripe("/dev/disk/by-id/virtio-d1-part1"))
        ),
        "other": Topology(data=(stripe("/tank/f 1"),)),
    }


def test_a_missing_disk_keeps_its_last_path() -> None:
    assert parse_status(MISSING_DISK)["gap"].data == (mirror("/tank/a b/f 1", "/tank/f2"),)


def test_a_spare_that_stands_in_for_a_disk_is_a_spare_still() -> None:
    assert parse_status(ACTIVE_SPARE)["tank"] == Topology(
        data=(mirror("/tank/f1", "/tank/f2"),), spares=(stripe("/tank/f3"),)
    )


def test_a_spare_for_a_single_disk_makes_no_mirror_of_it() -> None:
    assert parse_status(SPARE_FOR_A_SINGLE_DISK)["t3"] == Topology(
        data=(stripe("/tank/f3"),), spares=(stripe("/tank/f1"),)
    )


def test_while_a_disk_is_replaced_both_are_there() -> None:
    assert parse_status(REPLACING)["tank"].data == (Vdev("raidz1", ("/tank/f1", "/tank/f2", "/tank/f4", "/tank/f3")),)


def test_a_draid_has_its_groups_and_distributed_spares_are_no_disks() -> None:
    disks = tuple(f"/tank/f{number}" for number in range(1, 6))
    assert parse_status(DRAID_WITH_AN_ACTIVE_SPARE)["tank"] == Topology(
        data=(Vdev("draid1", disks, data_disks=2, spare_disks=1),)
    )


def test_remarks_belong_to_no_name() -> None:
    assert parse_status(REMARKS) == {
        "checked": Topology(data=(stripe("/tank/f3"), stripe("/tank/f4"))),
        "shrunk": Topology(data=(stripe("/tank/f2"),)),
        "trimmed": Topology(data=(mirror("/tank/f5", "/tank/f6"),)),
    }


def test_no_pools_are_no_topologies() -> None:
    assert parse_status("no pools available\n") == {}


FIVE = ("/a", "/b", "/c", "/d", "/e")


def vdevs(type_: str, *disks: str, **options: int) -> dict[str, t.Any]:
    return {"type": type_, "disks": list(disks), **options}


def topology(**option: t.Any) -> Topology:
    found = topology_from(option, whose="pool tank")
    assert found is not None
    return found


def test_every_disk_of_a_stripe_is_a_vdev_of_its_own() -> None:
    assert topology(data=[vdevs("stripe", "/a", "/b")]).data == (stripe("/a"), stripe("/b"))
    assert topology_from(None, whose="pool tank") is None


@pytest.mark.parametrize(
    ("option", "words"),
    [
        ({"data": [vdevs("stripe", "/a", "/b")]}, "/a /b"),
        ({"data": [vdevs("mirror", "/a", "/b"), vdevs("mirror", "/c", "/d")]}, "mirror /a /b mirror /c /d"),
        ({"data": [vdevs("draid2", *FIVE)]}, "draid2:5c:0s /a /b /c /d /e"),
        (
            {"data": [vdevs("draid1", *FIVE, draid_data_disks=3, draid_spare_disks=1)]},
            "draid1:3d:5c:1s /a /b /c /d /e",
        ),
        (
            {
                "data": [vdevs("raidz1", "/a", "/b", "/c")],
                "special": [vdevs("mirror", "/d", "/e")],
                "dedup": [vdevs("mirror", "/f", "/g")],
                "log": [vdevs("mirror", "/h", "/i")],
                "cache": ["/j", "/k"],
                "spares": ["/l"],
            },
            "raidz1 /a /b /c special mirror /d /e dedup mirror /f /g log mirror /h /i cache /j /k spare /l",
        ),
        # Behind a mirror, /c would be taken into it.
        ({"data": [vdevs("mirror", "/a", "/b"), vdevs("stripe", "/c")]}, "/c mirror /a /b"),
        (
            {"data": [vdevs("stripe", "/x")], "log": [vdevs("mirror", "/a", "/b"), vdevs("stripe", "/c")]},
            "/x log /c mirror /a /b",
        ),
    ],
    ids=["stripe", "mirrors", "draid", "draid in detail", "every class", "disk beside mirror", "log beside mirror"],
)
def test_a_topology_is_said_as_zpool_create_takes_it(option: dict[str, t.Any], words: str) -> None:
    assert topology(**option).words() == words.split()


@pytest.mark.parametrize(
    ("option", "text"),
    [
        ({}, "without data vdevs"),
        ({"data": [], "cache": ["/a"]}, "without data vdevs"),
        ({"data": [vdevs("mirror", "/a")]}, "mirror of 1 disks under data; that takes at least 2"),
        ({"data": [vdevs("raidz3", "/a", "/b", "/c")]}, "at least 4"),
        ({"data": [vdevs("stripe")]}, "at least 1"),
        ({"data": [vdevs("stripe", "/a")], "log": [vdevs("mirror", "/b")]}, "under log"),
        ({"data": [vdevs("stripe", "sda")]}, "no absolute path"),
        ({"data": [vdevs("stripe", "/a")], "spares": ["sdb"]}, "no absolute path"),
        ({"data": [vdevs("mirror", "/a", "/a")]}, "/a stands twice"),
        ({"data": [vdevs("stripe", "/a")], "cache": ["/a"]}, "/a stands twice"),
        ({"data": [vdevs("mirror", "/a", "/b", draid_spare_disks=1)]}, "draid options with a mirror"),
        ({"data": [vdevs("raidz1", "/a", "/b", draid_data_disks=1)]}, "draid options with a raidz1"),
    ],
)
def test_what_no_pool_could_look_like_is_refused(option: dict[str, t.Any], text: str) -> None:
    with pytest.raises(Refused, match=text):
        topology(**option)


def as_it_is(path: str) -> str:
    return path


def test_a_pool_as_wanted_has_no_drift_in_whatever_order() -> None:
    wanted = Topology(data=(mirror("/a", "/b"), mirror("/c", "/d")), cache=(stripe("/e"),))
    present = Topology(data=(mirror("/d", "/c"), mirror("/a", "/b")), cache=(stripe("/e"),))

    assert drift(wanted, present, as_it_is) == ()


@pytest.mark.parametrize(
    ("present", "sentences"),
    [
        (
            Topology(data=(mirror("/a", "/c"),)),
            ("data: mirror of /a, /b is wanted and not there", "data: mirror of /a, /c is there and not wanted"),
        ),
        (
            Topology(data=(mirror("/a", "/b", "/c"),)),
            ("data: mirror of /a, /b is wanted and not there", "data: mirror of /a, /b, /c is there and not wanted"),
        ),
        (
            Topology(data=(Vdev("raidz1", ("/a", "/b")),)),
            ("data: mirror of /a, /b is wanted and not there", "data: raidz1 of /a, /b is there and not wanted"),
        ),
        (
            Topology(data=(mirror("/a", "/b"),), log=(stripe("/l"),)),
            ("log: stripe of /l is there and not wanted",),
        ),
    ],
    ids=["another disk", "a disk more", "another type", "a log more"],
)
def test_drift_is_told_vdev_by_vdev(present: Topology, sentences: tuple[str, ...]) -> None:
    assert drift(Topology(data=(mirror("/a", "/b"),)), present, as_it_is) == sentences


def test_a_disk_that_moved_to_another_class_is_told_twice() -> None:
    wanted = Topology(data=(stripe("/a"),), cache=(stripe("/b"),))
    present = Topology(data=(stripe("/a"),), spares=(stripe("/b"),))

    assert drift(wanted, present, as_it_is) == (
        "cache: stripe of /b is wanted and not there",
        "spares: stripe of /b is there and not wanted",
    )


def test_groups_of_a_draid_matter_where_they_are_wanted() -> None:
    present = Topology(data=(Vdev("draid1", FIVE, data_disks=3, spare_disks=1),))

    assert drift(Topology(data=(Vdev("draid1", FIVE, spare_disks=1),)), present, as_it_is) == ()
    assert drift(Topology(data=(Vdev("draid1", FIVE, data_disks=3, spare_disks=1),)), present, as_it_is) == ()
    assert drift(Topology(data=(Vdev("draid1", FIVE, data_disks=2, spare_disks=1),)), present, as_it_is) != ()
    assert drift(Topology(data=(Vdev("draid1", FIVE),)), present, as_it_is) != ()


LINKS = {
    "/dev/disk/by-id/virtio-d0": "/dev/vdb",
    "/dev/disk/by-id/virtio-d0-part1": "/dev/vdb1",
    "/dev/disk/by-id/virtio-d0-part2": "/dev/vdb2",
    "/dev/disk/by-id/nvme-x": "/dev/nvme0n1",
    "/dev/disk/by-id/nvme-x-part1": "/dev/nvme0n1p1",
    "/dev/mapper/vg-lv": "/dev/dm-0",
    "/dev/mapper/vg-lv1": "/dev/dm-1",
}


@pytest.mark.parametrize(
    ("wanted", "member", "is_same"),
    [
        ("/dev/disk/by-id/virtio-d0", "/dev/disk/by-id/virtio-d0-part1", True),
        ("/dev/vdb", "/dev/disk/by-id/virtio-d0-part1", True),
        ("/dev/disk/by-id/virtio-d0", "/dev/vdb1", True),
        ("/dev/disk/by-id/virtio-d0-part1", "/dev/disk/by-id/virtio-d0-part1", True),
        ("/dev/disk/by-id/virtio-d0-part1", "/dev/vdb1", True),
        ("/dev/disk/by-id/virtio-d0-part2", "/dev/vdb2", True),
        ("/dev/disk/by-id/virtio-d0", "/dev/vdb2", False),
        ("/dev/disk/by-id/virtio-d0-part2", "/dev/vdb1", False),
        ("/dev/disk/by-id/nvme-x", "/dev/nvme0n1p1", True),
        ("/dev/nvme0n1", "/dev/disk/by-id/nvme-x-part1", True),
        ("/dev/nvme0n1", "/dev/nvme0n11", False),
        ("/dev/mapper/vg-lv", "/dev/mapper/vg-lv1", False),
        ("/tank/disk", "/tank/disk1", False),
        ("/tank/f1", "/tank/f1", True),
        ("/dev/disk/by-id/virtio-gone", "/dev/disk/by-id/virtio-gone-part1", True),
    ],
)
def test_a_disk_is_known_by_its_links_and_by_the_partition_on_it(wanted: str, member: str, is_same: bool) -> None:
    assert is_same_disk(wanted, member, lambda path: LINKS.get(path, path)) == is_same


@pytest.mark.parametrize(
    ("path", "whole"),
    [
        ("/dev/sda1", "/dev/sda"),
        ("/dev/sdaa1", "/dev/sdaa"),
        ("/dev/xvdb1", "/dev/xvdb"),
        ("/dev/nvme0n1p1", "/dev/nvme0n1"),
        ("/dev/mmcblk0p1", "/dev/mmcblk0"),
        ("/dev/disk/by-path/pci-0000:00:04.0-part1", "/dev/disk/by-path/pci-0000:00:04.0"),
        ("/dev/sda", "/dev/sda"),
        ("/dev/sda2", "/dev/sda2"),
        ("/dev/sda11", "/dev/sda11"),
        ("/dev/loop1", "/dev/loop1"),
        ("/dev/dm-1", "/dev/dm-1"),
        ("/dev/nvme0n1", "/dev/nvme0n1"),
        ("/srv/disk-part1", "/srv/disk-part1"),
    ],
)
def test_a_whole_disk_is_the_one_whose_first_partition_openzfs_uses(path: str, whole: str) -> None:
    assert whole_disk(path) == whole
