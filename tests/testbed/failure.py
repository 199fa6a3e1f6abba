"""The one error of the testbed: a sentence for the person who ran the command."""

from __future__ import annotations


class TestbedError(Exception):
    """What went wrong, where to look and what to do, in a sentence or two."""

    __test__ = False  # pytest collects classes named Test*
