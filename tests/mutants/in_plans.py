# Copyright: zfsfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What can go wrong where it is decided what is done to a dataset."""

from __future__ import annotations

from .fault import Fault

CHANGES = (
    Fault(
        "a key is changed without proof of the present one",
        "Replicas and streams need a key that nobody kept.",
        "module_utils/_plan_key.py",
        'if current is None or observed.verdict(root.name, current).outcome != "opens":',
        "if current is None and entry.current is not None:",
        ("test_plan_dataset", "test_any_tree"),
    ),
    Fault(
        "a key is changed though it only did not fit",
        "A misspelled key in an inventory becomes the key.",
        "module_utils/_plan_key.py",
        "    if not entry.change:",
        "    if entry.change is None:",
        ("test_plan_dataset",),
    ),
    Fault(
        "a new key is not proven",
        "A change that went wrong is noticed at the next boot.",
        "module_utils/_steps.py",
        "            self._prove(host, key)\n",
        "",
        ("test_modules",),
    ),
    Fault(
        "a key in doubt is unloaded",
        "The last way to the data is closed.",
        "module_utils/_carry_out.py",
        "        if group.name in self._in_doubt:\n            return False\n",
        "",
        ("test_carry_out", "test_modules"),
    ),
    Fault(
        "a key is changed above what another key wraps",
        "The kernel panics and the pool hangs.",
        "module_utils/_hierarchy.py",
        "if differs or member.name in unreadable:",
        "if differs and member.name in unreadable:",
        ("test_plan_dataset", "test_modules"),
    ),
    Fault(
        "a key is changed while a replica is received",
        "The next increment does not fit.",
        "module_utils/_hierarchy.py",
        'if member.value("receive_resume_token") != "-":',
        'if member.value("receive_resume_token") == "":',
        ("test_plan_dataset",),
    ),
    Fault(
        "a locked root stays unlocked after its key was changed",
        "Rotation unlocks a host.",
        "module_utils/_plan_key.py",
        "*proofs, change, UnloadKey(root.name))",
        "*proofs, change)",
        ("test_plan_dataset", "test_modules"),
    ),
    Fault(
        "a clone gets a key of its own",
        "The kernel refuses it half-way through a batch.",
        "module_utils/_plan_key.py",
        '    if dataset.is_clone:\n        raise Refused(\n            f"{entry.name} is a clone',
        '    if dataset.is_volume and dataset.is_clone:\n        raise Refused(\n            f"{entry.name} is a clone',
        ("test_plan_dataset", "test_any_tree"),
    ),
)

HIERARCHY = (
    Fault(
        "a key may lie below a passphrase",
        "TrueNAS cannot open what was made.",
        "module_utils/_hierarchy.py",
        'if not entry.keeps_truenas_hierarchy or entry.new_keyformat == "passphrase":\n        return\n    above',
        'if entry.keeps_truenas_hierarchy or entry.new_keyformat == "passphrase":\n        return\n    above',
        ("test_plan_dataset",),
    ),
    Fault(
        "a passphrase may lie above a key",
        "One forgotten passphrase locks away datasets whose keys are at hand.",
        "module_utils/_hierarchy.py",
        "    keyed = _keyed_roots_below(dataset, tree)\n    if keyed:",
        "    keyed = _keyed_roots_below(dataset, tree)\n    if not keyed:",
        ("test_plan_dataset",),
    ),
    Fault(
        "a plain dataset may lie below an encrypted one",
        "Data is readable while the tree above it is locked.",
        "module_utils/_hierarchy.py",
        "        if above.is_encrypted:\n",
        "        if above.is_volume:\n",
        ("test_plan_dataset",),
    ),
    Fault(
        "on is another cipher than aes-256-gcm",
        "Every second run is refused.",
        "module_utils/_properties.py",
        '("aes-256-gcm" if wanted == "on" else wanted) == observed',
        "wanted == observed",
        ("test_properties", "test_plan_dataset"),
    ),
    Fault(
        "a volume is shrunk",
        "Data is cut off.",
        "module_utils/_plan_dataset.py",
        "        if size < now:\n",
        "        if size < 0:\n",
        ("test_plan_dataset",),
    ),
    Fault(
        "a property that cannot change is passed over",
        "The task says ok and the dataset is not as asked for.",
        "module_utils/_plan_dataset.py",
        "if not _properties.is_same(prop, entry.properties[prop], dataset.value(prop)):",
        "if _properties.is_same(prop, entry.properties[prop], None):",
        ("test_plan_dataset",),
    ),
    Fault(
        "a dataset is destroyed without force_destroy",
        "A state in an inventory deletes data.",
        "module_utils/_plan_dataset.py",
        "    if not entry.force_destroy:\n",
        "    if entry.force_destroy is None:\n",
        ("test_plan_dataset",),
    ),
    Fault(
        "a dataset above others is destroyed",
        "The call fails after a part of the batch is gone.",
        "module_utils/_plan_dataset.py",
        "below = [child.name for child in tree.below(entry.name)]",
        "below = [child.name for child in tree.below(entry.name) if child.is_volume]",
        ("test_plan_dataset",),
    ),
)
