# Copyright: zfsfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What can become of keys in files, and what a person finds there; what they share with others is in test_backends."""

from __future__ import annotations

import dataclasses
import multiprocessing
import os
import pathlib
import resource
import shutil
import signal
import stat
import subprocess
import sys
import typing as t

import pytest
from ansible.parsing.dataloader import DataLoader
from ansible.parsing.vault import VaultSecret

from ansible_collections.zfsfleet.encryption.plugins.module_utils._errors import Refused
from ansible_collections.zfsfleet.encryption.plugins.module_utils._keys import Key, KeyFormat
from ansible_collections.zfsfleet.encryption.plugins.plugin_utils._backend import BackendFailed, Surroundings
from ansible_collections.zfsfleet.encryption.plugins.plugin_utils._backends import backends_from
from ansible_collections.zfsfleet.encryption.plugins.plugin_utils._controller import Controller
from ansible_collections.zfsfleet.encryption.plugins.plugin_utils._record import Entry, Kept, KeyId
from ansible_collections.zfsfleet.encryption.plugins.plugin_utils._vault_file import VaultFile
from ansible_collections.zfsfleet.encryption.tests.escrow.place import a_binding, a_guid, a_version, fresh, kept
from ansible_collections.zfsfleet.encryption.tests.escrow.vault_file import PASSWORD, put_all, vaulted

HOST = "web1"
KEY_ID = KeyId("0123456789abcdef", "0123456789ab")
NAME = "tank%2Fhome.0123456789abcdef.0123456789ab"
SEGMENT = f"{NAME}.hex.vault"


@pytest.fixture
def path(tmp_path: pathlib.Path) -> pathlib.Path:
    path = tmp_path / "keys"
    path.mkdir(mode=0o700)
    return path


@pytest.fixture
def backend(path: pathlib.Path) -> VaultFile:
    return VaultFile(str(path), vaulted())


@pytest.fixture
def one() -> Kept:
    return kept(dataclasses.replace(a_version(HOST), key_id=KEY_ID))


def names(path: pathlib.Path) -> list[str]:
    return sorted(each.name for each in (path / HOST).iterdir())


def entry_of(backend: VaultFile, one: Kept) -> Entry:
    return next(entry for entry in backend.entries(HOST) if entry.key_id == one.version.key_id)


