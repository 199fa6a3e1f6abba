# Copyright: zfsfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Runs PyKMIP's server in a process of its own, since it wants signals: ``kmip_launcher.py OPTIONS LACKING...``.

OPTIONS is JSON, with the arguments of ``KmipServer``; LACKING are operations that this server shall not have.
"""

from __future__ import annotations

import json
import sys
import types
import typing as t

from kmip.core import enums, exceptions
from kmip.pie import objects, sqltypes
from kmip.services.server import KmipServer
from kmip.services.server import server as server_module
from kmip.services.server.engine import KmipEngine
from sqlalchemy import event, orm


def main() -> None:
    options, *lacking = sys.argv[1:]
    _make_quick()
    _take_away({enums.Operation[name] for name in lacking})
    with KmipServer(config_path=None, policy_path=None, auth_suite="TLS1.2", **json.loads(options)) as server:
        server.serve()


def _make_quick() -> None:
    """Change nothing but how long it takes: without this, an answer about a thousand objects takes seconds."""
    # SQLAlchemy would compile each statement anew.
    sqltypes.EnumType.cache_ok = sqltypes.UsageMaskType.cache_ok = True
    event.listen(orm.Session, "do_orm_execute", _load_at_once)
    # Policies would be asked of another process, and pickled, for each object that is looked at.
    server_module.multiprocessing = types.SimpleNamespace(Manager=lambda: types.SimpleNamespace(dict=dict))


def _load_at_once(state: orm.ORMExecuteState) -> None:
    """What is looked at of each object would be a statement of its own."""
    described: list[t.Any] = getattr(state.statement, "column_descriptions", [])
    entities = [each["expr"] for each in described] if state.is_select else []
    if entities == [objects.ManagedObject] and not (state.is_column_load or state.is_relationship_load):
        everything = orm.selectin_polymorphic(objects.ManagedObject, [objects.SecretData])
        attributes = (
            orm.selectinload(each) for each in (objects.ManagedObject.app_specific_info, objects.ManagedObject._names)
        )
        state.statement = state.statement.options(everything, *attributes)


def _take_away(lacking: set[enums.Operation]) -> None:
    process = KmipEngine._process_operation

    def process_what_is_there(engine: KmipEngine, operation: enums.Operation, payload: t.Any) -> t.Any:
        if operation in lacking:
            raise exceptions.OperationNotSupported(
                f"{operation.name.title()} operation is not supported by the server."
            )
        answer = process(engine, operation, payload)
        if operation is enums.Operation.QUERY:
            answer.operations = [each for each in answer.operations or [] if each not in lacking]
        return answer

    KmipEngine._process_operation = process_what_is_there


if __name__ == "__main__":
    main()
