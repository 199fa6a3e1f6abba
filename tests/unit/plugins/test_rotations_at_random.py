# Copyright: zfsfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Rotations at random: runs that die anywhere, places that fail, people beside them, and clocks that jump.

Whatever happens, every root is opened by a key that is in escrow, and the next quiet run finishes what was begun.
"""

from __future__ import annotations

import datetime as dt
import typing as t

import pytest
from hypothesis import HealthCheck, event, given, settings
from hypothesis import strategies as st

from ansible_collections.zfsfleet.encryption.plugins.module_utils._keys import Key
from ansible_collections.zfsfleet.encryption.plugins.plugin_utils import _record
from ansible_collections.zfsfleet.encryption.plugins.plugin_utils._backend import BackendFailed

from .acting import Controller
from .clocks import Clock

TWO: list[dict[str, t.Any]] = [{"type": "memory", "name": "one"}, {"type": "memory", "name": "two"}]
TREE: list[dict[str, t.Any]] = [
    {"name": "tank/a"},
    {"name": "tank/a/child", "state": "inherited"},
    {"name": "tank/a/b", "keyformat": "raw", "key_file": "/etc/zfs/b.key"},
    {"name": "tank/w", "keyformat": "passphrase", "pbkdf2iters": 100_000},
]
ROOTS = ("tank/a", "tank/a/b", "tank/w")
HAPPENINGS = (
    *("rotate", "dies", "dies", "back", "given", "format"),
    *("place fails", "retire", "retirement dies", "clock", "person"),
)
CALLS = ("entries", "find_out", "put", "fetch", "bind", "advance", "destroy")


@st.composite
def happenings(draw: st.DrawFn) -> tuple[str, t.Any]:
    kind = draw(st.sampled_from(HAPPENINGS))
    argument: t.Any = None
    if kind in ("dies", "back", "retirement dies"):
        argument = draw(st.integers(0, 60))
    elif kind == "place fails":
        argument = draw(st.sampled_from(("one", "two"))), draw(st.sampled_from(CALLS))
    elif kind == "clock":
        argument = draw(st.integers(-400, 400))
    elif kind in ("person", "given"):
        argument = draw(st.sampled_from(ROOTS))
    elif kind == "format":
        argument = draw(st.sampled_from(("hex", "raw")))
    return kind, argument


def rotate(controller: Controller, **options: t.Any) -> dict[str, t.Any]:
    due: dict[str, t.Any] = {} if options else {"max_age_days": 0}
    return controller.act("zfs_key_rotate", name="tank", recursive=True, escrow=TWO, **due, **options)


def key_in_escrow(controller: Controller, dataset: str) -> Key | None:
    """Return the key in any place that opens a root."""
    root = controller.host.dataset(dataset)
    assert root is not None
    keys = {kept.key: None for drawer in controller.drawers.values() for kept in drawer.keys.values()}
    opening = (key for key in keys if key.fits(root.keyformat) and controller.host.verify(root, key).outcome == "opens")
    return next(opening, None)


def happen(controller: Controller, kind: str, argument: t.Any, moments: t.Sequence[str]) -> None:
    happens: dict[str, t.Callable[[], t.Any]] = {
        "rotate": lambda: rotate(controller),
        "format": lambda: rotate(controller, keyformat=argument, hierarchy="openzfs"),
        "back": lambda: rotate(controller, back_to=moments[argument % len(moments)]),
        "given": lambda: rotate(controller, new_keys=[{"name": argument, **another_key(controller, argument)}]),
        "dies": lambda: dies(controller, lambda: rotate(controller), argument),
        "place fails": lambda: a_place_fails(controller, *argument),
        "retire": lambda: retire(controller),
        "retirement dies": lambda: dies(controller, lambda: retire(controller), argument),
        "clock": lambda: Clock.shift(argument),
        "person": lambda: change_and_take_in(controller, argument),
    }
    happens[kind]()


def a_place_fails(controller: Controller, name: str, call: str) -> None:
    controller.drawer(name).failing[call] = BackendFailed(f"{name} does not {call}.")
    rotate(controller)
    controller.drawer(name).failing.clear()


def retire(controller: Controller) -> None:
    controller.act("zfs_key_retire", retain_days=0, retain_versions=0, escrow=TWO)


def dies(controller: Controller, run: t.Callable[[], t.Any], number: int) -> None:
    if controller.dies(number, run):
        event("a run died")


def another_key(controller: Controller, dataset: str) -> dict[str, str]:
    """Return a key that the root never had, as a task says it: one that comes back is warned of."""
    root = controller.host.dataset(dataset)
    assert root is not None
    number = 1000 * len(controller.calls) + len(controller.drawer("one").entries_by_id)
    if root.keyformat == "passphrase":
        return {"passphrase": f"a person's passphrase {number}"}
    return {"key": f"{number:064x}"}


def change_and_take_in(controller: Controller, dataset: str) -> None:
    """Do as a person who sets a key by hand, is refused by the next rotation, and then has the key taken in."""
    old = key_in_escrow(controller, dataset)
    root = controller.host.dataset(dataset)
    assert old is not None
    assert root is not None
    new = another_key(controller, dataset)
    current = {kind: old.secret.decode() if kind == "passphrase" else old.secret.hex() for kind in new}
    entry: dict[str, t.Any] = {"name": dataset, **new, "update_key": "always", "current": current}
    changed = controller.act("zfs_dataset_key", hierarchy="openzfs", **entry)
    assert not changed.get("failed"), changed["msg"]
    if key_in_escrow(controller, dataset) is None:
        assert rotate(controller)["failed"]
        assert key_in_escrow(controller, dataset) is None
    taken = controller.act("zfs_key_escrow", name=dataset, secrets=[{"name": dataset, **new}], escrow=TWO)
    assert not taken.get("failed"), taken["msg"]


@given(st.lists(happenings(), min_size=2, max_size=6))
@settings(max_examples=12, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_every_root_opens_with_a_key_in_escrow_whatever_happens(
    controller: Controller, monkeypatch: pytest.MonkeyPatch, story: list[tuple[str, t.Any]]
) -> None:
    monkeypatch.setattr(_record, "datetime", Clock)
    monkeypatch.setattr(Clock, "offset", dt.timedelta())
    moments: list[str] = []
    controller.forget()
    made = controller.act("zfs_dataset_key", datasets=TREE, escrow=TWO)
    assert not made.get("failed"), made["msg"]
    for kind, argument in story:
        event(kind)
        moments.append(_record.now())
        happen(controller, kind, argument, moments)
        for dataset in ROOTS:
            assert key_in_escrow(controller, dataset) is not None, (kind, argument, dataset)
    minted = {key_id for drawer in controller.drawers.values() for key_id in drawer.keys}
    quiet = controller.act("zfs_key_rotate", name="tank", recursive=True, max_age_days=36500, escrow=TWO)
    assert not quiet.get("failed"), quiet["msg"]
    assert {key_id for drawer in controller.drawers.values() for key_id in drawer.keys} <= minted
    for drawer in controller.drawers.values():
        assert "pre-active" not in [entry.state for entry in drawer.entries_by_id.values()]
    again = controller.act("zfs_key_rotate", name="tank", recursive=True, max_age_days=36500, escrow=TWO)
    assert (again["changed"], again["rotated"]) == (False, [])
    assert all("a clock was ahead" in warning for warning in again.get("warnings", []))