class TestWhatAPersonFinds:
    def test_names_tell_what_is_what(self, backend: VaultFile, path: pathlib.Path, one: Kept) -> None:
        assert backend.put(one) == str(path / HOST / SEGMENT)
        assert names(path) == [SEGMENT, f"{NAME}.json"]
        backend.advance(fresh(one.version), "active")
        (note,) = set(names(path)) - {SEGMENT, f"{NAME}.json"}
        assert note.startswith(f"{NAME}.active.20")

    def test_the_first_line_of_a_segment_is_what_zfs_reads(self, backend: VaultFile, tmp_path: pathlib.Path) -> None:
        """Read by the program ansible-vault, as on the day when nothing else works; 64 digits for raw keys, too."""
        formats: tuple[KeyFormat, ...] = ("hex", "raw", "passphrase")
        versions = [kept(a_version(HOST, keyformat=keyformat)) for keyformat in formats]
        password = tmp_path / "password"
        password.write_bytes(PASSWORD)
        program = pathlib.Path(sys.executable).with_name("ansible-vault")
        argv = (str(program), "view", "--vault-password-file", str(password), *map(backend.put, versions))
        shown = subprocess.run(argv, check=True, stdin=subprocess.DEVNULL, capture_output=True, timeout=300).stdout
        lines = [line for line in shown.splitlines() if line and not line.startswith(b"{")]
        assert lines == [one.key.text("hex") for one in versions]

    def test_plain_files_hold_no_key(self, backend: VaultFile, path: pathlib.Path) -> None:
        one = kept(a_version(HOST, keyformat="passphrase"), Key("passphrase", b"correct horse battery"))
        backend.put(one)
        backend.advance(fresh(one.version), "active")
        backend.bind(fresh(one.version), a_binding())
        written = b"".join(each.read_bytes() + each.name.encode() for each in (path / HOST).iterdir())
        assert b"horse" not in written
        assert b"correct horse battery".hex().encode() not in written

    def test_nobody_else_may_read_them(self, backend: VaultFile, path: pathlib.Path, one: Kept) -> None:
        umask = os.umask(0)
        try:
            backend.put(one)
            backend.advance(fresh(one.version), "active")
            backend.bind(fresh(one.version), a_binding())
        finally:
            os.umask(umask)
        assert stat.S_IMODE((path / HOST).stat().st_mode) == 0o700
        assert {stat.S_IMODE(each.stat().st_mode) for each in (path / HOST).iterdir()} == {0o600}

    def test_a_long_name_is_cut_in_the_name_only(self, backend: VaultFile, path: pathlib.Path) -> None:
        one = kept(a_version(HOST, dataset="tank/" + "a b/" * 62))
        backend.put(one)
        assert max(map(len, names(path))) <= 255
        assert entry_of(backend, one).version == one.version

    def test_files_of_ones_own_are_left_alone(self, backend: VaultFile, path: pathlib.Path) -> None:
        one = kept(dataclasses.replace(a_version(HOST, keyguid=a_guid()), key_id=KEY_ID))
        backend.put(one)
        (path / "README.md").write_text("Ours.")
        shutil.copytree(path / HOST, path / ".git")
        for name in ("README.md", ".gitattributes", f"{SEGMENT}~", f"{SEGMENT}.orig", f".{SEGMENT}.swp", "tank.vault"):
            (path / HOST / name).write_text("$ANSIBLE_VAULT;")
        assert len(backend.entries(HOST)) == 1
        assert len(backend.elsewhere([one.version.keyguid], [])) == 1
        assert backend.fetch(fresh(one.version)) == one

    def test_what_another_run_is_writing_is_left_alone(self, backend: VaultFile, path: pathlib.Path) -> None:
        (path / HOST).mkdir(mode=0o700)
        begun = path / HOST / ".0123456789abcdef.new"
        begun.write_bytes(b"$ANSIBLE")
        backend.put(kept(a_version(HOST)))
        assert begun.exists()


