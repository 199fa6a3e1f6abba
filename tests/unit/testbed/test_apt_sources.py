from __future__ import annotations

from pathlib import Path

import pytest
from testbed.apt_sources import (
    AptSource,
    choose_mirror,
    host_mirror,
    parse_deb822_format,
    parse_one_line_format,
    read_sources,
)

DEB822 = """\
Types: deb
# a comment
URIs: http://mirror.example/debian
Suites: bookworm bookworm-updates
Components: main
Signed-By: /usr/share/keyrings/debian-archive-keyring.gpg

Enabled: no
Types: deb
URIs: http://disabled.example/debian
Suites: bookworm
Components: main

Types: deb deb-src
URIs: http://mirror.example/debian-security
Suites: bookworm-security
Components: main
 contrib
"""


def test_deb822_format_has_comments_continued_fields_and_disabled_stanzas() -> None:
    assert list(parse_deb822_format(DEB822)) == [
        AptSource(("http://mirror.example/debian",), ("bookworm", "bookworm-updates"), ("main",)),
        AptSource(("http://mirror.example/debian-security",), ("bookworm-security",), ("main", "contrib")),
    ]


def test_one_line_format_has_options_and_comments() -> None:
    text = """
    # deb http://commented.example/debian bookworm main
    deb [arch=amd64 signed-by=/k.gpg] http://mirror.example/debian/ bookworm main contrib # why
    deb-src http://mirror.example/debian bookworm main
    """
    assert list(parse_one_line_format(text)) == [
        AptSource(("http://mirror.example/debian/",), ("bookworm",), ("main", "contrib"))
    ]


def test_both_formats_are_read_from_the_directory(tmp_path: Path) -> None:
    (tmp_path / "sources.list.d").mkdir()
    (tmp_path / "sources.list").write_text("deb http://one.example/debian bookworm main\n")
    (tmp_path / "sources.list.d" / "debian.sources").write_text(DEB822)
    (tmp_path / "sources.list.d" / "old.sources.save").write_text(DEB822)
    assert [source.uris[0] for source in read_sources(tmp_path)] == [
        "http://one.example/debian",
        "http://mirror.example/debian",
        "http://mirror.example/debian-security",
    ]


@pytest.mark.parametrize(
    ("sources", "mirror"),
    [
        pytest.param(
            [
                AptSource(("https://vendor.example/repo",), ("bookworm",), ("main",)),
                AptSource(("http://mirror.example/debian/",), ("bookworm",), ("main",)),
            ],
            "http://mirror.example/debian",
            id="vendor-before-debian",
        ),
        pytest.param(
            [AptSource(("http://mirror.example/debian-security",), ("bookworm-security",), ("main",))],
            None,
            id="security-only",
        ),
        pytest.param(
            [AptSource(("https://vendor.example/debian",), ("bookworm",), ("stable",))], None, id="no-main-component"
        ),
        pytest.param(
            [AptSource(("cdrom:[Debian]/", "http://m.example/pool"), ("stable",), ("main",))],
            "http://m.example/pool",
            id="by-alias-and-not-from-cdrom",
        ),
    ],
)
def test_mirror_is_the_archive_of_the_release(sources: list[AptSource], mirror: str | None) -> None:
    assert choose_mirror(sources, "bookworm") == mirror


def test_named_mirror_wins(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ZFSFLEET_TESTBED_MIRROR", "http://named.example/debian/")
    assert host_mirror() == "http://named.example/debian"
