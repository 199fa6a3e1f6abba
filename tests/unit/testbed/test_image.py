from __future__ import annotations

import io
import tarfile
from pathlib import Path

from testbed.image import fingerprint, ingredients
from testbed.image_build import guest_archive, mmdebstrap_command
from testbed.suites import SUITES, Suite, apt_preferences, apt_sources

FILES = {"a": b"one", "b": b"two"}


def test_fingerprint_depends_on_everything_and_on_no_order() -> None:
    trixie = SUITES["trixie"]
    expected = fingerprint(trixie, FILES)
    assert fingerprint(trixie, dict(reversed(FILES.items()))) == expected
    others = {
        fingerprint(SUITES["bookworm"], FILES),
        fingerprint(Suite("trixie", release="trixie", zfs_from="other"), FILES),
        fingerprint(trixie, {**FILES, "c": b""}),
        fingerprint(trixie, {"a": b"one", "b": b"three"}),
        fingerprint(trixie, {"a": b"onetwo", "b": b""}),
    }
    assert len(others | {expected}) == 6


def test_ingredients_hold_builder_packages_and_guest_files() -> None:
    names = {name.rpartition(" ")[0] for name in ingredients()}
    assert {"image_build.py", "suites.py", "guest/finish-image", "guest/root/etc/modules-load.d/zfs.conf"} <= names


def test_guest_files_belong_to_root_whoever_checked_them_out() -> None:
    with tarfile.open(fileobj=io.BytesIO(guest_archive())) as archive:
        entries = {entry.name: entry for entry in archive}
    assert {(entry.uid, entry.gid) for entry in entries.values()} == {(0, 0)}
    assert entries["finish-image"].mode == 0o755
    assert entries["etc/fstab"].mode == 0o644


def test_only_openzfs_comes_from_backports() -> None:
    suite = SUITES["trixie-backports"]
    assert "Package: src:zfs-linux\nPin: release n=trixie-backports\n" in apt_preferences(suite)
    assert apt_preferences(SUITES["trixie"]) == ""
    assert apt_sources(suite, "http://m.example/debian") == [
        "deb http://m.example/debian trixie main contrib",
        "deb http://m.example/debian trixie-backports main contrib",
    ]


def test_release_and_sources_end_the_build_command(tmp_path: Path) -> None:
    command = mmdebstrap_command(SUITES["bookworm"], "http://m.example/debian", tmp_path, tmp_path / "r.tar", "root")
    assert command[-3:] == ["bookworm", str(tmp_path / "r.tar"), "deb http://m.example/debian bookworm main contrib"]
    assert not [argument for argument in command if argument.startswith("--setup-hook")]