class TestTornSegments:
    @pytest.fixture
    def others(self, backend: VaultFile) -> list[Kept]:
        """Versions that a torn one must not stand in the way of."""
        versions = [kept(a_version(HOST)) for _number in range(2)]
        for one in versions:
            backend.put(one)
        return versions

    @pytest.mark.parametrize("part", [0.0, 0.001, 0.02, 0.3, 0.9, 0.999])
    def test_one_that_is_cut_off_is_told(
        self, backend: VaultFile, path: pathlib.Path, one: Kept, others: list[Kept], part: float
    ) -> None:
        segment = pathlib.Path(backend.put(one))
        os.truncate(segment, int(segment.stat().st_size * part))
        self._is_told(backend, one, others)

    @pytest.mark.parametrize(
        "content",
        [
            pytest.param(b"\0" * 1400, id="nothing but zeros"),
            pytest.param(b"$ANSIBLE_VAULT;9.9;AES256\n00\n", id="of a format that nobody knows"),
            pytest.param(b"$ANSIBLE_VAULT;1.2;AES256;\xff\n00\n", id="with a label that is no text"),
            pytest.param(b"$ANSIBLE_VAULT;1.1;AES256\n" + b"ab" * 700, id="not encrypted at all"),
            pytest.param(b"$ANSIBLE_VAULT;", id="the beginning of a header"),
        ],
    )
    def test_one_that_is_something_else_is_told(
        self, backend: VaultFile, path: pathlib.Path, one: Kept, others: list[Kept], content: bytes
    ) -> None:
        pathlib.Path(backend.put(one)).write_bytes(content)
        self._is_told(backend, one, others)

    @pytest.mark.parametrize("at", [30, 200, 700, -40])
    def test_one_with_a_wrong_letter_is_told(self, backend: VaultFile, one: Kept, others: list[Kept], at: int) -> None:
        segment = pathlib.Path(backend.put(one))
        content = bytearray(segment.read_bytes())
        content[at] = ord("1") if content[at] == ord("2") else ord("2")
        segment.write_bytes(content)
        self._is_told(backend, one, others)

    def test_one_of_another_password_is_told(self, backend: VaultFile, one: Kept, others: list[Kept]) -> None:
        segment = pathlib.Path(backend.put(one))
        theirs = vaulted(default=b"another password")
        segment.write_bytes(theirs.protected(vaulted().revealed(segment.read_bytes())))
        self._is_told(backend, one, others)

    @pytest.mark.parametrize(
        "content", [b"", b"\n", b"0a\n", b"zz\n{}\n", b"0a\n[1]\n", b'0a\n{"zfsfleet_escrow": 2}\n', b"[" * 9000]
    )
    def test_one_that_holds_no_key_is_told(
        self, backend: VaultFile, one: Kept, others: list[Kept], content: bytes
    ) -> None:
        pathlib.Path(backend.put(one)).write_bytes(vaulted().protected(content))
        self._is_told(backend, one, others)

    def test_one_that_holds_another_version_is_told(self, backend: VaultFile, one: Kept, others: list[Kept]) -> None:
        segment = pathlib.Path(backend.put(one))
        shutil.copy(next(each for each in segment.parent.glob("*.vault") if each != segment), segment)
        self._is_told(backend, one, others)

    def test_one_that_is_gone_is_told(self, backend: VaultFile, one: Kept, others: list[Kept]) -> None:
        pathlib.Path(backend.put(one)).unlink()
        assert str(KEY_ID) in entry_of(backend, one).faults[0]
        self._is_told(backend, one, others)

    def _is_told(self, backend: VaultFile, one: Kept, others: list[Kept]) -> None:
        assert entry_of(backend, one).version == one.version
        with pytest.raises(BackendFailed, match="backup or from git") as failure:
            backend.fetch(fresh(one.version))
        assert str(KEY_ID) in str(failure.value)
        for other in others:
            entry = entry_of(backend, other)
            assert entry.faults == ()
            assert backend.fetch(entry) == other
        backend.put(kept(a_version(HOST)))

    def test_without_its_description_the_name_tells_of_it(
        self, backend: VaultFile, path: pathlib.Path, one: Kept, others: list[Kept]
    ) -> None:
        segment = pathlib.Path(backend.put(one))
        (path / HOST / f"{NAME}.json").unlink()
        os.truncate(segment, 100)
        entry = entry_of(backend, one)
        assert (entry.version.dataset, entry.version.host, entry.version.keyformat) == ("tank/home", HOST, "hex")
        assert str(segment) in entry.faults[0]
        with pytest.raises(BackendFailed, match="torn"):
            backend.fetch(entry)

    def test_putting_it_again_says_so_and_repairs_nothing_unasked(
        self, backend: VaultFile, one: Kept, others: list[Kept]
    ) -> None:
        segment = pathlib.Path(backend.put(one))
        os.truncate(segment, 100)
        with pytest.raises(BackendFailed, match=f"{segment} cannot be read"):
            backend.put(one)
        assert segment.stat().st_size == 100
        segment.unlink()
        backend.put(one)
        assert backend.fetch(entry_of(backend, one)) == one


