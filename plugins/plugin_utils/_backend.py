# Copyright: zfsfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a place for keys has to do: one protocol, kept by every backend, and held to it by one test suite.

Private to the collection.
"""

from __future__ import annotations

import typing as t
from dataclasses import dataclass, field

from ..module_utils._errors import EncryptionError
from ._record import Binding, Entry, Kept, State


class BackendFailed(EncryptionError):
    """A backend could not do what it was asked, or did not answer; nothing that it held is lost by that.

    The text names the backend, what it was about to do, and the way out; it never holds a key, a token or a password.
    """


class BackendDown(BackendFailed):
    """A backend did not answer, and will not before the run ends: asking it again would cost the same time again."""


class Backend(t.Protocol):
    """A place outside the hosts where versions of keys are kept. Every call raises BackendFailed when it cannot.

    Calls that write return when what they wrote is durable. None of them overwrites anything, and only ``destroy``
    takes anything away. All of them may be repeated: what is there already, and the same, is not an error.
    """

    name: str
    """What people call it, like ``vault_file /srv/escrow`` or ``kmip kmip.example.org:5696``."""

    def find_out(self) -> str:
        """Find out, as far as that is possible without writing, whether reading and writing would be allowed.

        Returns:
            What is the same for this place under any name and in no other place; empty where nothing tells.
        """

    def entries(self, host: str) -> t.Sequence[Entry]:
        """Return all versions of a host's records that are not destroyed, in no particular order."""

    def elsewhere(self, keyguids: t.Collection[str], pool_guids: t.Collection[str]) -> t.Sequence[Entry]:
        """Look through the records of all hosts for those made or bound for these master keys or pools.

        It may be slow: it is asked where a host's own records open nothing, after a pool moved or a host was renamed.
        """

    def fetch(self, entry: Entry) -> Kept:
        """Return a version with its key, read from the backend itself and not from what is remembered."""

    def put(self, kept: Kept) -> str:
        """Keep a new version, pre-active. Return a receipt: what finds it there with the backend's own tools.

        A version of that id with another key is never replaced: BackendFailed.
        """

    def advance(self, entry: Entry, state: State) -> None:
        """Note that a version reached a state; one that is behind the state which it has is not noted.

        No note destroys anything: that state is refused.
        """

    def bind(self, entry: Entry, binding: Binding) -> None:
        """Note a copy of the data that the version was seen to open."""

    def destroy(self, entry: Entry) -> None:
        """Destroy a version's key for good; the caller has made sure that nothing is opened by it."""

    def close(self) -> None:
        """End what was opened; the backend is not used afterwards."""


if t.TYPE_CHECKING:
    from ansible.parsing.dataloader import DataLoader

Options = t.Mapping[str, t.Any]


@dataclass(frozen=True)
class Surroundings:
    """The run that a backend is opened in, as far as a backend may want to know it.

    Args:
        loader: finds files relative to the play, and has the play's vault secrets.
        host: the host's name in the inventory.
        transport: what carries tasks to the host, like ``ssh``; with ``local`` the controller is the host.
    """

    loader: DataLoader
    host: str
    transport: str


@dataclass(frozen=True)
class Option:
    """What a task may say about a backend; the documentation of all of them is in the fragment ``_escrow``.

    Args:
        type: ``path`` is one on the controller, and comes absolute.
        required: it has to be said.
        default: what holds where it is not said.
        choices: all that it may be, empty for anything.
    """

    type: t.Literal["str", "path", "int", "bool"] = "str"
    required: bool = False
    default: t.Any = None
    choices: tuple[str, ...] = ()


@dataclass(frozen=True)
class Kind:
    """A kind of backend, as a task names it with ``type``.

    Args:
        build: makes one of checked options, with a value or None for each of them; it contacts nothing that is not
            there for it alone. Raises Refused where the options make no sense together, and NotOpened where what they
            name is not on this controller.
        options: by name, besides ``type``.
    """

    build: t.Callable[[Options, Surroundings], Backend]
    options: t.Mapping[str, Option] = field(default_factory=dict)
