# Copyright: zfsfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Directories of keys go apart and come together again, in any order: nothing is lost and nothing goes back."""

from __future__ import annotations

import filecmp
import os
import pathlib
import shutil
import subprocess
import typing as t
from contextlib import ExitStack
from dataclasses import dataclass, field

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, initialize, invariant, multiple, rule

from ansible_collections.zfsfleet.encryption.plugins.plugin_utils._backend import BackendFailed
from ansible_collections.zfsfleet.encryption.plugins.plugin_utils._record import (
    STATES,
    Binding,
    Kept,
    KeyId,
    State,
    furthest,
)
from ansible_collections.zfsfleet.encryption.plugins.plugin_utils._vault_file import VaultFile
from ansible_collections.zfsfleet.encryption.tests.escrow.dying import BINDING
from ansible_collections.zfsfleet.encryption.tests.escrow.place import a_binding, a_version, fresh, kept
from ansible_collections.zfsfleet.encryption.tests.escrow.vault_file import quick_directory, vaulted

HOSTS = ("web1", "büro/2")
CLONES = ("ours", "theirs")


@dataclass
class Expected:
    """What one clone should hold.

    Args:
        kept: all versions that ever came to it.
        states: how far each is there.
        bindings: of each.
    """

    kept: dict[KeyId, Kept] = field(default_factory=dict)
    states: dict[KeyId, State] = field(default_factory=dict)
    bindings: dict[KeyId, set[Binding]] = field(default_factory=dict)

    def take(self, other: Expected) -> None:
        for key_id, one in other.kept.items():
            self.kept[key_id] = one
            self.states[key_id] = furthest((other.states[key_id], self.states.get(key_id, "pre-active")))
            self.bindings.setdefault(key_id, set()).update(other.bindings[key_id])


class Forks(RuleBasedStateMachine):
    """Two clones, written by controllers that do not know of each other, and united by copying files."""

    versions: Bundle[Kept] = Bundle("versions")

    def __init__(self) -> None:
        super().__init__()
        self._opened = ExitStack()
        directory = self._opened.enter_context(quick_directory())
        self._paths = {name: directory / name for name in CLONES}
        for path in self._paths.values():
            path.mkdir(mode=0o700)
        self._expected = {name: Expected() for name in CLONES}

    def teardown(self) -> None:
        self._opened.close()

    def _backend(self, clone: str) -> VaultFile:
        return VaultFile(str(self._paths[clone]), vaulted())

    @initialize(target=versions)
    def begin(self) -> t.Any:
        return multiple(*(self._put(clone, kept(a_version(HOSTS[0]))) for clone in CLONES))

    @rule(target=versions, clone=st.sampled_from(CLONES), host=st.sampled_from(HOSTS), passphrase=st.booleans())
    def put(self, clone: str, host: str, passphrase: bool) -> Kept:
        return self._put(clone, kept(a_version(host, keyformat="passphrase" if passphrase else "raw")))

    def _put(self, clone: str, one: Kept) -> Kept:
        self._backend(clone).put(one)
        self._note(clone, one)
        return one

    def _note(self, clone: str, one: Kept) -> None:
        alone = Expected({one.version.key_id: one}, {one.version.key_id: "pre-active"}, {one.version.key_id: set()})
        self._expected[clone].take(alone)

    @rule(clone=st.sampled_from(CLONES), one=versions)
    def put_again(self, clone: str, one: Kept) -> None:
        if self._expected[clone].states.get(one.version.key_id) == "destroyed":
            with pytest.raises(BackendFailed):
                self._backend(clone).put(one)
        else:
            self._put(clone, one)

    @rule(clone=st.sampled_from(CLONES), one=versions, state=st.sampled_from(STATES[:-1]))
    def advance(self, clone: str, one: Kept, state: State) -> None:
        expected, key_id = self._expected[clone], one.version.key_id
        if key_id not in expected.kept:
            with pytest.raises(BackendFailed):
                self._backend(clone).advance(fresh(one.version), state)
            return
        self._backend(clone).advance(fresh(one.version), state)
        expected.states[key_id] = furthest((expected.states[key_id], state))

    @rule(clone=st.sampled_from(CLONES), one=versions)
    def bind(self, clone: str, one: Kept) -> None:
        expected, key_id = self._expected[clone], one.version.key_id
        if key_id in expected.kept:
            binding = a_binding()
            self._backend(clone).bind(fresh(one.version), binding)
            expected.bindings[key_id].add(binding)

    @rule(clone=st.sampled_from(CLONES), one=versions)
    def destroy(self, clone: str, one: Kept) -> None:
        self._backend(clone).destroy(fresh(one.version))
        if one.version.key_id in self._expected[clone].kept:
            self._expected[clone].states[one.version.key_id] = "destroyed"

    @rule(clone=st.sampled_from(CLONES))
    def unite(self, clone: str) -> None:
        """Copy what the other clone has; a name that is in both holds the same, or what ansible-vault salted anew."""
        (other,) = set(CLONES) - {clone}
        source, target = self._paths[other], self._paths[clone]
        for path in source.rglob("*.*"):
            copy = target / path.relative_to(source)
            copy.parent.mkdir(mode=0o700, exist_ok=True)
            if copy.exists():
                assert path.suffix == ".vault" or filecmp.cmp(path, copy, shallow=False)
            elif path.is_file():
                shutil.copy(path, copy)
        self._expected[clone].take(self._expected[other])

    @rule(clone=st.sampled_from(CLONES))
    def leave_what_a_killed_run_leaves(self, clone: str) -> None:
        for host in self._paths[clone].iterdir():
            (host / ".0123456789abcdef.new").write_bytes(b"$ANSIBLE_VAULT;1.1;AES")

    @invariant()
    def nothing_is_lost(self) -> None:
        for clone, expected in self._expected.items():
            backend = self._backend(clone)
            found = [entry for host in HOSTS for entry in backend.entries(host)]
            left = {key_id for key_id, state in expected.states.items() if state != "destroyed"}
            assert sorted(str(entry.key_id) for entry in found) == sorted(map(str, left))
            for entry in found:
                one = expected.kept[entry.key_id]
                assert (entry.version, entry.faults) == (one.version, ())
                assert entry.state == expected.states[entry.key_id]
                assert set(entry.bindings) == expected.bindings[entry.key_id]
                assert backend.fetch(entry) == one


