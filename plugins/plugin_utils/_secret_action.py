# Copyright: zfsfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The controller side of every module that is given a secret.

Without pipelining Ansible writes a module's arguments, keys included, into a file on the managed host. The
action sets pipelining for its own execution, whatever the configuration says, and refuses where it cannot.

Private to the collection.
"""

from __future__ import annotations

import contextlib
import json
import typing as t

from ansible import constants
from ansible.errors import AnsibleActionFail, AnsibleConnectionFailure, AnsibleError
from ansible.module_utils.parsing.convert_bool import boolean
from ansible.plugins.action import ActionBase

from ..module_utils import _manifest
from ..module_utils._errors import Refused
from ._evidence import Event, Evidence, NotRecorded, events_of
from ._misplaced import refuse_misplaced_keys
from ._unfit import refuse_unfit


class SecretAction(ActionBase):
    """Runs the module of the same name with its arguments on the wire only.

    Attributes:
        spec: the module's arguments, as it declares them.
    """

    spec: t.Mapping[str, t.Any]

    _supports_check_mode = True
    _supports_async = True  # refused with a reason of our own
    _supports_diff = True

    _chain: Evidence | None = None

    def run(self, tmp: str | None = None, task_vars: dict[str, t.Any] | None = None) -> dict[str, t.Any]:
        result: dict[str, t.Any] = super().run(tmp, task_vars)
        self._variables = {**(task_vars or {}), **_QUIET}
        arguments = self._arguments()
        with self._pipelining(), self._evidence() as note:
            result.update(self._work(arguments))
            note(result)
        return result

    @contextlib.contextmanager
    def _evidence(self) -> t.Iterator[t.Callable[[dict[str, t.Any]], None]]:
        """Open the host's chain of evidence, where the variable ``zfsfleet_evidence`` names a place for it.

        Yields:
            What writes down a result.

        Raises:
            AnsibleActionFail: it cannot be written to, before anything was done.
        """
        directory = self._templar.template(self._variables.get(_EVIDENCE) or "")
        if not directory or self._task.check_mode:
            yield lambda _result: None
            return
        try:
            evidence = Evidence(str(directory), str(self._variables["inventory_hostname"]))
        except NotRecorded as error:
            raise AnsibleActionFail(str(error)) from None
        self._chain = evidence
        with contextlib.closing(evidence):
            try:
                yield lambda result: _note(evidence, self._module, result)
            except AnsibleError as failure:
                ending = "unreachable" if isinstance(failure, AnsibleConnectionFailure) else "refused"
                with contextlib.suppress(NotRecorded):
                    evidence.append(self._module, [*self._done_before(), {"action": "none", "result": ending}])
                raise

    def _done_before(self) -> list[Event]:
        """Say what was done with keys on the controller before the task ended without a result."""
        return []

    def _work(self, arguments: dict[str, t.Any]) -> dict[str, t.Any]:
        """Do the task's work; pipelining is on."""
        return self._ask(self._module, arguments)

    @property
    def _module(self) -> str:
        return str(self._task.action)

    def _write_ahead(self, event: t.Mapping[str, t.Any]) -> None:
        """Write down what is about to be done and cannot be undone: a run that is killed then leaves that line.

        Raises:
            NotRecorded: it could not be written down, so it is not to be done.
        """
        if self._chain is None:
            return
        try:
            self._chain.append(self._module, [{**event, "result": "begun"}])
        except NotRecorded as error:
            raise NotRecorded(
                f"The key {event['key_id']} of {event['dataset']} is left as it is: what cannot be written down before "
                f"is not destroyed. {error}"
            ) from None

    def _ask(self, module: str, arguments: t.Mapping[str, t.Any], *, check: bool = False) -> dict[str, t.Any]:
        """Run a module on the host, as the task runs, or in check mode in any case."""
        with self._checking(check):
            result: dict[str, t.Any] = self._execute_module(
                module_name=module, module_args=dict(arguments), task_vars=self._variables
            )
        # What was called is known; a misspelled option's value would stand in it unmasked.
        result.pop("invocation", None)
        return result

    @contextlib.contextmanager
    def _unlogged(self) -> t.Iterator[None]:
        """Keep the connection from showing what the module returned, at -vvv."""
        contexts = [self._play_context, self._connection._play_context]
        before = [context.no_log for context in contexts]
        for context in contexts:
            context.no_log = True
        try:
            yield
        finally:
            for context, value in zip(contexts, before):
                context.no_log = value

    @contextlib.contextmanager
    def _checking(self, check: bool) -> t.Iterator[None]:
        before = self._task.check_mode
        self._task.check_mode = before or check
        try:
            yield
        finally:
            self._task.check_mode = before

    def _arguments(self) -> dict[str, t.Any]:
        """Return what the module is given."""
        arguments = dict(self._task.args)
        refuse_misplaced_keys(arguments)
        refuse_unfit(arguments, self.spec)
        return self._with_manifest(arguments) if "manifest" in self.spec else arguments

    def _with_manifest(self, arguments: dict[str, t.Any]) -> dict[str, t.Any]:
        """Read a manifest that lies on the controller, decrypting it in memory where ansible-vault protects it."""
        path, content = arguments.get("manifest"), arguments.get("manifest_content")
        if path is not None and content is not None:
            raise AnsibleActionFail("manifest and manifest_content were both given. Give one of them.")
        if content is not None:
            return {**arguments, "manifest_content": self._for_the_wire(content)}
        if path is None or boolean(arguments.get("remote_src") or False, strict=False):
            return arguments
        try:
            found = self._find_needle("files", path)  # type: ignore[no-untyped-call]
            text = self._loader.get_text_file_contents(found)
        except AnsibleError as error:
            raise AnsibleActionFail(f"The manifest {path} cannot be read on the controller: {error}") from None
        return {**arguments, "manifest_content": self._parsed(text, str(path))}

    def _for_the_wire(self, content: t.Any) -> t.Any:
        """Return a manifest that was given as a variable so that all of it, and nothing else, is masked in the result.

        A dict is masked by its values, a text only as a whole; our own format says more than names and keys.
        """
        if _manifest.is_own_format(content):
            content = json.dumps(content, default=str)
        return self._parsed(content, "in manifest_content") if isinstance(content, str) else content

    def _parsed(self, text: str, where: str) -> dict[str, t.Any]:
        """Read a manifest; what travels is names and secrets, whatever else it says."""
        try:
            return _manifest.for_the_wire(_manifest.parse(str(text), where=where))
        except Refused as refusal:
            raise AnsibleActionFail(str(refusal)) from None

    @contextlib.contextmanager
    def _pipelining(self) -> t.Iterator[None]:
        """Switch pipelining on for as long as the module runs.

        Raises:
            AnsibleActionFail: it stays off, and why.
        """
        wrap_async = bool(self._task.async_val)
        try:
            before = self._connection.get_option("pipelining")
            self._connection.set_option("pipelining", True)
        except KeyError:
            raise AnsibleActionFail(
                _REFUSAL.format(cause=f"connection {self._connection.transport} has none")
            ) from None
        try:
            if not self._is_pipelining_enabled("new", wrap_async):
                raise AnsibleActionFail(_REFUSAL.format(cause=self._cause(wrap_async)))
            yield
        finally:
            self._connection.set_option("pipelining", before)

    def _cause(self, wrap_async: bool) -> str:
        become = self._connection.become
        if wrap_async:
            return "the task is asynchronous; leave async out"
        if constants.DEFAULT_KEEP_REMOTE_FILES:  # type: ignore[attr-defined]  # set at import
            return "ANSIBLE_KEEP_REMOTE_FILES is set; unset it"
        if become is not None and not getattr(become, "pipelining", become.name != "su"):
            return f"become_method {become.name} does not allow it; use sudo"
        return f"connection {self._connection.transport} does not allow it; use ssh"


def _note(evidence: Evidence, module: str, result: dict[str, t.Any]) -> None:
    try:
        evidence.append(module, events_of(result))
    except NotRecorded as error:
        before = [str(result["msg"])] if result.get("failed") and result.get("msg") else []
        result.update(failed=True, msg=" ".join([*before, str(error)]))


_EVIDENCE = "zfsfleet_evidence"

# Core masks a suboption's secret after str(), so one with a quote would reach the host's journal; and from 2.21 on
# the arguments are echoed in the result only where this is asked for.
_QUIET = {"ansible_no_target_syslog": True, "ansible_inject_invocation": False}

_REFUSAL = (
    "Refused before anything was sent: without pipelining the keys of this task would be written to the managed "
    "host's disk, and pipelining cannot be switched on: {cause}."
)
