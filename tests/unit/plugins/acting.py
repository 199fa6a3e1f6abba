# Copyright: zfsfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Whole action plugins on the controller against a host without OpenZFS: what a task with escrow sees and does.

Between the two nothing is played but the connection: the plugin is Ansible's own, with its task and its loader, and the
module runs whole, with arguments that went through JSON.
"""

from __future__ import annotations

import importlib
import json
import typing as t
from dataclasses import dataclass, field

from ansible.errors import AnsibleActionFail
from ansible.parsing.dataloader import DataLoader
from ansible.parsing.vault import VaultSecret
from ansible.playbook.play_context import PlayContext
from ansible.playbook.task import Task
from ansible.plugins.loader import connection_loader
from ansible.template import Templar

from ansible_collections.zfsfleet.encryption.plugins.plugin_utils import _backends
from ansible_collections.zfsfleet.encryption.plugins.plugin_utils._backend import (
    Backend,
    Kind,
    Option,
    Options,
    Surroundings,
)
from ansible_collections.zfsfleet.encryption.tests.fake.backend import MemoryBackend
from ansible_collections.zfsfleet.encryption.tests.fake.openzfs import FakeOpenZFS

if t.TYPE_CHECKING:
    from .conftest import Run

COLLECTION = "ansible_collections.zfsfleet.encryption.plugins.action"

Moment = t.Callable[[str], None]


@dataclass(frozen=True)
class Call:
    """A module that ran on the host."""

    module: str
    check: bool
    arguments: dict[str, t.Any] = field(repr=False)


def _nothing(_where: str) -> None: ...


class Died(BaseException):
    """What nothing catches, like the end of a process."""


def dying_at(number: int) -> Moment:
    """Return what is told of boundaries, and dies at one of them."""
    left = number

    def count_down(_where: str) -> None:
        nonlocal left
        if left == 0:
            raise Died
        left -= 1

    return count_down


class Controller:
    """A controller with drawers for keys, and one host.

    Attributes:
        host: OpenZFS on the host; a test may take another one.
        drawers: places for keys in memory, by the name that a task gives them: ``{type: memory, name: one}``.
        calls: the modules that ran on the host, in order.
        moment: told of every boundary that a controller may die at, as ``before`` or ``after`` a backend's call or a
            module; what it raises ends the run there.
        variables: of the host, as an inventory has them.
        immutable_files: on the host, which cannot be removed.
        seen: told of the result of every module, as whoever watches the connection is.
    """

    def __init__(self, run: Run, host: FakeOpenZFS) -> None:
        self._run = run
        self.host = host
        self.drawers: dict[str, MemoryBackend] = {}
        self.calls: list[Call] = []
        self.moment: Moment = _nothing
        self.seen: t.Callable[[t.Any], None] = lambda _result: None
        self.variables: dict[str, t.Any] = {}
        self.immutable_files: set[str] = set()
        self.loader = DataLoader()
        self.loader.set_vault_secrets([("default", VaultSecret(b"a vault password"))])  # type: ignore[list-item]

    def drawer(self, name: str) -> MemoryBackend:
        """Return a drawer, empty where nobody opened it before."""
        if name not in self.drawers:
            backend = self.drawers[name] = MemoryBackend(name)
            backend.before = lambda name, call: self.moment(f"before {call} in {name}")
            backend.after = lambda name, call: self.moment(f"after {call} in {name}")
        return self.drawers[name]

    def dies(self, number: int, run: t.Callable[[], t.Any]) -> bool:
        """Do something, to its death at one of its boundaries; False if it had fewer."""
        return self._dies(dying_at(number), run)

    def dies_where(self, is_there: t.Callable[[str], bool], run: t.Callable[[], t.Any]) -> None:
        """Do something, to its death at the first boundary of which this is true; it has to come there."""

        def die(where: str) -> None:
            if is_there(where):
                raise Died

        assert self._dies(die, run), "it did not come to where it was to die"

    def dies_before_the_change(self, run: t.Callable[[], t.Any]) -> None:
        """Do something, to its death when keys are kept and rehearsed, and the host was not told."""
        self.dies_where(lambda where: where == "before zfs_dataset_key" and self.calls[-1].check, run)

    def dies_before_noting(self, run: t.Callable[[], t.Any]) -> None:
        """Do something, to its death when the host has its new keys, and escrow does not know."""
        self.dies_where(lambda where: where == "after zfs_dataset_key" and not self.calls[-1].check, run)

    def _dies(self, moment: Moment, run: t.Callable[[], t.Any]) -> bool:
        self.moment = moment
        try:
            run()
        except Died:
            return True
        finally:
            self.moment = _nothing
        return False

    def forget(self) -> None:
        """Start anew, with empty drawers and an empty host."""
        self.host = FakeOpenZFS("tank")
        self.drawers.clear()
        self.calls.clear()
        self.moment = _nothing

    def act(self, module: str, *, check: bool = False, as_host: str = "nas1", **arguments: t.Any) -> dict[str, t.Any]:
        """Run a task and return its result; a refusal on the controller is a result with ``refused``."""
        task = Task()
        task.action = f"zfsfleet.encryption.{module}"
        task.args = arguments
        task.check_mode = check
        connection = connection_loader.get("ssh", PlayContext())
        connection.set_options(direct={"pipelining": False})
        plugin_class = importlib.import_module(f"{COLLECTION}.{module}").ActionModule
        plugin = plugin_class(task, connection, PlayContext(), self.loader, Templar(self.loader), None)
        plugin._execute_module = lambda **options: self._executed(plugin, **options)
        try:
            result: dict[str, t.Any] = plugin.run(task_vars={"inventory_hostname": as_host, **self.variables})
        except AnsibleActionFail as failure:
            return {"failed": True, "msg": str(failure), "refused": True}
        json.dumps(result)
        return result

    def _executed(self, plugin: t.Any, **options: t.Any) -> dict[str, t.Any]:
        assert plugin._connection.get_option("pipelining") is True
        assert options["task_vars"]["ansible_no_target_syslog"] is True
        name = options["module_name"].rpartition(".")[2]
        arguments = json.loads(json.dumps(options["module_args"]))
        self.moment(f"before {name}")
        self.calls.append(Call(name, bool(plugin._task.check_mode), arguments))
        if options["module_name"] == "ansible.builtin.command":
            return self._commanded(arguments["argv"])
        result = self._run(name, check=bool(plugin._task.check_mode), **arguments)
        self.moment(f"after {name}")
        self.seen(result)
        return {option: value for option, value in result.items() if option != "warnings" or value}

    def _commanded(self, argv: list[str]) -> dict[str, t.Any]:
        if argv[0] == "find":
            assert argv[1] == "-H"
            places = argv[2 : argv.index("-maxdepth")]
            return {"stdout": "\n".join(path for path in self.host.key_files if path.rpartition("/")[0] in places)}
        assert argv[:3] == ["rm", "-f", "--"]
        return self._removed(argv[3:])

    def _removed(self, paths: t.Iterable[str]) -> dict[str, t.Any]:
        left = [path for path in paths if path in self.immutable_files]
        for path in set(paths) - set(left):
            self.host.key_files.pop(path, None)
        return {"failed": True, "msg": "", "stderr": f"rm: cannot remove '{left[0]}'"} if left else {}

    @property
    def modules(self) -> list[str]:
        """Names of the modules that ran, those in check mode marked."""
        return [f"{call.module}{' (check)' if call.check else ''}" for call in self.calls]

    def build(self, options: Options, _around: Surroundings) -> Backend:
        return self.drawer(options["name"])

    @property
    def kinds(self) -> dict[str, Kind]:
        """The kinds of backends, with drawers."""
        return {**_backends.KINDS, "memory": Kind(self.build, {"name": Option(required=True)})}