class TestPlainFiles:
    @pytest.mark.parametrize("content", [None, b"", b"{", b"[]", b'{"zfsfleet_escrow": 1}', b"\xff"])
    def test_the_segment_tells_what_a_lost_description_would(
        self, backend: VaultFile, path: pathlib.Path, one: Kept, content: bytes | None
    ) -> None:
        backend.put(one)
        about = path / HOST / f"{NAME}.json"
        about.unlink()
        if content is not None:
            about.write_bytes(content)
        entry = entry_of(backend, one)
        assert (entry.version, entry.faults) == (one.version, ())
        assert backend.fetch(entry) == one

    def test_putting_again_brings_the_description_back(self, backend: VaultFile, path: pathlib.Path, one: Kept) -> None:
        backend.put(one)
        about = path / HOST / f"{NAME}.json"
        content = about.read_bytes()
        about.unlink()
        backend.put(one)
        assert about.read_bytes() == content

    def test_a_description_that_was_changed_is_found_out(
        self, backend: VaultFile, path: pathlib.Path, one: Kept
    ) -> None:
        backend.put(one)
        about = path / HOST / f"{NAME}.json"
        about.write_bytes(about.read_bytes().replace(b"tank/home", b"tank/work"))
        with pytest.raises(BackendFailed, match="different things"):
            backend.fetch(entry_of(backend, one))
        about.unlink()
        assert backend.fetch(entry_of(backend, one)) == one

    @pytest.mark.parametrize("spoil", [lambda content: content[:20], lambda content: content.replace(b"home", b"work")])
    def test_a_torn_or_changed_binding_is_told_and_hides_no_other(
        self, backend: VaultFile, path: pathlib.Path, one: Kept, spoil: t.Callable[[bytes], bytes]
    ) -> None:
        backend.put(one)
        whole, torn = a_binding(), a_binding()
        backend.bind(fresh(one.version), torn)
        (note,) = (path / HOST).glob("*.bound.*")
        note.write_bytes(spoil(note.read_bytes()))
        backend.bind(fresh(one.version), whole)
        entry = entry_of(backend, one)
        assert entry.bindings == (whole,)
        assert str(note) in entry.faults[0]
        assert backend.fetch(entry) == one
        with pytest.raises(BackendFailed, match="Remove it"):
            backend.bind(entry, torn)

    def test_a_note_without_a_key_is_told(self, backend: VaultFile, path: pathlib.Path, one: Kept) -> None:
        """As where only a part of the files was committed."""
        backend.put(one)
        backend.advance(fresh(one.version), "active")
        for each in (path / HOST).iterdir():
            if ".active." not in each.name:
                each.unlink()
        entry = entry_of(backend, one)
        assert (entry.state, entry.version.dataset) == ("active", "tank/home")
        assert "backup or from git" in entry.faults[0]

    def test_of_two_keys_of_one_id_neither_is_chosen(self, backend: VaultFile, path: pathlib.Path, one: Kept) -> None:
        """As where two backups were mixed."""
        segment = pathlib.Path(backend.put(one))
        another = Kept(dataclasses.replace(one.version, keyformat="raw"), Key("key", b"x" * 32))
        moved = segment.with_name(f"{NAME}.raw.vault")
        content = another.key.secret.hex().encode() + vaulted().revealed(segment.read_bytes())[64:]
        moved.write_bytes(vaulted().protected(content.replace(b'"hex"', b'"raw"')))
        with pytest.raises(BackendFailed, match="two keys of one id"):
            backend.fetch(fresh(one.version))


class TestTheVaultSecret:
    def test_a_mistyped_password_encrypts_nothing(self, path: pathlib.Path, backend: VaultFile, one: Kept) -> None:
        backend.put(one)
        mistyped = VaultFile(str(path), vaulted(default=b"mistyped"))
        for call in (mistyped.find_out, lambda: mistyped.put(kept(a_version("web2")))):
            with pytest.raises(BackendFailed, match="it was another one"):
                call()
        assert os.listdir(path) == [HOST]

    def test_nor_does_one_that_opens_only_by_another_identity(
        self, path: pathlib.Path, backend: VaultFile, one: Kept
    ) -> None:
        backend.put(one)
        swapped = VaultFile(str(path), vaulted(default=b"mistyped", old=PASSWORD))
        assert swapped.fetch(fresh(one.version)) == one
        with pytest.raises(BackendFailed, match="it was another one"):
            swapped.put(kept(a_version(HOST)))

    def test_an_identity_of_its_own_may_be_new(self, path: pathlib.Path, backend: VaultFile, one: Kept) -> None:
        backend.put(one)
        both = VaultFile(str(path), vaulted("new", new=b"a new password", default=PASSWORD))
        another = kept(a_version(HOST))
        receipt = both.put(another)
        assert pathlib.Path(receipt).read_bytes().startswith(b"$ANSIBLE_VAULT;1.2;AES256;new\n")
        assert {both.fetch(entry) for entry in both.entries(HOST)} == {one, another}

    def test_one_torn_segment_does_not_cast_doubt_on_it(
        self, path: pathlib.Path, backend: VaultFile, one: Kept
    ) -> None:
        whole, torn = kept(a_version("web2")), one
        backend.put(whole)
        os.truncate(backend.put(torn), 200)
        VaultFile(str(path), vaulted()).find_out()

    def test_where_all_are_torn_a_person_has_to_look(self, path: pathlib.Path, backend: VaultFile, one: Kept) -> None:
        segment = pathlib.Path(backend.put(one))
        os.truncate(segment, 200)
        with pytest.raises(BackendFailed, match="If nothing but torn files is left there, move them away"):
            VaultFile(str(path), vaulted()).find_out()
        segment.rename(path.parent / "torn")
        VaultFile(str(path), vaulted()).find_out()


