# Copyright: zfsfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Objects on a KMIP server: what PyKMIP's client says of them, in words of ours.

All are SecretData of type Password, which servers have to take if they are to take keys as texts. What an object is
stands in Application Specific Information, since attributes of one's own (``x-...``) are refused by many. It is set
when the object is registered and never changed: not every server lets a client do that, and PyKMIP cannot add to it.

Private to the collection.
"""

from __future__ import annotations

import json
import typing as t
from dataclasses import dataclass, field
from datetime import datetime, timezone

from . import _strict_kmip
from ._backend import BackendFailed
from ._kmip_connection import Connection, Denied, NoSuchObject, Rejected
from ._record import STATES, Binding, State, Version, noted

# One namespace for each thing, as some servers take no second value in one.
TOLD = "zfsfleet.encryption"
HOST = "zfsfleet.encryption.host"
WHAT = "zfsfleet.encryption.what"
POOL_GUID = "zfsfleet.encryption.pool_guid"
KEYGUID = "zfsfleet.encryption.keyguid"

_NEEDED = ("REGISTER", "LOCATE", "GET", "GET_ATTRIBUTES", "ACTIVATE", "REVOKE")
_STATES: dict[str, State] = {
    "PRE_ACTIVE": "pre-active",
    "ACTIVE": "active",
    "DEACTIVATED": "deactivated",
    "COMPROMISED": "compromised",
    "DESTROYED": "destroyed",
    "DESTROYED_COMPROMISED": "destroyed",
}
_DATES: dict[str, State] = {
    "Activation Date": "active",
    "Deactivation Date": "deactivated",
    "Compromise Date": "compromised",
}


@dataclass(frozen=True)
class Draft:
    """An object that is to be made.

    Args:
        what: ``key`` or ``binding``.
        name: for people; no other object has it.
        host: whose it is, as a segment of a path.
        about: the version or the binding, which it can be found by.
        told: all that it shall tell of itself.
        value: what is in it.
    """

    what: t.Literal["key", "binding"]
    name: str
    host: str
    about: Version | Binding
    told: t.Mapping[str, str]
    value: bytes = field(repr=False)

    @property
    def informations(self) -> dict[str, str]:
        """What its Application Specific Information says, by namespace; servers refuse what is empty."""
        told = json.dumps(dict(self.told), separators=(",", ":"))
        guids = {POOL_GUID: self.about.pool_guid, KEYGUID: self.about.keyguid}
        return {TOLD: told, HOST: self.host, WHAT: self.what, **{name: guid for name, guid in guids.items() if guid}}


@dataclass(frozen=True)
class Found:
    """What the server tells of an object, without what is in it.

    Args:
        uid: its id on the server.
        state: its state.
        since: when it reached states, as far as the server tells.
        names: its names.
        what: what it is; empty if it is not ours.
        host: whose it is, as a segment of a path.
        told: what else its Application Specific Information says; empty where that cannot be read.
    """

    uid: str
    state: State
    since: t.Mapping[State, str]
    names: tuple[str, ...]
    what: str
    host: str
    told: t.Mapping[str, t.Any] = field(default_factory=dict)


class Objects:
    """The objects of one server that it shows us.

    Args:
        connection: asks it.
        name: what people call it.
    """

    def __init__(self, connection: Connection, *, name: str) -> None:
        self._connection, self._name = connection, name

    def refuse_lacking_operations(self) -> None:
        """Raise BackendFailed where the server does not do what is needed, or does it for others only."""
        enums = _strict_kmip.library().enums
        asked = [enums.QueryFunction.QUERY_OPERATIONS]
        result = self._connection.ask(
            "ask for its operations", lambda client: _succeeded(client.proxy.query(query_functions=asked))
        )
        there = {operation.name for operation in result.operations or ()}
        lacking = [_spelled(name) for name in _NEEDED if name not in there]
        if lacking:
            raise BackendFailed(
                f"{self._name} does not list {', '.join(lacking)} among its operations, so it cannot keep keys. Allow "
                "them for the client's user, or name another server."
            )

    def register(self, draft: Draft, doing: str) -> str:
        """Make an object, pre-active, and return its id."""
        kmip = _strict_kmip.library()
        informations = enumerate(draft.informations.items())
        attributes = [_named(draft.name)]
        attributes += [_information(namespace, data, number) for number, (namespace, data) in informations]
        secret = kmip.objects.SecretData(draft.value, kmip.enums.SecretDataType.PASSWORD)
        result = self._connection.ask(
            doing,
            lambda client: _succeeded(
                client.proxy.register(
                    kmip.enums.ObjectType.SECRET_DATA,
                    kmip.structures.TemplateAttribute(attributes=attributes),
                    kmip.factory.ObjectFactory().convert(secret),
                )
            ),
        )
        return str(result.uuid)

    def named(self, name: str, doing: str) -> list[str]:
        """Return the ids of all objects of a name."""
        return self._located([_named(name)], doing)

    def informed(self, namespace: str, data: str, doing: str, most: int | None = None) -> list[str]:
        """Return the ids of all objects that have this information, or of so many."""
        return self._located([_information(namespace, data)], doing, most)

    def _located(self, attributes: list[t.Any], doing: str, most: int | None = None) -> list[str]:
        return self._connection.ask(
            doing, lambda client: [str(uid) for uid in client.locate(maximum_items=most, attributes=attributes)]
        )

    def found(self, uid: str, doing: str) -> Found | None:
        """Return what the server tells of an object, or None if it is no longer there."""
        wanted = ["State", "Name", "Application Specific Information", *_DATES]
        try:
            attributes = self._connection.ask(doing, lambda client: client.get_attributes(uid, wanted)[1])
        except NoSuchObject:
            return None
        return _found(uid, attributes)

    def value(self, uid: str, doing: str) -> bytes:
        """Return what is in an object.

        Raises:
            NoSuchObject: it is not there.
            BackendFailed: it is no SecretData.
        """
        kmip = _strict_kmip.library()
        there = self._connection.ask(doing, lambda client: client.get(uid))
        if not isinstance(there, kmip.objects.SecretData):
            raise BackendFailed(
                f"{self._name} could not {doing}: object {uid} is no SecretData but {type(there).__name__}."
            )
        return bytes(there.value)

    def advance(self, uid: str, state: State, doing: str) -> None:
        """Bring an object to a state if it is not that far, by what KMIP calls Activate and Revoke.

        Raises:
            NoSuchObject: it is not there.
        """
        reasons = _strict_kmip.library().enums.RevocationReasonCode
        steps: dict[State, t.Callable[[t.Any], object]] = {
            "active": lambda client: client.activate(uid),
            "deactivated": lambda client: client.revoke(reasons.CESSATION_OF_OPERATION, uid),
            "compromised": lambda client: client.revoke(reasons.KEY_COMPROMISE, uid),
        }
        # What was never active cannot be deactivated; it can have been compromised.
        way: tuple[State, ...] = ("active", "deactivated") if state == "deactivated" else (state,)
        for step in way:
            if not self._is_before(uid, step, doing):
                continue
            try:
                self._connection.ask(doing, steps[step])
            except (Denied, Rejected):
                # Another controller may have been faster.
                if self._is_before(uid, step, doing):
                    raise

    def _is_before(self, uid: str, state: State, doing: str) -> bool:
        there = self.found(uid, doing)
        if there is None:
            raise NoSuchObject
        return STATES.index(there.state) < STATES.index(state)

    def destroy(self, uid: str, doing: str) -> None:
        """Destroy an object; one that is not there is none."""
        there = self.found(uid, doing)
        if there is None or there.state == "destroyed":
            return
        try:
            if there.state == "active":
                self.advance(uid, "deactivated", doing)
            self._connection.ask(doing, lambda client: client.destroy(uid))
        except NoSuchObject:
            return


def _found(uid: str, attributes: t.Iterable[t.Any]) -> Found:
    state: State = "pre-active"
    since: dict[State, str] = {}
    names: list[str] = []
    informations: dict[str, str] = {}
    for attribute in attributes:
        what, value = attribute.attribute_name.value, attribute.attribute_value
        if what == "State":
            state = _STATES[value.value.name]
        elif what == "Name":
            names.append(str(value.name_value.value))
        elif what == "Application Specific Information":
            informations[value.application_namespace] = value.application_data or ""
        elif what in _DATES:
            since[_DATES[what]] = _time(value.value)
    told = _loaded(informations.get(TOLD, ""))
    return Found(uid, state, since, tuple(names), informations.get(WHAT, ""), informations.get(HOST, ""), told)


def _loaded(text: str) -> dict[str, t.Any]:
    try:
        told = json.loads(text)
    except (ValueError, RecursionError):
        return {}
    return told if isinstance(told, dict) else {}


def _time(seconds: int) -> str:
    """Return a date of KMIP, to the second, as records note it."""
    return noted(datetime.fromtimestamp(seconds, timezone.utc))


def _succeeded(result: t.Any) -> t.Any:
    """Return a result of the client's lower half, which raises nothing by itself."""
    kmip = _strict_kmip.library()
    status = result.result_status.value
    if status != kmip.enums.ResultStatus.SUCCESS:
        raise kmip.exceptions.KmipOperationFailure(status, result.result_reason.value, result.result_message.value)
    return result


def _named(name: str) -> t.Any:
    kmip = _strict_kmip.library()
    value = kmip.attributes.Name.create(name, kmip.enums.NameType.UNINTERPRETED_TEXT_STRING)
    return kmip.attribute_factory.create_attribute(kmip.enums.AttributeType.NAME, value)


def _information(namespace: str, data: str, number: int | None = None) -> t.Any:
    kmip = _strict_kmip.library()
    kind = kmip.enums.AttributeType.APPLICATION_SPECIFIC_INFORMATION
    value = {"application_namespace": namespace, "application_data": data}
    return kmip.attribute_factory.create_attribute(kind, value, number)


def _spelled(operation: str) -> str:
    return operation.replace("_", " ").title()
