# Copyright: zfsfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A task and how it has to end."""

from __future__ import annotations

import re
import typing as t
from dataclasses import dataclass, field

from ansible_collections.zfsfleet.encryption.tests.leaks.cast import Options

Task = dict[str, t.Any]

FORESEEN: Task = {"check_mode": True, "diff": True}
VERDICT = "All that had to be refused was"


@dataclass(frozen=True)
class Case:
    """A task and how it has to end.

    Attributes:
        refused: words of the sentence that it has to fail with.
        sampled: a part of the short scan.
    """

    module: str
    options: Options
    refused: str | None = None
    sampled: bool = False
    keywords: Task = field(default_factory=dict)


def case(module: str, options: Options, *, refused: str | None = None, **keywords: t.Any) -> Case:
    return Case(module, options, refused, keywords=keywords)


def sampled(module: str, options: Options, *, refused: str | None = None, **keywords: t.Any) -> Case:
    return Case(module, options, refused, sampled=True, keywords=keywords)


def tasks(cases: t.Sequence[Case]) -> list[Task]:
    """Return the cases as tasks; one that has to be refused lets the next one run."""
    return [
        {
            "name": _title(number, one),
            f"zfsfleet.encryption.{one.module}": one.options,
            "register": f"it{number}",
            # Unlike failed_when, it shows the failure as a user sees it.
            **({} if one.refused is None else {"ignore_errors": True}),
            **one.keywords,
        }
        for number, one in enumerate(cases)
    ]


def verdict(cases: t.Sequence[Case]) -> Task:
    """Return a task that fails and names the cases that were not refused as they should be."""
    others = [
        f"({_title(number, one)!r} if not ({_is_refused(number, one.refused)}) else none)"
        for number, one in enumerate(cases)
        if one.refused is not None
    ]
    return {
        "name": VERDICT,
        "ansible.builtin.debug": {"msg": "{{ others }}"},
        "vars": {"others": f"{{{{ [{', '.join(others)}] | select }}}}"},
        "failed_when": "others | length > 0",
    }


def _is_refused(number: int, words: str) -> str:
    return f"it{number} is failed and {words!r} in it{number}.msg | split | join(' ')"


def blamed(output: str) -> list[str] | None:
    """Return the cases that the verdict names in what Ansible printed, None if it did not get that far."""
    _before, reached, after = output.partition(f"TASK [{VERDICT}]")
    return list(dict.fromkeys(re.findall(r"\d+, \w+, refused", after))) if reached else None


def _title(number: int, one: Case) -> str:
    return f"{number}, {one.module}, {'refused' if one.refused else 'done'}"
