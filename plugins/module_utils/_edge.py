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

from . import _lock
from ._errors import EncryptionError, Refused, unforeseen
from ._host import Host
from ._manifest_file import WriteManifest
from ._model import Pool
from ._openzfs import OpenZFS
from ._plan import Failure, Observed, Outcome, Plan, carry_out, foresee
from ._steps import LoadKey, Mount, Step, UnloadKey, Unmount

Params = t.Mapping[str, t.Any]


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


def run_changing(
    spec: Spec,
    *,
    wanted: t.Callable[[Params], W],
    observe: t.Callable[[W, Host, t.Mapping[str, Pool]], S],
    plan: t.Callable[[W, S], Plan],
) -> None:
    """Run a module that changes a host.

    Args:
        spec: its arguments.
        wanted: reads the parameters.
        observe: reads the host.
        plan: decides, without reading or changing anything.
    """
    module = spec.module()

    def work() -> dict[str, t.Any]:
        want = wanted(module.params)
        host = OpenZFS()
        pools = host.pools()
        if module.check_mode:
            planned = plan(want, observe(want, host, pools))
            return _result(planned, foresee(planned), assumed=planned.missing)
        with _lock.hold(pools[name] for name in want.pools if name in pools):
            planned = plan(want, observe(want, host, pools))
            if planned.missing:
                raise Refused(" ".join(planned.missing))
            return _result(planned, carry_out(planned, host))

    _finish(module, work)


def run_reading(spec: Spec, *, report: t.Callable[[Params, Host], dict[str, t.Any]]) -> None:
    """Run a module that only looks."""
    module = spec.module()
    _finish(module, lambda: {"changed": False, **report(module.params, OpenZFS())})


def _finish(module: AnsibleModule, work: t.Callable[[], dict[str, t.Any]]) -> None:
    """Leave the module with its result; no traceback reaches a person, and no unforeseen text that could hold a key."""
    failure: str | None = None
    result: dict[str, t.Any] = {}
    try:
        result = work()
    except EncryptionError as error:
        failure = str(error)
    except Exception as error:  # noqa: BLE001  # everything ends here: a person gets a sentence
        failure = unforeseen(error)
    for warning in result.pop("warnings", ()):
        module.warn(warning)
    if failure is None and result.get("failures"):
        failure = " ".join(detail["msg"] for detail in result["failures"].values())
    if failure is not None:
        module.fail_json(msg=failure, **{"changed": False, **result})
    module.exit_json(**result)


def _result(plan: Plan, outcome: Outcome, assumed: t.Sequence[str] = ()) -> dict[str, t.Any]:
    changes = [step for step in outcome.done if step.before != step.after]
    result: dict[str, t.Any] = {
        "changed": bool(changes or assumed),
        "unlocked": _standing(outcome.done, LoadKey, UnloadKey),
        "locked": _standing(outcome.done, UnloadKey, LoadKey),
        "already": list(plan.already),
        "mounted": _standing(outcome.done, Mount, Unmount),
        "failures": {name: _failure(failure) for name, failure in outcome.failures.items()},
        "actions": [_action(step) for step in changes],
        "diff": _diff(changes),
        **plan.details,
    }
    warnings = [*plan.warnings, *(f"{sentence} In check mode this counts as a change." for sentence in assumed)]
    return {**result, "warnings": warnings} if warnings else result


def _standing(done: t.Sequence[Step], step_type: type, opposite: type) -> list[str]:
    """Return the datasets that one kind of step took out of the opposite state, and that stayed so."""
    first: dict[str, type] = {}
    last: dict[str, type] = {}
    for step in done:
        if isinstance(step, (step_type, opposite)):
            first.setdefault(step.dataset, type(step))
            last[step.dataset] = type(step)
    return [name for name, kind in last.items() if kind is step_type and first[name] is step_type]


def _failure(failure: Failure) -> dict[str, t.Any]:
    found: dict[str, t.Any] = {"reason": failure.reason, "msg": failure.msg, "skipped": list(failure.skipped)}
    return found if failure.errno is None else {**found, "errno": failure.errno}


def _action(step: Step) -> dict[str, t.Any]:
    where = "path" if isinstance(step, WriteManifest) else "dataset"
    return {where: step.dataset, "action": step.action, "after": dict(step.after)}


def _diff(changes: t.Sequence[Step]) -> dict[str, t.Any]:
    """Render what changes, by dataset; steps hold no secrets."""
    before: dict[str, dict[str, str]] = {}
    after: dict[str, dict[str, str]] = {}
    for step in changes:
        before[step.dataset] = {**step.before, **before.get(step.dataset, {})}
        after.setdefault(step.dataset, {}).update(step.after)
    return {"before": before, "after": after}
