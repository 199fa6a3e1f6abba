# Copyright: zfsfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What can go wrong where keys are kept in files."""

from __future__ import annotations

from .fault import Fault

WRITING = (
    Fault(
        "a segment is not synchronised",
        "After a power cut the only copy of a key in use is an empty file.",
        "plugin_utils/_directory.py",
        "                left = left[os.write(descriptor, left) :]\n            os.fsync(descriptor)\n",
        "                left = left[os.write(descriptor, left) :]\n",
        ("test_vault_file_power",),
    ),
    Fault(
        "a new name is not synchronised",
        "After a power cut a key in use is not listed anywhere.",
        "plugin_utils/_directory.py",
        "                os.unlink(temporary, dir_fd=self._descriptor)\n        self.sync()\n",
        "                os.unlink(temporary, dir_fd=self._descriptor)\n",
        ("test_vault_file_power",),
    ),
    Fault(
        "a host's new directory is not synchronised",
        "After a power cut all keys of a new host are gone.",
        "plugin_utils/_directory.py",
        "            os.mkdir(name, DIRECTORY_MODE, dir_fd=self._descriptor)\n        self.sync()\n",
        "            os.mkdir(name, DIRECTORY_MODE, dir_fd=self._descriptor)\n",
        ("test_vault_file_power",),
    ),
    Fault(
        "a file that is there is replaced",
        "A copy of a key is lost.",
        "plugin_utils/_directory.py",
        "os.link(temporary, name, src_dir_fd=self._descriptor, dst_dir_fd=self._descriptor, follow_symlinks=False)",
        "os.rename(temporary, name, src_dir_fd=self._descriptor, dst_dir_fd=self._descriptor)",
        ("test_vault_file", "test_vault_file_ends"),
    ),
    Fault(
        "a segment is written under its own name",
        "A run that is killed leaves a torn segment in the way of the next.",
        "plugin_utils/_directory.py",
        '        temporary = f".{secrets.token_hex(8)}{_TEMPORARY}"\n',
        "        temporary = name\n",
        ("test_vault_file_ends",),
    ),
    Fault(
        "the description is written first",
        "A run that is killed leaves a key that is said to be lost.",
        "plugin_utils/_host_keys.py",
        "        self._refuse_destroyed(version.key_id)\n        if not",
        "        self._directory.write(_segment.about_name(version), b'')\n        if not",
        ("test_vault_file_ends", "test_vault_file"),
    ),
    Fault(
        "another key of the same id is taken for the same",
        "A key that is nowhere kept is used.",
        "plugin_utils/_host_keys.py",
        "        if self.kept(version.key_id) != kept:\n",
        "        if self.kept(version.key_id).version != kept.version:\n",
        ("test_backends",),
    ),
    Fault(
        "temporary files of living runs are swept",
        "Two runs at once fail at random.",
        "plugin_utils/_directory.py",
        "time.time() - written > _ABANDONED",
        "time.time() - written > -1",
        ("test_vault_file",),
    ),
)

READING = (
    Fault(
        "a state goes back",
        "A deactivated key is used again.",
        "plugin_utils/_record.py",
        "    return max(states, key=STATES.index)",
        "    return list(states)[-1]",
        ("test_backends", "test_vault_file_forks"),
    ),
    Fault(
        "a version without a readable description is passed over",
        "A second key is made for a root that has one.",
        "plugin_utils/_host_keys.py",
        "for key_id, files in self._files.items() if _reached(files)",
        "for key_id, files in self._files.items() if files.abouts and _reached(files)",
        ("test_vault_file_ends", "test_vault_file"),
    ),
    Fault(
        "a lost segment is not told",
        "Nobody restores it while there is a backup.",
        "plugin_utils/_host_keys.py",
        "        if not files.segments:\n",
        "        if not files.abouts:\n",
        ("test_vault_file",),
    ),
    Fault(
        "a torn binding is believed",
        "Where a key is used is told wrong.",
        "plugin_utils/_segment.py",
        '    if not name.endswith(f".{digest_of(content)}"):',
        "    if not name:",
        ("test_vault_file",),
    ),
    Fault(
        "a plain file is believed against the segment",
        "Who may write to the repository swaps keys.",
        "plugin_utils/_vault_file.py",
        "        if entry.version != kept.version and entry.version.created:\n",
        "        if entry.version.key_id != kept.version.key_id:\n",
        ("test_vault_file",),
    ),
    Fault(
        "a key that was destroyed comes back",
        "A backup that is copied over brings back what was compromised.",
        "plugin_utils/_host_keys.py",
        '        self.note(version, "destroyed")\n',
        "",
        ("test_vault_file", "test_vault_file_forks"),
    ),
    Fault(
        "hidden directories are taken for hosts",
        "The directory of git is read for keys.",
        "plugin_utils/_directory.py",
        'if not name.startswith("."))',
        'if name != "..")',
        ("test_vault_file",),
    ),
)

REFUSALS = (
    Fault(
        "a mistyped vault password is taken",
        "Keys are encrypted so that nobody opens them.",
        "plugin_utils/_vault_file.py",
        "        if tried:\n",
        "        if tried > _SAMPLES:\n",
        ("test_vault_file",),
    ),
    Fault(
        "a vault password of another identity will do",
        "New keys are encrypted with a mistyped password.",
        "plugin_utils/_vaulted.py",
        "            VaultLib([(self._vault_id, self._secret)]).decrypt(stored)",
        "            self._vault.decrypt(stored)",
        ("test_vault_file",),
    ),
    Fault(
        "a path that does not last is taken",
        "The keys of a whole fleet go with a container.",
        "plugin_utils/_controller.py",
        "    if mount.kind in _LAYERS or (controller.is_container and",
        "    if (controller.is_container and",
        ("test_controller",),
    ),
    Fault(
        "a local connection is taken",
        "Keys lie beside the data that they open.",
        "plugin_utils/_controller.py",
        '    if controller.transport.rpartition(".")[2] in _HERE:',
        "    if controller.transport in _HERE[1:]:",
        ("test_controller", "test_vault_file"),
    ),
    Fault(
        "the innermost mount is not found",
        "A directory in memory is taken for one on a disk.",
        "plugin_utils/_controller.py",
        "    return max(reversed(above), key=lambda mount: len(mount.directory), default=None)",
        "    return above[0] if above else None",
        ("test_controller",),
    ),
    Fault(
        "a directory of others is taken",
        "Others take keys away, or read them.",
        "plugin_utils/_directory.py",
        "        _refuse_shared(path, os.fstat(descriptor))\n",
        "        pass\n",
        ("test_vault_file",),
    ),
)
