# Copyright: zfsfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A key from escrow, for people."""

from __future__ import annotations

DOCUMENTATION = r"""
name: escrow_key
short_description: The key of an encryption root, from escrow
version_added: 0.1.0
description:
  - >-
    Returns the key that is most likely the present one of an encryption root, as it is in escrow, 64 hexadecimal digits
    or a passphrase.
  - >-
    This is a convenience for people, as for showing a key or handing it to another tool. Tasks of this collection need
    no lookup; they take O(escrow) themselves, try every version on the host, and keep keys out of variables. What a
    lookup returns is a variable, which Ansible shows where nobody tells it not to.
  - >-
    Nothing is tried. Of several versions that had to do with the name, an active one comes before those that were not
    seen to open anything and those that were replaced, and the newest comes first. A place that could not be read may
    have a newer one; a warning tells of it.
author:
  - zfsfleet contributors (@zfsfleet)
extends_documentation_fragment:
  - zfsfleet.encryption._escrow
options:
  _terms:
    description:
      - Encryption roots, by their names on the host.
    type: list
    elements: str
    required: true
  host:
    description:
      - The host's name in the inventory, by default that of the host that the task is for.
    type: str
seealso:
  - module: zfsfleet.encryption.zfs_unlock
  - module: zfsfleet.encryption.zfs_key_export
"""

EXAMPLES = r"""
- name: Show a key to a person
  ansible.builtin.debug:
    msg: "{{ lookup('zfsfleet.encryption.escrow_key', 'tank/home', escrow=places) }}"
  vars:
    places:
      - type: vault_file
        path: /srv/escrow
"""

RETURN = r"""
_raw:
  description: The keys, in the order of the names.
  type: list
  elements: str
"""

import typing as t

from ansible.errors import AnsibleLookupError
from ansible.parsing.dataloader import DataLoader
from ansible.plugins.lookup import LookupBase
from ansible.utils.display import Display

from ..module_utils._errors import EncryptionError, Refused, unforeseen
from ..plugin_utils._backend import Backend, Surroundings
from ..plugin_utils._backends import backends_from
from ..plugin_utils._escrow import Escrow
from ..plugin_utils._fitting import Index
from ..plugin_utils._trial import text


class LookupModule(LookupBase):
    """Keys by the names of their roots."""

    def run(self, terms: list[str], variables: dict[str, t.Any] | None = None, **options: t.Any) -> list[str]:
        _refuse_malformed(options.get("escrow"))
        self.set_options(var_options=variables, direct=options)  # type: ignore[no-untyped-call]
        host = str(self._option("host") or (variables or {}).get("inventory_hostname") or "")
        try:
            # What a connection is, a lookup does not know; it writes nothing.
            around = Surroundings(t.cast(DataLoader, self._loader), host, "ssh")
            backends = backends_from(self._option("escrow") or [], around)
            return keys_of(backends, host, terms, Display().warning)
        except EncryptionError as error:
            raise AnsibleLookupError(str(error)) from None
        except Exception as error:  # noqa: BLE001  # its text may hold anything
            raise AnsibleLookupError(unforeseen(error)) from None

    def _option(self, name: str) -> t.Any:
        return self.get_option(name)  # type: ignore[no-untyped-call]


def _refuse_malformed(escrow: t.Any) -> None:
    """Refuse what is no list of mappings: Ansible would quote it, with the secrets that may be in it."""
    if escrow is None or (isinstance(escrow, list) and all(isinstance(entry, t.Mapping) for entry in escrow)):
        return
    raise AnsibleLookupError(
        "escrow is no list of mappings. It may hold secrets, so it is not shown. Write one mapping for each place, "
        "like [{type: vault_file, path: ...}]."
    )


def keys_of(
    backends: t.Sequence[Backend], host: str, terms: t.Iterable[str], warn: t.Callable[[str], object]
) -> list[str]:
    """Return the likeliest keys of a host's roots, as people write them.

    Args:
        backends: where to look.
        host: its name in the inventory.
        terms: the roots.
        warn: told what could not be read.

    Raises:
        Refused: there is none.
        BackendFailed: nothing could be read, or copies differ.
    """
    if not backends:
        raise Refused("escrow names no place for keys. Name one, like {type: vault_file, path: ...}.")
    escrow = Escrow(backends, 1)
    try:
        index = Index(escrow.entries(host))
        found = [_key(escrow, index, str(term), host) for term in terms]
        for problem in escrow.problems:
            warn(problem)
        return found
    finally:
        escrow.close()


def _key(escrow: Escrow, index: Index, dataset: str, host: str) -> str:
    found = index.named(dataset)
    if not found:
        problems = "".join(f" {problem}" for problem in escrow.problems)
        raise Refused(f"Escrow has no key for {dataset} of {host}.{problems} zfs_key_escrow_info lists what is there.")
    try:
        return next(iter(text(escrow.copies(found[0]).agreed.key).values()))
    except UnicodeDecodeError:
        raise Refused(f"The passphrase {found[0].key_id} of {dataset} is no UTF-8, so it is no text.") from None
