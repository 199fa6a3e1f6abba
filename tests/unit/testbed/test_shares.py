from __future__ import annotations

import collections
from pathlib import Path

from ansible_collections.zfsfleet.encryption.tests.conformance import in_machine

FILES = sorted(path.name for path in Path(in_machine.__file__).parent.glob("test_*.py"))


def test_statements_about_keys_are_held_by_each_binding_and_each_other_file_by_one_share() -> None:
    shares = in_machine.shares(in_machine.BINDINGS)
    about_keys = {share.binding: share.files for share in shares if share.words == in_machine.ABOUT_KEYS}
    others = collections.Counter(
        Path(file).name for share in shares if share.name not in about_keys for file in share.files
    )

    assert about_keys == dict.fromkeys(in_machine.BINDINGS, (in_machine.STATEMENTS,))
    assert others == dict.fromkeys(FILES, 1)
    assert len({share.name for share in shares}) == len(shares)


def test_words_for_pytest_hold_what_is_not_about_keys_once() -> None:
    first, second = in_machine.one_by_one(in_machine.BINDINGS, ["-k", "mounting"])

    assert (first.binding, first.words) == ("pyzfs", ("-k", "mounting"))
    assert (second.binding, second.words) == ("cli", (*in_machine.ABOUT_KEYS, "-k", "mounting"))
