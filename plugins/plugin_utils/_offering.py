# Copyright: zfsfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Offering what escrow has to a module that takes keys: unlocking, locking, exporting, importing a pool.

Nothing is written into escrow here: keys are offered, and the module tries them. Private to the collection.
"""

from __future__ import annotations

import typing as t

from ..module_utils._choice import Choice
from ..module_utils._names import is_below
from ._seen import Root
from ._trial import Result, Trial, text

Options = t.Mapping[str, t.Any]


class Offering:
    """What escrow has for a host, offered to one module.

    Args:
        module: its name.
        options: what the task says, but for ``escrow``.
        trial: the host, and what is in escrow for it.
    """

    def __init__(self, module: str, options: Options, trial: Trial) -> None:
        self._module = module
        self._options = options
        self._trial = trial
        self._offered: list[dict[str, t.Any]] = []

    def run(self, pools: t.Collection[str], is_asked: t.Callable[[Root], bool]) -> Result:
        """Run the module with what escrow has for the roots of these pools that are asked for.

        What a host's own records do not open is looked for among those of others, since a replica has its source's key.

        Raises:
            HostFailed: the host could not be looked at.
        """
        seen = self._trial.look(pools, {})
        roots = [root for root in seen.roots.values() if is_asked(root)]
        self._offer(roots, self._trial.for_roots(roots))
        result = self._trial.ask(self._module, self._arguments())
        failed = [seen.roots[name] for name in _not_opened(result) if name in seen.roots]
        if failed and self._offer(failed, self._trial.of_other_hosts(failed)):
            result = joined(result, self._trial.ask(self._module, self._arguments()))
        return self._told(result)

    def import_pool(self, name: str | None, guid: str | None, *, check: bool) -> Result:
        """Run a module that imports a pool; what is in it is to be seen, and unlocked, only then.

        Raises:
            HostFailed: the host could not be looked at.
        """
        pools = self._imported(name, guid)
        if pools:
            return self.run(pools, lambda _root: True)
        first = self._trial.ask(self._module, self._arguments())
        if first.get("failed") or check:
            return self._told(first)
        pools = self._imported(name, guid)
        return joined(first, self.run(pools, lambda _root: True)) if pools else self._told(first)

    def _imported(self, name: str | None, guid: str | None) -> list[str]:
        seen = self._trial.look(() if name is None else (name,), {})
        return [pool for pool, its_guid in seen.pools.items() if pool == name or its_guid == guid]

    def _offer(self, roots: t.Iterable[Root], versions: t.Mapping[str, t.Sequence[t.Any]]) -> bool:
        """Add keys to what is offered; tell whether there are any that were not offered before."""
        entries = [
            {"name": root.name, **text(key)}
            for root in roots
            for _known_as, key in self._trial.candidates(versions.get(root.name, ()))
        ]
        new = [entry for number, entry in enumerate(entries) if entry not in (*self._offered, *entries[:number])]
        self._offered += new
        return bool(new)

    def _arguments(self) -> dict[str, t.Any]:
        secrets = [*(self._options.get("secrets") or ()), *self._offered]
        return {**self._options, "secrets": secrets} if secrets else dict(self._options)

    def _told(self, result: Result) -> Result:
        problems = self._trial.escrow.problems
        result = _explained(result, is_whole=not problems)
        warnings = [*result.get("warnings", ()), *self._trial.disagreements.values(), *problems]
        return {**result, "warnings": list(dict.fromkeys(warnings))} if warnings else result


def chosen_by(choice: Choice) -> t.Callable[[Root], bool]:
    """Return what tells whether a root is among those that a task names, or all below them."""
    return lambda root: choice.covers(root.name)


def with_those_above(choice: Choice) -> t.Callable[[Root], bool]:
    """Return the same with the roots that the named datasets may inherit from."""
    is_chosen = chosen_by(choice)
    return lambda root: is_chosen(root) or any(is_below(name, root.name) for name in choice.names)


def _not_opened(result: Result) -> list[str]:
    return [name for name, each in (result.get("failures") or {}).items() if each["reason"] in ("wrong_key", "no_key")]


def _explained(result: Result, *, is_whole: bool) -> Result:
    """Say of each root that nothing opened how escrow stands; the module does not know that there is one."""
    failures = dict(result.get("failures") or {})
    msg = str(result.get("msg", ""))
    for name in _not_opened(result):
        said = failures[name]["msg"]
        remark = ""
        if not is_whole:
            remark = " Not all of escrow could be read, and it may have the key; a warning says what is the matter."
        elif failures[name]["reason"] == "no_key":
            remark = " Escrow has none for it."
        failures[name] = {**failures[name], "msg": said + remark}
        msg = msg.replace(said, said + remark, 1)
    return {**result, "failures": failures, "msg": msg} if failures and msg else result


def joined(first: Result, second: Result) -> Result:
    """Return two runs of one module, the second of which did what the first one left, as one."""
    result = dict(second)
    for name in ("unlocked", "locked", "mounted", "actions"):
        before = list(first.get(name, ()))
        result[name] = before + [each for each in second.get(name, ()) if each not in before]
    result["already"] = list(first.get("already", ()))
    result["changed"] = bool(first.get("changed") or second.get("changed"))
    for side in ("before", "after"):
        sides = [dict(each.get("diff", {}).get(side, {})) for each in (first, second)]
        result.setdefault("diff", {})
        result["diff"] = {**result["diff"], side: {**sides[0], **sides[1]}}
    warnings = dict.fromkeys([*first.get("warnings", ()), *second.get("warnings", ())])
    moved = {**first.get("moved_aside", {}), **second.get("moved_aside", {})}
    return {**result, **({"warnings": list(warnings)} if warnings else {}), **({"moved_aside": moved} if moved else {})}