class TestThePath:
    def test_one_that_is_missing_is_not_made(self, path: pathlib.Path, backend: VaultFile, one: Kept) -> None:
        """It may be a disk that is not mounted: what is written there would be hidden later."""
        path.rmdir()
        for call in (backend.find_out, lambda: backend.put(one), lambda: backend.entries(HOST)):
            with pytest.raises(BackendFailed, match=f"mkdir -m 0700 {path}"):
                call()
        assert not path.exists()

    def test_a_link_is_refused(self, path: pathlib.Path, tmp_path: pathlib.Path, one: Kept) -> None:
        link = tmp_path / "link"
        link.symlink_to(path)
        with pytest.raises(BackendFailed, match=f"symbolic link. Name the directory that it stands for, {path}"):
            VaultFile(str(link), vaulted()).put(one)
        assert os.listdir(path) == []

    def test_a_hosts_directory_that_is_a_link_is_refused(
        self, path: pathlib.Path, tmp_path: pathlib.Path, backend: VaultFile, one: Kept
    ) -> None:
        (path / HOST).symlink_to(tmp_path)
        for call in (lambda: backend.put(one), lambda: backend.entries(HOST), lambda: backend.elsewhere(["1"], [])):
            with pytest.raises(BackendFailed, match="symbolic link"):
                call()
        assert os.listdir(tmp_path) == ["keys"]

    def test_and_is_in_no_other_hosts_way(self, path: pathlib.Path, tmp_path: pathlib.Path, backend: VaultFile) -> None:
        (path / HOST).symlink_to(tmp_path)
        one = kept(a_version("web2"))
        backend.put(one)
        (entry,) = backend.entries("web2")
        backend.advance(entry, "active")
        assert backend.fetch(entry) == one

    @pytest.mark.parametrize("mode", [0o770, 0o707, 0o1777])
    def test_one_that_others_may_write_to_is_refused(
        self, path: pathlib.Path, backend: VaultFile, one: Kept, mode: int
    ) -> None:
        path.chmod(mode)
        with pytest.raises(BackendFailed, match=f"chmod go-w {path}"):
            backend.put(one)

    def test_what_git_checked_out_may_be_read_by_all(self, path: pathlib.Path, backend: VaultFile, one: Kept) -> None:
        backend.put(one)
        path.chmod(0o755)
        (path / HOST).chmod(0o755)
        for each in (path / HOST).iterdir():
            each.chmod(0o644)
        backend.put(kept(a_version(HOST)))
        assert backend.fetch(entry_of(backend, one)) == one

    def test_one_of_somebody_else_is_refused(
        self, path: pathlib.Path, backend: VaultFile, one: Kept, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(os, "geteuid", lambda: path.stat().st_uid + 1)  # only root may give a directory away
        with pytest.raises(BackendFailed, match=f"{path} belongs to user {path.stat().st_uid}"):
            backend.put(one)

    def test_a_file_is_refused(self, path: pathlib.Path, backend: VaultFile, one: Kept) -> None:
        path.rmdir()
        path.write_text("")
        with pytest.raises(BackendFailed, match="Not a directory"):
            backend.put(one)

    @pytest.mark.parametrize(
        ("kind", "told"), [("pipe", "no regular file"), ("link", "symbolic link"), ("huge", "larger")]
    )
    def test_a_segment_that_is_no_file_is_told(
        self, path: pathlib.Path, backend: VaultFile, one: Kept, kind: str, told: str
    ) -> None:
        segment = pathlib.Path(backend.put(one))
        if kind == "huge":
            os.truncate(segment, 2**20)
        else:
            segment.rename(segment.with_name("moved"))
            os.mkfifo(segment) if kind == "pipe" else segment.symlink_to("moved")
        with pytest.raises(BackendFailed, match=told):
            backend.fetch(fresh(one.version))

    def test_a_host_without_a_possible_directory_is_refused(self, backend: VaultFile) -> None:
        with pytest.raises(BackendFailed, match="File name too long"):
            backend.put(kept(a_version("h" * 256)))

    def test_it_may_be_unsafe_on_this_controller(self, path: pathlib.Path, backend: VaultFile, one: Kept) -> None:
        """Reading is no danger: keys that came by git may unlock hosts from anywhere."""
        entry = fresh(one.version)
        backend.put(one)
        here = VaultFile(str(path), vaulted(), Controller("local"))
        calls: tuple[t.Callable[[], object], ...] = (
            here.find_out,
            lambda: here.put(kept(a_version(HOST))),
            lambda: here.advance(entry, "active"),
            lambda: here.bind(entry, a_binding()),
            lambda: here.destroy(entry),
        )
        for call in calls:
            with pytest.raises(BackendFailed, match="allow_local: true"):
                call()
        assert here.fetch(*here.entries(HOST)) == one
        assert names(path) == [SEGMENT, f"{NAME}.json"]


class TestRoom:
    def test_a_write_that_is_cut_short_leaves_nothing(self, path: pathlib.Path, backend: VaultFile, one: Kept) -> None:
        """The kernel writes what fits, then says no, as on a full disk."""
        before = resource.getrlimit(resource.RLIMIT_FSIZE), signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (700, before[0][1]))
        try:
            with pytest.raises(BackendFailed, match="File too large"):
                backend.put(one)
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, before[0])
            signal.signal(signal.SIGXFSZ, before[1])
        assert os.listdir(path / HOST) == []

    @pytest.mark.parametrize(
        ("space", "problem"),
        [
            ((4096, 4096, 1000, 10, 10, 100, 10, 10, 0, 255), "full"),
            ((4096, 4096, 1000, 900, 900, 100, 3, 3, 0, 255), "full"),
            ((4096, 4096, 1000, 900, 900, 0, 0, 0, 0, 255), None),
        ],
        ids=["no blocks", "no inodes", "a file system that counts no inodes"],
    )
    def test_a_full_disk_is_found_out(
        self, backend: VaultFile, monkeypatch: pytest.MonkeyPatch, space: tuple[int, ...], problem: str | None
    ) -> None:
        monkeypatch.setattr(os, "statvfs", lambda _path: os.statvfs_result(space))
        if problem is None:
            backend.find_out()
            return
        with pytest.raises(BackendFailed, match=problem):
            backend.find_out()

    def test_a_directory_that_may_not_be_written_to_is_found_out(
        self, path: pathlib.Path, backend: VaultFile, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(os, "access", lambda _path, mode: not mode & os.W_OK)  # root may write anywhere
        with pytest.raises(BackendFailed, match="may not be written to"):
            backend.find_out()


class TestTwoControllers:
    def test_processes_at_once_lose_nothing(self, path: pathlib.Path, backend: VaultFile) -> None:
        versions = [kept(a_version(HOST)) for _number in range(9)]
        shares = [versions[number:6:2] + versions[6:] for number in range(2)]
        # Not forked: threads of other tests may still be there.
        with multiprocessing.get_context("spawn").Pool(2) as pool:
            pool.starmap_async(put_all, [(path, share) for share in shares]).get(timeout=300)
        assert {backend.fetch(entry) for entry in backend.entries(HOST)} == set(versions)
        assert {(entry.state, entry.faults) for entry in backend.entries(HOST)} == {("active", ())}
        assert len([name for name in names(path) if name.endswith(".vault")]) == len(versions)

    def test_a_renamed_directory_is_followed(self, path: pathlib.Path, backend: VaultFile, one: Kept) -> None:
        """As where a person follows a host's new name by git mv."""
        backend.put(one)
        (path / HOST).rename(path / "db1")
        assert backend.entries(HOST) == ()
        (entry,) = backend.entries("db1")
        assert entry.version == one.version
        assert backend.fetch(entry) == one
        backend.advance(entry, "active")
        assert not (path / HOST).exists()
        backend.destroy(entry)
        assert list(backend.entries("db1")) == []

    def test_what_was_destroyed_is_not_brought_back(self, path: pathlib.Path, backend: VaultFile, one: Kept) -> None:
        segment = pathlib.Path(backend.put(one))
        content = segment.read_bytes()
        backend.destroy(fresh(one.version))
        assert not segment.exists()
        segment.write_bytes(content)  # as by copying a backup over it
        assert backend.entries(HOST) == []
        with pytest.raises(BackendFailed, match="destroyed"):
            backend.put(one)
        with pytest.raises(BackendFailed, match="destroyed"):
            backend.fetch(fresh(one.version))
        backend.destroy(fresh(one.version))
        assert not segment.exists()


class TestOptions:
    """From what a task says to the backend."""

    @pytest.fixture
    def around(self, tmp_path: pathlib.Path) -> Surroundings:
        loader = DataLoader()
        loader.set_basedir(str(tmp_path))
        secrets = [("default", VaultSecret(PASSWORD)), ("escrow", VaultSecret(b"another password"))]
        loader.set_vault_secrets(secrets)  # type: ignore[arg-type]
        return Surroundings(loader, HOST, "ssh")

    def test_the_path_is_relative_to_the_play(self, path: pathlib.Path, around: Surroundings, one: Kept) -> None:
        (made,) = backends_from([{"type": "vault_file", "path": "keys", "allow_local": True}], around)
        assert made.name == f"vault_file {path}"
        assert made.put(one) == str(path / HOST / SEGMENT)

    def test_an_identity_may_be_chosen(self, path: pathlib.Path, around: Surroundings, one: Kept) -> None:
        options = {"type": "vault_file", "path": "keys", "allow_local": True, "vault_id": "escrow"}
        (made,) = backends_from([options], around)
        segment = pathlib.Path(made.put(one)).read_bytes()
        assert segment.startswith(b"$ANSIBLE_VAULT;1.2;AES256;escrow\n")

    @pytest.mark.parametrize("secrets", [None, [], [("other", VaultSecret(PASSWORD))]])
    def test_without_a_vault_secret_nothing_begins(
        self, around: Surroundings, secrets: list[tuple[str, VaultSecret]] | None
    ) -> None:
        around.loader.set_vault_secrets(secrets)  # type: ignore[arg-type]
        with pytest.raises(Refused, match="--vault-id default@FILE"):
            backends_from([{"type": "vault_file", "path": "keys"}], around)

    def test_a_local_connection_has_to_be_allowed(self, path: pathlib.Path, around: Surroundings, one: Kept) -> None:
        local = dataclasses.replace(around, transport="local")
        (refused,) = backends_from([{"type": "vault_file", "path": "keys"}], local)
        with pytest.raises(BackendFailed, match="allow_local: true"):
            refused.put(one)
        (allowed,) = backends_from([{"type": "vault_file", "path": "keys", "allow_local": "yes"}], local)
        allowed.put(one)

    def test_a_path_has_to_be_said(self, around: Surroundings) -> None:
        with pytest.raises(Refused, match="path"):
            backends_from([{"type": "vault_file"}], around)
