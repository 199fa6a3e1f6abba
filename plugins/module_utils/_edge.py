# Copyright: zfsfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The edge to Ansible: the only file here that imports it. Observe, plan, apply, report.

Private to the collection.
"""

from __future__ import annotations

import typing as t
from dataclasses import dataclass

from ansible.module_utils.basic import AnsibleModule

from . import _arguments, _lock
from ._errors import EncryptionError, Refused, unforeseen
from ._model import Pool
from ._openzfs import OpenZFS
from ._plan import Failure, Observed, Outcome, Plan
from ._step import Step

if t.TYPE_CHECKING:
    from ._host import Host

Params = t.Mapping[str, t.Any]

_TOLD = 5
_MANY = 50  # secrets; the search for fewer takes no time


class Wanted(t.Protocol):
    """What a task asks for; it knows the pools that it touches."""

    @property
    def pools(self) -> tuple[str, ...]: ...


W = t.TypeVar("W", bound=Wanted)
S = t.TypeVar("S", bound=Observed)


@dataclass(frozen=True)
class Spec:
    """An argument spec with the rules that belong to it."""

    arguments: t.Mapping[str, t.Any]
    mutually_exclusive: t.Sequence[t.Sequence[str]] = ()
    required_one_of: t.Sequence[t.Sequence[str]] = ()

    def module(self) -> AnsibleModule:
        return AnsibleModule(
            argument_spec=dict(self.arguments),
            mutually_exclusive=list(self.mutually_exclusive),
            required_one_of=list(self.required_one_of),
            supports_check_mode=True,
        )


@dataclass(frozen=True)
class Stage(t.Generic[W, S]):
    """Observing and planning. A module with a second stage observes again what the first one did.

    Args:
        observe: reads the host.
        plan: decides, without reading or changing anything.
    """

    observe: t.Callable[[W, Host, t.Mapping[str, Pool]], S]
    plan: t.Callable[[W, S], Plan]


def run_changing(spec: Spec, wanted: t.Callable[[Params], W], *stages: Stage[W, t.Any]) -> None:
    """Run a module that changes a host.

    Args:
        spec: its arguments.
        wanted: reads the parameters.
        stages: carried out in order, as long as nothing fails.
    """
    module = spec.module()

    def work() -> dict[str, t.Any]:
        _refuse_controllers_options(module.params)
        want = wanted(module.params)
        host = OpenZFS()
        results: list[tuple[Plan, Outcome]] = []
        for stage in stages:
            if not any(outcome.failures for _plan, outcome in results):
                run = _foreseen if module.check_mode else _done
                results.append(_reported(run, stage, want, host) if results else run(stage, want, host))
        return _result(results, host.remarks)

    _finish(module, work, refused=_result(()))


def _reported(run: t.Callable[..., tuple[Plan, Outcome]], *args: t.Any) -> tuple[Plan, Outcome]:
    """Run a later stage; its refusal must not hide what was changed before it."""
    try:
        return run(*args)
    except EncryptionError as error:
        outcome = Outcome()
        outcome.fail(args[1].pools[0] if args[1].pools else "pool", error)
        return Plan(), outcome


def _foreseen(stage: Stage[W, t.Any], want: W, host: Host) -> tuple[Plan, Outcome]:
    planned = stage.plan(want, stage.observe(want, host, host.pools()))
    if not planned.groups and not planned.protections:
        return planned, _nothing_done(planned)
    from ._carry_out import foresee

    return planned, foresee(planned)


def _done(stage: Stage[W, t.Any], want: W, host: Host) -> tuple[Plan, Outcome]:
    """Carry a stage out under the locks of its pools; one that is not there yet is locked by its name.

    A request that names no pool, only a GUID, holds up all of them.
    """
    pools = host.pools()
    names = want.pools or tuple(pools)
    with _lock.hold(pools.get(name, Pool(name, f"name-{name}")) for name in names):
        before, pools = pools, host.pools()
        for name in names:
            if pools.get(name) != before.get(name):
                raise Refused(f"Pool {name} came, went or was replaced while this run waited for it. Run again.")
        planned = stage.plan(want, stage.observe(want, host, pools))
        if planned.missing:
            raise Refused(" ".join([*planned.missing, *_why_missing(host)]))
        if not planned.groups and not planned.to_stay_locked and not planned.protections:
            return planned, _nothing_done(planned)
        # What changes a host is imported when something is to be changed: most runs find all as it should be.
        from ._carry_out import carry_out
        from ._proof import prove_locked

        return prove_locked(planned, carry_out(planned, host), host)


def _why_missing(host: Host) -> t.Iterator[str]:
    """Say why all pools are missing on a bare host, which check mode takes for one without pools."""
    if not host.binding().openzfs:
        yield "OpenZFS is not installed on it, or its commands are not found."


def _nothing_done(planned: Plan) -> Outcome:
    return Outcome(failures=dict(planned.failures))


def run_reading(spec: Spec, *, report: t.Callable[[Params, Host], dict[str, t.Any]]) -> None:
    """Run a module that only looks."""
    module = spec.module()

    def work() -> dict[str, t.Any]:
        _refuse_controllers_options(module.params)
        return {"changed": False, **report(module.params, OpenZFS())}

    _finish(module, work)


def run_on_the_controller(spec: Spec) -> None:
    """Refuse to run a module on a host that its action plugin does not send there."""
    module = spec.module()

    def work() -> dict[str, t.Any]:
        raise Refused(
            "This module works on the controller, by its action plugin, with the places for keys that escrow names. "
            "Give escrow, and call the module by its full name."
        )

    _finish(module, work)


def _refuse_controllers_options(params: Params) -> None:
    """Refuse what an action plugin should have resolved: without it the task would silently do something else."""
    given = [option for option in _arguments.escrow() if params.get(option) is not None]
    if given:
        raise Refused(
            f"{' and '.join(given)} came to the host, where nothing knows of escrow: the action plugin resolves it on "
            "the controller. Call the module by its full name."
        )


def _finish(
    module: AnsibleModule, work: t.Callable[[], dict[str, t.Any]], *, refused: t.Mapping[str, t.Any] | None = None
) -> None:
    """Leave the module with its result; no traceback reaches a person, and no unforeseen text that could hold a key.

    Args:
        module: to be left.
        work: returns the result.
        refused: what there is to report of a request that was refused as a whole.
    """
    failure: str | None = None
    result: dict[str, t.Any] = {}
    try:
        result = work()
    except EncryptionError as error:
        failure, result = str(error), dict(refused or {})
    except Exception as error:  # noqa: BLE001  # everything ends here: a person gets a sentence
        failure = unforeseen(error)
    result = _unmasked_if_clean(module, result, failure)
    for warning in result.pop("warnings", ()):
        module.warn(warning)
    if failure is None and result.get("failures"):
        failure = _told([detail["msg"] for detail in result["failures"].values()])
    if failure is not None:
        module.fail_json(msg=failure, **{"changed": False, **result})
    module.exit_json(**result)


def _told(sentences: t.Sequence[str]) -> str:
    """Tell the first failures whole; a line of a thousand is read by nobody."""
    more = len(sentences) - _TOLD
    rest = [f"And {more} more failed: failures has all of them."] if more > 0 else []
    return " ".join([*sentences[:_TOLD], *rest])


def _unmasked_if_clean(module: AnsibleModule, result: dict[str, t.Any], failure: str | None) -> dict[str, t.Any]:
    """Spare core its search for thousands of keys in a result that holds none; what the task said is left out of it."""
    secrets = module.no_log_values
    if len(secrets) < _MANY:
        return result
    from ._masking import mentions

    if mentions([result, failure], secrets):
        return result
    module.no_log_values = set()
    return {**result, "invocation": {}}


def _result(results: t.Sequence[tuple[Plan, Outcome]], remarks: t.Sequence[str] = ()) -> dict[str, t.Any]:
    """Report all stages as one; what check mode had to assume counts as changed."""
    plans, outcomes = [result[0] for result in results], [result[1] for result in results]
    done = [step for outcome in outcomes for step in outcome.done]
    changes = [step for step in done if step.before != step.after]
    assumed = list(dict.fromkeys(sentence for plan in plans for sentence in plan.missing))
    failures = {name: _failure(failure) for outcome in outcomes for name, failure in outcome.failures.items()}
    result: dict[str, t.Any] = {
        "changed": bool(changes or assumed),
        "unlocked": _standing(changes, ("load_key",), ("unload_key", "close")),
        "locked": _standing(changes, ("unload_key", "close"), ("load_key",)),
        "already": [name for plan in plans for name in plan.already],
        "mounted": _standing(changes, ("mount",), ("unmount",)),
        "failures": failures,
        "actions": [_action(step) for step in changes],
        "diff": _diff(changes),
    }
    moved = {step.before["in_the_way"]: step.after["in_the_way"] for step in done if step.action == "move_aside"}
    if moved:
        result["moved_aside"] = moved
    for plan in plans:
        result.update(plan.details)
    if failures and "exported" in result:
        result["exported"] = []  # a manifest is written whole or not at all
    warnings = [warning for plan in plans for warning in plan.warnings]
    warnings += remarks
    warnings += [f"{sentence} In check mode this counts as a change." for sentence in assumed]
    return {**result, "warnings": warnings} if warnings else result


def _standing(changes: t.Sequence[Step], actions: tuple[str, ...], opposite: tuple[str, ...]) -> list[str]:
    """Return the datasets that some kinds of steps took out of the opposite state, and that stayed so."""
    first: dict[str, bool] = {}
    last: dict[str, bool] = {}
    for step in changes:
        if step.action in (*actions, *opposite):
            first.setdefault(step.dataset, step.action in actions)
            last[step.dataset] = step.action in actions
    return [name for name, stands in last.items() if stands and first[name]]


def _failure(failure: Failure) -> dict[str, t.Any]:
    found: dict[str, t.Any] = {"reason": failure.reason, "msg": failure.msg, "skipped": list(failure.skipped)}
    return found if failure.errno is None else {**found, "errno": failure.errno}


def _action(step: Step) -> dict[str, t.Any]:
    where = "path" if step.dataset.startswith("/") else "dataset"  # a manifest is written, too
    return {where: step.dataset, "action": step.action, "after": dict(step.after)}


def _diff(changes: t.Sequence[Step]) -> dict[str, t.Any]:
    """Render what changes, by dataset; steps hold no secrets."""
    before: dict[str, dict[str, str]] = {}
    after: dict[str, dict[str, str]] = {}
    for step in changes:
        before[step.dataset] = {**step.before, **before.get(step.dataset, {})}
        after.setdefault(step.dataset, {}).update(step.after)
    return {"before": before, "after": after}
