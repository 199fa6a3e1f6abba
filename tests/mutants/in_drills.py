# Copyright: zfsfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What can go wrong when it is judged whether what is in escrow opens what is there: mostly, that all seems well."""

from __future__ import annotations

from .fault import Fault

_PLAN = "plugin_utils/_plan_drill.py"
_TESTS = ("test_plan_drill", "test_key_drill")

DRILLS = (
    Fault(
        "a drill does not tell of a key that was not tried",
        "Somebody sets another key, or gives data up, whose key is in the place that was down.",
        _PLAN,
        "    if doubts:\n",
        "    if False:\n",
        _TESTS,
    ),
    Fault(
        "a drill takes a place that is down for empty",
        "Somebody gives data up whose key is in that place.",
        _PLAN,
        "    return [*unknown, *unread, *down]\n",
        "    return [*unknown, *unread]\n",
        _TESTS,
    ),
    Fault(
        "a drill passes over a place that is down",
        "Nobody learns that half of the copies were not looked at.",
        _PLAN,
        "    found = [_unreadable(name) for name in drilled.places if name not in drilled.readable]\n",
        "    found = []\n",
        _TESTS,
    ),
    Fault(
        "a drill finds nothing in an old key that opens",
        "A key that somebody may know is back in use, and nobody learns of it.",
        _PLAN,
        '    if held.state != "deactivated":\n        return None\n',
        "    return None\n",
        _TESTS,
    ),
    Fault(
        "a drill believes escrow instead of the dataset",
        "Somebody changed the key beside the collection, and nobody learns of it.",
        _PLAN,
        "    if root.noted in {str(each.key_id) for each in drilled.wrong(root)}:\n",
        "    if False:\n",
        _TESTS,
    ),
    Fault(
        "a drill takes its own unfinished run for somebody else",
        "People hunt for an intruder who is not there.",
        _PLAN,
        '    if held.state == "pre-active":\n        return None  #',
        '    if held.state == "none":\n        return None  #',
        _TESTS,
    ),
    Fault(
        "a drill compares salts of other copies",
        "Every replica is said to have been tampered with.",
        _PLAN,
        "if each.copy == (root.pool_guid, root.name)]\n",
        "if each.copy]\n",
        _TESTS,
    ),
    Fault(
        "a drill does not tell of copies that are not given back",
        "A key is in one place only, and nobody learns of it.",
        _PLAN,
        '        ("unread", _unread(root, held, drilled)),\n',
        "",
        _TESTS,
    ),
    Fault(
        "a drill reads what differs and tells nothing",
        "The place that is read first gives another key when it is needed.",
        _PLAN,
        "        if key_id in drilled.disagreements:\n",
        "        if key_id not in drilled.disagreements:\n",
        _TESTS,
    ),
    Fault(
        "a drill calls keys of other pools orphans",
        "Somebody destroys the key of a pool that is only exported.",
        _PLAN,
        "        if guids and guids <= set(seen.pools.values()):\n",
        "        if guids:\n",
        _TESTS,
    ),
    Fault(
        "a drill calls what was renamed an orphan",
        "Somebody destroys a key that is in use.",
        _PLAN,
        "or keyguids & _keyguids(held):\n",
        "or held.entry.version.dataset in seen.roots:\n",
        _TESTS,
    ),
    Fault(
        "a drill finds replicas to have each other's keys",
        "People rotate keys that are one by nature, and break replication.",
        _PLAN,
        "if each.identity != user.identity})\n",
        "if each is not user})\n",
        _TESTS,
    ),
    Fault(
        "a drill fails on nothing",
        "A scheduler reports that all is well.",
        "plugin_utils/_drilling.py",
        "    failing = [each for each in findings if each.finding in fail_on]\n",
        "    failing = [each for each in findings if not each.finding]\n",
        ("test_key_drill",),
    ),
    Fault(
        "a drill looks at what is named only",
        "What was renamed out of it is called an orphan, and its key is destroyed.",
        "plugin_utils/_drilling.py",
        "    known = trial.known(list(chosen.roots), (), {})\n",
        "    known = trial.known(list(chosen.roots), choice.pools, {})\n",
        ("test_key_drill",),
    ),
)