Forks.TestCase.settings = settings(max_examples=12, stateful_step_count=20, deadline=None)
TestForks = Forks.TestCase


class Repository:
    """A clone of a git repository of keys.

    Args:
        path: where it lies.
        source: what it is cloned from, None for the first one.
    """

    def __init__(self, path: pathlib.Path, source: pathlib.Path | None = None) -> None:
        self.path = path
        path.mkdir(mode=0o700)
        if source is None:
            self.git("init", "--quiet", "--initial-branch=main", ".")
        else:
            self.git("clone", "--quiet", str(source), ".")
            (path / HOSTS[0]).chmod(0o755)  # whatever the umask is
        self.backend = VaultFile(str(path), vaulted())

    def git(self, *arguments: str) -> None:
        identity = ("-c", "user.name=Test", "-c", "user.email=test@example.org", "-c", "commit.gpgsign=false")
        # No repository of the surroundings, and no hooks of the user.
        environment = {"PATH": os.environ["PATH"], "HOME": str(self.path), "GIT_CONFIG_NOSYSTEM": "1"}
        argv = ("git", *identity, *arguments)
        subprocess.run(argv, check=True, cwd=self.path, env=environment, stdin=subprocess.DEVNULL, timeout=120)

    def commit(self) -> None:
        self.git("add", "--all")
        self.git("commit", "--quiet", "--message=Keys")

    def merge(self, other: Repository) -> None:
        self.git("pull", "--quiet", "--no-rebase", str(other.path), "main")


def test_git_merges_without_conflicts_and_without_loss(tmp_path: pathlib.Path) -> None:
    ours = Repository(tmp_path / "ours")
    shared, rotated, doomed = (kept(a_version(HOSTS[0])) for _number in range(3))
    for one in (shared, rotated, doomed):
        ours.backend.put(one)
    ours.commit()
    theirs = Repository(tmp_path / "theirs", ours.path)

    new = {}
    for clone in (ours, theirs):
        new[clone.path] = kept(a_version(HOSTS[0]))
        clone.backend.put(new[clone.path])
        clone.backend.advance(fresh(shared.version), "active")
        clone.backend.bind(fresh(shared.version), BINDING)
        clone.backend.bind(fresh(shared.version), a_binding())
    ours.backend.advance(fresh(rotated.version), "active")
    theirs.backend.advance(fresh(rotated.version), "deactivated")
    theirs.backend.destroy(fresh(doomed.version))
    for clone in (ours, theirs):
        clone.commit()
    ours.merge(theirs)
    theirs.merge(ours)

    for clone in (ours, theirs):
        entries = {entry.key_id: entry for entry in clone.backend.entries(HOSTS[0])}
        states = {str(key_id): entry.state for key_id, entry in entries.items()}
        assert states == {
            str(shared.version.key_id): "active",
            str(rotated.version.key_id): "deactivated",
            **{str(one.version.key_id): "pre-active" for one in new.values()},
        }
        assert len(entries[shared.version.key_id].bindings) == 3
        assert {clone.backend.fetch(entry) for entry in entries.values()} == {shared, rotated, *new.values()}
