# Copyright: zfsfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What can go wrong while keys are replaced, when old ones are destroyed, and with what is written down of it."""

from __future__ import annotations

from .fault import Fault

ROTATION = (
    Fault(
        "what escrow calls active is believed",
        "A root that somebody else re-keyed is taken for one that can be opened.",
        "plugin_utils/_plan_escrow.py",
        "ids = (known_as for known_as in self.seen.opened_by(root) if known_as in self.held)",
        "ids = (known_as for known_as in self.held)",
        ("test_rotating", "test_plan_escrow"),
    ),
    Fault(
        "a rotation that was begun is given up",
        "Every run that dies leaves a key behind, and the next one makes another.",
        "plugin_utils/_plan_rotation.py",
        "if is_begun(each, held) and fits and not _is_old(each, policy):",
        "if not fits and not _is_old(each, policy):",
        ("test_rotating", "test_dying_controller"),
    ),
    Fault(
        "what was begun stays begun",
        "A key that never opened anything waits for ever, and some later run sets it.",
        "plugin_utils/_fitting.py",
        '_USED = ("active", "pre-active")',
        '_USED = ("active",)',
        ("test_rotating",),
    ),
    Fault(
        "a root keeps its key",
        "A rotation reports a new key id for the key that somebody knows.",
        "plugin_utils/_providing.py",
        "keeps_key = current is not None and not wish.renew and _fits(current, decision)",
        "keeps_key = current is not None and _fits(current, decision)",
        ("test_rotating",),
    ),
    Fault(
        "replicas are passed over",
        "A replica needs a key that the retention destroys some day.",
        "plugin_utils/_plan_rotation.py",
        "if copies and not policy.keeps_replicas:",
        "if copies and policy.keeps_replicas:",
        ("test_rotating",),
    ),
    Fault(
        "a checkpoint is passed over",
        "Rewinding brings back keys that nobody expects.",
        "plugin_utils/_plan_rotation.py",
        "if not policy.keeps_checkpoint:",
        "if policy.keeps_checkpoint:",
        ("test_rotating",),
    ),
    Fault(
        "a root goes back to a key that somebody knows",
        "A roll-back undoes the answer to a leak.",
        "plugin_utils/_plan_rotation.py",
        'if then.state == "compromised":',
        'if then.state == "destroyed":',
        ("test_rotating",),
    ),
    Fault(
        "a key that a server hands out is replaced",
        "The next boot fetches the old one.",
        "plugin_utils/_plan_rotation.py",
        'if root.location != "prompt" and root.key_file is None:',
        'if root.location == "" and root.key_file is None:',
        ("test_rotating",),
    ),
    Fault(
        "versions follow the clock",
        "After a clock was put back the old version counts as the newer one.",
        "plugin_utils/_record.py",
        "    if moment > latest:\n",
        "    if moment:\n",
        ("test_rotating",),
    ),
    Fault(
        "a key file is written over",
        "A power cut leaves a file with one key and a root with another.",
        "module_utils/_keyfiles.py",
        'return os.path.join(directory, f"{stem}.{version}.key")',
        "return path",
        ("test_rotating",),
    ),
    Fault(
        "the file of another root is removed",
        "The host does not boot any more.",
        "plugin_utils/_rotating.py",
        "if os.path.normpath(path) not in in_use]",
        "if path]",
        ("test_rotating",),
    ),
    Fault(
        "a rotation that was given up comes back",
        "A key that somebody replaced on purpose is set again.",
        "plugin_utils/_plan_escrow.py",
        'each.state == "pre-active" and age(each) > age(held)',
        'each.state == "pre-active"',
        ("test_rotating",),
    ),
)

RETIREMENT = (
    Fault(
        "a checkpoint is passed over by those who destroy",
        "Rewinding brings back a key that is nowhere any more.",
        "plugin_utils/_plan_retirement.py",
        "    if rewindable:\n",
        "    if not own:\n",
        ("test_retiring",),
    ),
    Fault(
        "roots that nothing is meant for are passed over",
        "A child that was sent by itself has its root's key, and cannot be opened any more.",
        "plugin_utils/_retiring.py",
        "if known.opener(root.name) is None]",
        "if not root.name]",
        ("test_retiring",),
    ),
    Fault(
        "what opens a root is destroyed",
        "The data are lost.",
        "plugin_utils/_plan_retirement.py",
        "    if opened:\n",
        "    if not likely:\n",
        ("test_retiring",),
    ),
    Fault(
        "what could not be tried is destroyed",
        "A disk that answers late costs the key.",
        "plugin_utils/_plan_retirement.py",
        "    if untried:\n",
        "    if not seen:\n",
        ("test_retiring",),
    ),
    Fault(
        "copies that cannot be seen are passed over",
        "The replica on the shelf cannot be opened any more.",
        "plugin_utils/_plan_retirement.py",
        "if unseen and not retention.is_unseen_gone:",
        "if unseen and retention.is_unseen_gone:",
        ("test_retiring",),
    ),
    Fault(
        "the last key is destroyed",
        "Nothing that opens the root is left, once it comes back.",
        "plugin_utils/_plan_retirement.py",
        "return Judged(held) if proven else",
        "return Judged(held) if proven or held else",
        ("test_retiring",),
    ),
    Fault(
        "the newest replaced keys are destroyed first",
        "What is kept of a root's keys is what nobody needs.",
        "plugin_utils/_plan_retirement.py",
        "key=lambda held: held.entry.since, reverse=True)",
        "key=lambda held: held.entry.since)",
        ("test_retiring",),
    ),
)

EVIDENCE = (
    Fault(
        "lines stand for themselves",
        "Whoever takes a line out is not found.",
        "plugin_utils/_evidence.py",
        "previous = _START if last is None else _digest(last)",
        "previous = _START",
        ("test_evidence",),
    ),
    Fault(
        "two runs write at once",
        "Their lines break the chain.",
        "plugin_utils/_evidence.py",
        "fcntl.LOCK_EX | fcntl.LOCK_NB",
        "fcntl.LOCK_SH | fcntl.LOCK_NB",
        ("test_evidence",),
    ),
    Fault(
        "what is only foretold is written down",
        "The evidence tells of what never happened.",
        "plugin_utils/_secret_action.py",
        "if not directory or self._task.check_mode:",
        "if not directory:",
        ("test_evidence",),
    ),
    Fault(
        "a torn line swallows the next one",
        "What was done after a crash cannot be read.",
        "plugin_utils/_evidence.py",
        'if not content.endswith(b"\\n"):',
        "if not content:",
        ("test_evidence",),
    ),
)
