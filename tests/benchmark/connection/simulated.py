# Copyright: zfsfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Hosts without machines: modules run where Ansible does, on OpenZFS in memory that is kept in a file for each host.

What a controller does for a host is all there: it renders the task, opens places for keys, packs the module with its
arguments, and reads the result.
"""

from __future__ import annotations

DOCUMENTATION = """
name: simulated
short_description: Hosts that are files
description: For benchmarks of the controller.
options:
  state:
    description: A directory with a file for each host.
    vars: [{name: simulated_state}]
  pipelining:
    description: Always on.
    type: bool
    default: true
"""

import ast
import contextlib
import importlib
import io
import json
import pickle
import re
import typing as t
from pathlib import Path
from unittest import mock

from ansible.module_utils import basic
from ansible.plugins.connection import ConnectionBase

from ansible_collections.zfsfleet.encryption.plugins.module_utils import _edge, _lock
from ansible_collections.zfsfleet.encryption.tests.fake.openzfs import FakeOpenZFS

# As ansible.executor.module_common ends a payload: one argument a line.
_MODULE = re.compile(r"^module_fqn='([\w.]+)',$", re.MULTILINE)
_PARAMS = re.compile(r"^params=(['\"].*['\"]),$", re.MULTILINE)


class Connection(ConnectionBase):
    """Answers as a host would."""

    transport = "simulated"
    has_pipelining = True

    def _connect(self) -> Connection:
        self._connected = True
        return self

    def exec_command(self, cmd: str, in_data: bytes | None = None, sudoable: bool = True) -> tuple[int, bytes, bytes]:
        """Run the module in a payload."""
        del cmd, sudoable
        text = (in_data or b"").decode()
        module, params = _MODULE.search(text), _PARAMS.search(text)
        if module is None or params is None:
            raise AssertionError("a simulated host runs modules, and nothing else")
        return 0, self._run(module[1], str(ast.literal_eval(params[1]))), b""

    def put_file(self, in_path: str, out_path: str) -> None:
        raise AssertionError(f"{in_path} was to be copied to the host as {out_path}: pipelining is off")

    def fetch_file(self, in_path: str, out_path: str) -> None:
        raise AssertionError(f"{in_path} was to be fetched to {out_path}")

    def close(self) -> None:
        self._connected = False

    def _run(self, name: str, params: str) -> bytes:
        state = Path(self.get_option("state"))  # type: ignore[no-untyped-call]
        kept = state / f"{self._play_context.remote_addr}.pickle"
        host = pickle.loads(kept.read_bytes()) if kept.exists() else FakeOpenZFS("tank")
        output = io.StringIO()
        with (
            mock.patch.object(_edge, "OpenZFS", return_value=host),
            mock.patch.object(_lock, "DIRECTORY", str(state)),
            mock.patch.object(basic, "_ANSIBLE_ARGS", params.encode()),
            mock.patch.object(basic, "_ANSIBLE_PROFILE", "legacy"),
            contextlib.redirect_stdout(output),
            contextlib.suppress(SystemExit),
        ):
            importlib.import_module(name).main()
        host.calls.clear()
        kept.write_bytes(pickle.dumps(host))
        result: dict[str, t.Any] = json.loads(output.getvalue())
        return json.dumps(result).encode()
