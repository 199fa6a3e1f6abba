# Copyright: zfsfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What runs inside the machine: does what each line of its standard input says, and answers with a line.

It remembers nothing, since the machine's power may be cut at any time: whoever asks says all.
"""

from __future__ import annotations

import json
import sys
import typing as t

from . import pool, warm
from .trace import as_rows
from .works import MODULE, work_named

Request = t.Mapping[str, t.Any]


def _make_pool(_request: Request) -> None:
    pool.make_pool()


def _import_pool(_request: Request) -> None:
    pool.import_pool()


def _make(request: Request) -> t.Any:
    return pool.make(work_named(request["work"]), request["keys"])


def _prepare(request: Request) -> None:
    pool.prepare(work_named(request["work"]))


def _trace(request: Request) -> t.Any:
    work = work_named(request["work"])
    ended = warm.traced(MODULE, request["arguments"], has_pyzfs=work.has_pyzfs)
    assert ended.trace is not None
    return {"result": ended.result, "window": as_rows(ended.trace.window)}


def _kill(request: Request) -> t.Any:
    work = work_named(request["work"])
    name, number = request["at"]
    ended = warm.traced(MODULE, request["arguments"], has_pyzfs=work.has_pyzfs, kill_at=(name, number))
    assert ended.trace is not None
    last = ended.trace.calls[-1] if ended.trace.calls else None
    return {
        "status": ended.status,
        "is_in_flight": ended.trace.is_in_flight,
        "last": None if last is None else [last.name, last.number, last.kind],
        "output": ended.output[:1000],
    }


def _change(request: Request) -> t.Any:
    """Change keys with all threads; say when the first one is being changed."""
    ended = warm.watched(MODULE, request["arguments"], "ZFS_IOC_CHANGE_KEY", lambda: _say("changing"))
    return ended.result


def _say(answer: t.Any) -> None:
    print(json.dumps({"answer": answer}), flush=True)


def _run(request: Request) -> t.Any:
    work = work_named(request["work"])
    return warm.run(MODULE, request["arguments"], has_pyzfs=work.has_pyzfs).result


def _find_keys(request: Request) -> t.Any:
    return pool.find_keys(work_named(request["work"]), request["candidates"])


def _reopen(request: Request) -> None:
    pool.reopen(work_named(request["work"]), request["keys"], request["contents"])


DOES: t.Mapping[str, t.Callable[[Request], t.Any]] = {
    "make_pool": _make_pool,
    "import_pool": _import_pool,
    "make": _make,
    "prepare": _prepare,
    "trace": _trace,
    "kill": _kill,
    "change": _change,
    "run": _run,
    "find_keys": _find_keys,
    "reopen": _reopen,
}


def main() -> None:
    _say("ready")
    for line in sys.stdin:
        request = json.loads(line)
        try:
            _say(DOES[request["do"]](request))
        except pool.Trouble as trouble:
            print(json.dumps({"trouble": str(trouble)}), flush=True)


if __name__ == "__main__":
    main()
