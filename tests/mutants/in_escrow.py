# Copyright: zfsfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What can go wrong when keys get into escrow, and from one place to another: mostly, that one is in one place only."""

from __future__ import annotations

from .fault import Fault

_ESCROW = "plugin_utils/_escrow.py"
_PROVIDING = "plugin_utils/_providing.py"
_ONE_VERSION = "plugin_utils/_one_version.py"
_MOVING = "plugin_utils/_moving.py"
_PLAN_MOVE = "plugin_utils/_plan_move.py"
_ESCROW_TESTS = ("test_escrow", "test_providing", "test_dying_controller")
_MOVE_TESTS = ("test_key_move",)

KEEPING = (
    Fault(
        "a dataset is made before its key is in escrow",
        "The controller dies, and nobody has the key of what is there.",
        _PROVIDING,
        "        work = [each if each.is_used_already else self._put(each) for each in work]\n"
        "        keys = self._assigned(known, work, [each.known_as for each in work])\n"
        "        result = self._task.run(self._trial.ask, keys, check=False)\n",
        "        keys = self._assigned(known, work, [each.known_as for each in work])\n"
        "        result = self._task.run(self._trial.ask, keys, check=False)\n"
        "        work = [each if each.is_used_already else self._put(each) for each in work]\n",
        ("test_providing", "test_dying_controller"),
    ),
    Fault(
        "a key is not read back",
        "A place that keeps something else is found out when the key is needed.",
        _ESCROW,
        "            read[backend.name] = _read_back(backend, kept)\n",
        "            read[backend.name] = kept\n",
        _ESCROW_TESTS,
    ),
    Fault(
        "what is read back is not compared",
        "A place that keeps something else is found out when the key is needed.",
        _ESCROW,
        "    if read != kept:\n",
        "    if False:\n",
        _ESCROW_TESTS,
    ),
    Fault(
        "a key that is brought to a place that lacks it is not read back",
        "It counts as kept there, and is not.",
        _ESCROW,
        "        backend.put(kept)\n        _read_back(backend, kept)\n",
        "        backend.put(kept)\n",
        (*_ESCROW_TESTS, *_MOVE_TESTS),
    ),
    Fault(
        "a key is used that too few places hold",
        "It is in one place only, and goes with it.",
        _ESCROW,
        "        if len(receipts) < self._require:\n",
        "        if not receipts:\n",
        _ESCROW_TESTS,
    ),
    Fault(
        "one of several places that cannot be opened ends the task",
        "A certificate is missing on a spare controller, and nothing is unlocked, though another place has the keys.",
        "plugin_utils/_backends.py",
        "        if alone:\n            raise\n",
        "        raise\n",
        ("test_unopened",),
    ),
    Fault(
        "the others are not taken in where the host cannot give one key",
        "One root keeps the keys of all others out of escrow.",
        "plugin_utils/_adopting.py",
        "        return _exported(left, offers, export, failures)\n",
        "        return {}\n",
        ("test_key_escrow",),
    ),
    Fault(
        "one place under two names counts as two",
        "Every key is in one place only, and goes with it.",
        _ESCROW,
        "            first = found.setdefault(identity or name, name)\n",
        "            first = found.setdefault(name, name)\n",
        ("test_escrow", "test_on_servers"),
    ),
    Fault(
        "a key counts as active that was not seen to open its root",
        "Somebody relies on a key that opens nothing.",
        _PROVIDING,
        "            if not each.is_used_already and each.known_as not in seen.opened_by(each.dataset):\n",
        "            if False:\n",
        ("test_providing", "test_dying_controller"),
    ),
    Fault(
        "nothing is rehearsed before a key is made",
        "A request that the host refuses leaves a key behind that opens nothing.",
        _PROVIDING,
        "        if not all(each.is_used_already for each in work):\n",
        "        if False:\n",
        ("test_providing",),
    ),
    Fault(
        "copies that differ are not told",
        "One of two keys is used, and nobody learns that the other place has another.",
        _ESCROW,
        "        if len(self.distinct) == 1:\n            return self._other_words\n",
        "        if self.distinct:\n            return self._other_words\n",
        _ESCROW_TESTS,
    ),
    Fault(
        "it is not noted what an active key opens",
        "A key is active, and nothing tells what it opens.",
        _ESCROW,
        "            backend.bind(entry, binding)\n",
        "            pass\n",
        _ESCROW_TESTS,
    ),
)

