# Copyright: zfsfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the verdicts about offered keys mean for a root. Private to the collection."""

from __future__ import annotations

import typing as t

from ._keys import Key
from ._model import Dataset
from ._offers import Offers
from ._plan import Failure, Observed


def opening_key(root: Dataset, offers: Offers, observed: Observed) -> Key | None:
    """Return the first offered key that opens a root."""
    for key in offers.for_root(root, observed.key_files).keys:
        if observed.verdict(root.name, key).outcome == "opens":
            return key
    return None


def unopened(root: Dataset, offers: Offers, observed: Observed, *, kept: str = "") -> Failure | None:
    """Say why no offered key opens a root; None if one does.

    Args:
        root: the root.
        offers: what was offered.
        observed: the verdicts.
        kept: a sentence about what follows from it.
    """
    if opening_key(root, offers, observed) is not None:
        return None
    candidates = offers.for_root(root, observed.key_files)
    remarks = "".join(f" {remark}" for remark in (*candidates.remarks, *_hints(root, candidates.keys)))
    kept = f" {kept}" if kept else ""
    if not candidates.are_given:
        return Failure(
            "no_key",
            f"No key was given for {root.name} (keyformat {root.keyformat}).{remarks} "
            f"Give it in secrets or in a manifest.{kept}",
        )
    verdicts = [observed.verdict(root.name, key) for key in candidates.keys]
    unknown = next((verdict for verdict in verdicts if verdict.outcome == "unknown"), None)
    if unknown is not None:
        return Failure(
            "unknown",
            f"The keys given for {root.name} could not be tried: {unknown.detail}.{remarks}{kept}",
            unknown.errno,
        )
    return Failure("wrong_key", f"None of the keys given for {root.name} opens it.{remarks}{kept}")


def _hints(root: Dataset, keys: t.Iterable[Key]) -> t.Iterator[str]:
    """Say what often lies behind it: a line feed that YAML appended, an address that only ``zfs`` itself asks."""
    if any(key.kind == "passphrase" and key.secret.endswith((b"\n", b"\r")) for key in keys):
        yield "A passphrase given ends with a line feed, which none can: in YAML, quote it or use '|-'."
    location = root.value("keylocation")
    if location.startswith(("http://", "https://")):
        yield f"Its keylocation is {location}, which this collection never fetches."
