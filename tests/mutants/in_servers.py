# Copyright: zfsfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What can go wrong with keys that servers keep."""

from __future__ import annotations

from .fault import Fault

OPENBAO = (
    Fault(
        "a key in OpenBao is written over",
        "A key that opens something is gone as soon as another gets its id.",
        "plugin_utils/_openbao_secrets.py",
        "path, content, cas=0, mount_point",
        "path, content, mount_point",
        ("test_openbao",),
    ),
    Fault(
        "a mount that deletes by itself is taken",
        "Some day all keys are gone.",
        "plugin_utils/_openbao_secrets.py",
        '        if metadata.get("deletion_time"):\n            raise BackendFailed(\n',
        "        if not metadata:\n            raise BackendFailed(\n",
        ("test_openbao",),
    ),
    Fault(
        "what a mount is going to delete is taken by the next run",
        "Some day all keys are gone.",
        "plugin_utils/_openbao_secrets.py",
        '        self._refuse_passing(kept.version, stored["metadata"])\n',
        "",
        ("test_openbao",),
    ),
    Fault(
        "the newest content of a secret is read",
        "Whoever writes on top of a key decides what opens the data.",
        "plugin_utils/_openbao_secrets.py",
        "path, version=_FIRST, mount_point",
        "path, mount_point",
        ("test_openbao",),
    ),
    Fault(
        "metadata are believed",
        "Whoever may note states decides what a key is for.",
        "plugin_utils/_openbao.py",
        "if entry.version != kept.version and entry.version.created:",
        "if entry.version.key_id != kept.version.key_id:",
        ("test_openbao",),
    ),
    Fault(
        "a missing mount counts as an empty one",
        "A second key is minted for what has one.",
        "plugin_utils/_openbao_connection.py",
        "hvac.exceptions.InvalidPath) and not error.errors:",
        "hvac.exceptions.InvalidPath):",
        ("test_openbao",),
    ),
    Fault(
        "the environment has a say",
        "Keys travel through a proxy that nobody chose.",
        "plugin_utils/_openbao_connection.py",
        "session.trust_env = False",
        "session.trust_env = True",
        ("test_openbao",),
    ),
    Fault(
        "the words of the server are quoted with our secrets",
        "A token stands in a log.",
        "plugin_utils/_openbao_connection.py",
        'words = words.replace(secret, "...")',
        "continue",
        ("test_openbao",),
    ),
)

KMIP = (
    Fault(
        "the name in the server's certificate is not looked at",
        "Keys go to any server that has some certificate of the same authority.",
        "plugin_utils/_strict_kmip.py",
        "context.minimum_version = ssl.TLSVersion.TLSv1_2",
        "context.check_hostname = False",
        ("test_kmip",),
    ),
    Fault(
        "the home directory has a say",
        "A run depends on who starts it.",
        "plugin_utils/_strict_kmip.py",
        'nothing = {"config_file": os.devnull}',
        "nothing = {}",
        ("test_kmip",),
    ),
    Fault(
        "of two keys of one id one is chosen",
        "A copy that disagrees is never noticed.",
        "plugin_utils/_kmip.py",
        "if any(each != found[0] for each in found):",
        "if not found:",
        ("test_kmip",),
    ),
    Fault(
        "a lost answer is taken for a refusal",
        "The same key is put again and again.",
        "plugin_utils/_kmip.py",
        "self._listed.discard(version.host)",
        "pass",
        ("test_kmip",),
    ),
    Fault(
        "what a destroyed key opened stays noted",
        "The server fills with notes of what is gone.",
        "plugin_utils/_kmip.py",
        'if there is not None and there.what == "binding"',
        'if there is not None and there.what == "note"',
        ("test_kmip",),
    ),
)