MOVING = (
    Fault(
        "a source that does not answer is taken for empty",
        "It is given up, with keys that are nowhere else.",
        _MOVING,
        "        if self._source.silent:\n",
        "        if False:\n",
        _MOVE_TESTS,
    ),
    Fault(
        "another key of the same id is passed over",
        "The right one is destroyed in the source, and the wrong one is left.",
        _MOVING,
        "            if there.at:\n                self._refuse_another(kept, there)\n",
        "",
        _MOVE_TESTS,
    ),
    Fault(
        "only present keys are moved",
        "Old copies of the data cannot be opened any more.",
        _PLAN_MOVE,
        "    return tuple(_transfer(held, known.get(held.key_id), names) for held in source)\n",
        "    source = [held for held in source if held.state == 'active']\n"
        "    return tuple(_transfer(held, known.get(held.key_id), names) for held in source)\n",
        _MOVE_TESTS,
    ),
    Fault(
        "a version is destroyed in the source that too few places hold",
        "A key is in one place only, and goes with it.",
        _PLAN_MOVE,
        "    if len(whole) < require:\n",
        "    if not whole:\n",
        _MOVE_TESTS,
    ),
    Fault(
        "a place under two names is cleared",
        "Every key of the host is destroyed.",
        _MOVING,
        "        return any(seen in _bindings(held) for held in self._source.entries(self._host))\n",
        "        return False\n",
        _MOVE_TESTS,
    ),
    Fault(
        "the source is cleared although nothing was proven",
        "Whether the keys were right nobody knows, and they are gone.",
        _MOVING,
        "        if not proven:\n",
        "        if False:\n",
        _MOVE_TESTS,
    ),
    Fault(
        "the source is cleared unasked",
        "Who wanted a second place has one only.",
        _MOVING,
        "        stays = self._clear(done, check=check) if clear and done.kept else None\n",
        "        stays = self._clear(done, check=check) if done.kept else None\n",
        _MOVE_TESTS,
    ),
    Fault(
        "a version is cleared that a place of the source did not give back",
        "What that place has under its id may be the right key, and is gone.",
        _MOVING,
        "why = _unread(done.unread[held.key_id]) or lacking(",
        "why = lacking(",
        _MOVE_TESTS,
    ),
    Fault(
        "a prediction clears the source",
        "Keys are destroyed by a run that was to change nothing.",
        _MOVING,
        "            done.cleared.extend(key_id for key_id in done.kept if not done.unread[key_id])\n"
        "            return None\n",
        "            pass\n",
        _MOVE_TESTS,
    ),
    Fault(
        "states stay behind",
        "A compromised key counts as one that was never used.",
        _MOVING,
        "                self._target.level(there, kept, held.state, *held.entry.bindings)\n",
        "                self._target.level(there, kept, there.state, *held.entry.bindings)\n",
        _MOVE_TESTS,
    ),
)

DESTROYING = (
    Fault(
        "what a root says of its key is not looked at",
        "A root that was renamed before its key was noted counts as lost, and its key as one that nobody needs.",
        "plugin_utils/_fitting.py",
        "        noted = self.noted_on(root)\n",
        "        noted = None\n",
        ("test_providing", "test_key_drill"),
    ),
    Fault(
        "a key is destroyed that a place did not give back",
        "The right key may be there under that id, and is gone.",
        _ONE_VERSION,
        "        if unread:\n",
        "        if False:\n",
        ("test_key_escrow",),
    ),
    Fault(
        "a key counts as destroyed while a place does not answer",
        "Who had to get rid of it believes that it is gone.",
        _ONE_VERSION,
        "        if self._escrow.silent:\n",
        "        if False:\n",
        ("test_key_escrow",),
    ),
    Fault(
        "a key is destroyed without a look at roots that nothing in escrow opens",
        "One of them has that key, and is lost.",
        _ONE_VERSION,
        "        if among_strangers:\n",
        "        if False:\n",
        ("test_key_escrow",),
    ),
    Fault(
        "a key that was lost in one place is not put there again",
        "It is in one place only, for ever.",
        _PROVIDING,
        "            or bool(self._lost(held))\n",
        "",
        ("test_on_servers",),
    ),
)
