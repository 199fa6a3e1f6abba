# Copyright: zfsfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What runs inside the machine: both sides of every row but the playbooks, in turn.

    python3 -m ...tests.benchmark.in_guest ROUNDS N ROW...

Prints one sample a line, in JSON.
"""

from __future__ import annotations

import dataclasses
import json
import subprocess
import sys
import time
import typing as t
from pathlib import Path

from ansible_collections.zfsfleet.encryption.plugins.module_utils._model import OBSERVED_PROPERTIES

from . import pool
from .pool import KEYED, PASSPHRASES, key_file, typed
from .rows import INSIDE, Calls, Profile, Sample, Side

PACKAGE = __package__ or ""
PAYLOADS = Path("/root/benchmark/payloads")
MOST_PASSPHRASES = 50
Result = t.Mapping[str, t.Any]
Parameters = t.Mapping[str, t.Any]


@dataclasses.dataclass(frozen=True)
class Bench:
    """How often and on how much everything is measured, and what is told of it."""

    rounds: int
    n: int
    chosen: frozenset[str]

    def tell(self, row: str, side: Side, seconds: float, profile: Profile | None = None) -> None:
        if row in self.chosen:
            print(json.dumps(dataclasses.asdict(Sample(row, side, seconds, profile))), flush=True)

    def ours(self, row: str, module: str, parameters: Parameters, done: t.Callable[[Result], int], want: int) -> None:
        """Run a module in a process of its own; a run that did not do all of it ends the benchmark.

        Args:
            row: what is measured.
            module: its name.
            parameters: its arguments.
            done: counts in the result what was done.
            want: what it has to count.
        """
        command = [sys.executable, "-m", f"{PACKAGE}.timed", module]
        answer = json.loads(run(command, json.dumps(parameters)))
        _insist(row, answer["result"], done, want)
        found = answer["profile"]
        calls = tuple(Calls(**each) for each in found.pop("calls"))
        profile = Profile(calls=calls, **found)
        self.tell(row, "ours", profile.work, profile)


def run(command: t.Sequence[str], stdin: str) -> str:
    done = subprocess.run(command, input=stdin, capture_output=True, text=True, timeout=pool.SECONDS, check=False)
    if done.returncode != 0:
        raise SystemExit(f"{' '.join(command)}: {done.stdout}{done.stderr}")
    return done.stdout


def _insist(row: str, result: Result, done: t.Callable[[Result], int], want: int) -> None:
    if result.get("failed") or result.get("failures") or done(result) != want:
        raise SystemExit(f"{row}: {result.get('msg', 'not all of it was done')}: {json.dumps(result)[:2000]}")


def _length(name: str) -> t.Callable[[Result], int]:
    return lambda result: len(result[name])


def measure_locking(bench: Bench) -> None:
    tree = {"name": KEYED, "recursive": True}
    for _round in range(bench.rounds):
        bench.tell("lock", "reference", typed(f"zfs unload-key -r {KEYED}"))
        bench.tell("unlock_keys", "reference", typed(f"zfs load-key -r {KEYED}"))
        bench.ours("lock", "zfs_unlock", {**tree, "state": "locked"}, _length("locked"), bench.n)
        _insist_on_keystatus(KEYED, "unavailable", bench.n)
        bench.ours("unlock_keys", "zfs_unlock", {**tree, "mount": False}, _length("unlocked"), bench.n)
        _insist_on_keystatus(KEYED, "available", bench.n)


def _insist_on_keystatus(parent: str, value: str, want: int) -> None:
    """Believe ``zfs``, not the result."""
    if pool.count(parent, "keystatus", value) != want:
        raise SystemExit(f"not all of {parent} is {value}")


def measure_verifying(bench: Bench) -> None:
    loop = [f"zfs load-key -n {name} >/dev/null" for name in pool.names(KEYED, bench.n)]
    for _round in range(bench.rounds):
        bench.tell("verify", "reference", typed(*loop))
        bench.ours("verify", "zfs_encryption_info", {"name": KEYED, "recursive": True}, _valid_keys, bench.n)


def _valid_keys(result: Result) -> int:
    return sum(root["valid_key"] for root in result["summary"])


def measure_changing(bench: Bench) -> None:
    """Every change is to fresh keys in files of their own, and the location moves with the key, on both sides.

    The roots are mounted, as they are where somebody changes keys: what is not is read from first, to prove it sound.
    """
    names = pool.names(KEYED, bench.n)
    pool.zfs("mount", "-a")
    for each in range(bench.rounds):
        theirs, mine = 2 * each + 1, 2 * each + 2
        pool.write_keys(names, theirs)
        pool.write_keys(names, mine)
        loop = [f"zfs change-key -o keylocation=file://{key_file(name, theirs)} {name}" for name in names]
        bench.tell("change", "reference", typed(*loop))
        datasets = [
            {
                "name": name,
                "key_file": str(key_file(name, mine)),
                "current": {"key_file": str(key_file(name, theirs))},
                "update_key": "always",
            }
            for name in names
        ]
        bench.ours("change", "zfs_dataset_key", {"datasets": datasets}, _changed_keys, bench.n)
    for name in names:
        key_file(name).unlink()
        key_file(name, 2 * bench.rounds).rename(key_file(name))
        pool.zfs("set", f"keylocation=file://{key_file(name)}", name)
    _unmount_all()


def _changed_keys(result: Result) -> int:
    return sum(action["action"] == "change_key" for action in result["actions"])


def measure_mounting(bench: Bench) -> None:
    names = pool.names(KEYED, bench.n)
    half = names[::2]
    whole: Parameters = {"name": KEYED, "recursive": True}
    for _round in range(bench.rounds):
        if "mount" in bench.chosen:
            bench.tell("mount", "reference", typed("zfs mount -a"))
            _unmount_all()
            bench.ours("mount", "zfs_unlock", whole, _length("mounted"), bench.n)
            _insist_on_mounted(bench.n)
            _unmount_all()
        if "mount_half" in bench.chosen:
            bench.tell("mount_half", "reference", typed(*(f"zfs mount {name}" for name in half)))
            _unmount_all()
            bench.ours("mount_half", "zfs_unlock", {"names": half}, _length("mounted"), len(half))
            _insist_on_mounted(len(half))
            _unmount_all()


def _unmount_all() -> None:
    """Leave what lies above the roots mounted, so that both sides mount the same."""
    pool.zfs("unmount", "-a")
    for name in (pool.POOL, KEYED):
        pool.zfs("mount", name)


def _insist_on_mounted(want: int) -> None:
    with open("/proc/self/mounts", encoding="utf-8") as mounts:
        found = sum(line.startswith(f"{KEYED}/") for line in mounts)
    if found != want:
        raise SystemExit(f"{found} of {want} filesystems are mounted")


def measure_passphrases(bench: Bench) -> None:
    number = min(bench.n, MOST_PASSPHRASES)
    names = pool.names(PASSPHRASES, number)
    iterations = f"pbkdf2iters={pool.ITERATIONS}"
    pool.make_roots(PASSPHRASES, names, "-o", "keyformat=passphrase", "-o", iterations, "-o", "canmount=off")
    tree = {"name": PASSPHRASES, "recursive": True}
    for _round in range(bench.rounds):
        pool.zfs("unload-key", "-r", PASSPHRASES)
        bench.tell("unlock_passphrases", "reference", typed(f"zfs load-key -r {PASSPHRASES}"))
        pool.zfs("unload-key", "-r", PASSPHRASES)
        bench.ours("unlock_passphrases", "zfs_unlock", {**tree, "mount": False}, _length("unlocked"), number)
        _insist_on_keystatus(PASSPHRASES, "available", number)


def unchanged_parameters(n: int) -> dict[str, t.Any]:
    """Return the arguments of a run that finds all keyed roots as they should be."""
    return {"datasets": [{"name": name, "key_file": str(key_file(name))} for name in pool.names(KEYED, n)]}


def measure_unchanged(bench: Bench) -> None:
    """Whole processes, as Ansible sends them; then the same in a process that can say where its time went."""
    read = f"zfs get -Hpr -o name,property,value,source {','.join(OBSERVED_PROPERTIES)} {KEYED} >/dev/null"
    for _round in range(bench.rounds):
        bare, _result = _payload("bare")
        bench.tell("unchanged", "reference", typed(read) + bare)
        seconds, result = _payload("unchanged")
        _insist("unchanged", result, _length("already"), bench.n)
        if result["changed"]:
            raise SystemExit("the second run changed something")
        bench.tell("unchanged", "ours", seconds)
        print(json.dumps({"start_up": bare}), flush=True)
    inside = dataclasses.replace(bench, chosen=frozenset({INSIDE}))
    parameters = unchanged_parameters(bench.n)
    inside.ours(INSIDE, "zfs_dataset_key", parameters, _length("already"), bench.n)


def _payload(name: str) -> tuple[float, Result]:
    """Run what Ansible would send, the way it runs it: on standard input."""
    text = (PAYLOADS / f"{name}.py").read_text(encoding="utf-8")
    began = time.monotonic()
    printed = run([sys.executable], text)
    seconds = time.monotonic() - began
    result: Result = json.loads(printed)
    return seconds, result


MEASURES: t.Mapping[t.Callable[[Bench], None], t.Collection[str]] = {
    measure_locking: ("unlock_keys", "lock"),
    measure_verifying: ("verify",),
    measure_changing: ("change",),
    measure_mounting: ("mount", "mount_half"),
    measure_passphrases: ("unlock_passphrases",),
    measure_unchanged: ("unchanged",),
}


def main() -> None:
    rounds, n = int(sys.argv[1]), int(sys.argv[2])
    bench = Bench(rounds, n, frozenset(sys.argv[3:]))
    pool.make()
    if bench.chosen - {"unlock_passphrases"}:
        pool.make_roots(KEYED, pool.names(KEYED, n), "-o", "keyformat=hex", "-u")
    for measure, measured in MEASURES.items():
        if bench.chosen.intersection(measured):
            measure(bench)


if __name__ == "__main__":
    main()
