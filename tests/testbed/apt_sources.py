"""The Debian mirror that the host's apt uses, read from its sources in both formats."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from .failure import TestbedError

MIRROR_VARIABLE = "ZFSFLEET_TESTBED_MIRROR"


@dataclass(frozen=True)
class AptSource:
    uris: tuple[str, ...]
    suites: tuple[str, ...]
    components: tuple[str, ...]


def parse_one_line_format(text: str) -> Iterator[AptSource]:
    """`deb [options] uri suite component...`"""
    for line in text.splitlines():
        match = re.match(r"\s*deb\s+(?:\[[^\]]*\]\s+)?(\S+)\s+(\S+)\s*([^#]*)", line)
        if match:
            uri, suite, components = match.groups()
            yield AptSource((uri,), (suite,), tuple(components.split()))


def parse_deb822_format(text: str) -> Iterator[AptSource]:
    """Stanzas of fields, where a line that starts with a blank continues the field above."""
    without_comments = "\n".join(line for line in text.splitlines() if not line.startswith("#"))
    for stanza in re.split(r"\n\s*\n", without_comments):
        fields: dict[str, list[str]] = {}
        name = ""
        for line in stanza.splitlines():
            if line[:1] in (" ", "\t"):
                fields.setdefault(name, []).extend(line.split())
            else:
                name, _colon, values = line.partition(":")
                name = name.strip().lower()
                fields.setdefault(name, []).extend(values.split())
        enabled = fields.get("enabled", ["yes"])[0].lower() not in ("no", "false", "0", "off", "without", "disable")
        if enabled and "deb" in fields.get("types", []):
            uris, suites, components = (tuple(fields.get(key, ())) for key in ("uris", "suites", "components"))
            yield AptSource(uris, suites, components)


def read_sources(apt_directory: Path) -> Iterator[AptSource]:
    parts = apt_directory / "sources.list.d"
    for path in [apt_directory / "sources.list", *sorted(parts.glob("*.list"))]:
        if path.is_file():
            yield from parse_one_line_format(path.read_text())
    for path in sorted(parts.glob("*.sources")):
        yield from parse_deb822_format(path.read_text())


def choose_mirror(sources: Iterable[AptSource], codename: str) -> str | None:
    """The archive of the release itself: others carry its name too, but rarely `main` below `/debian`."""
    aliases = {codename, "stable", "oldstable", "testing", "sid", "unstable"}
    candidates = [
        uri.rstrip("/")
        for source in sources
        if aliases.intersection(source.suites) and "main" in source.components
        for uri in source.uris
        if uri.startswith(("http://", "https://"))
    ]
    return next((uri for uri in candidates if uri.endswith("/debian")), candidates[0] if candidates else None)


def os_release(path: Path = Path("/etc/os-release")) -> dict[str, str]:
    pairs = (line.partition("=") for line in path.read_text().splitlines() if "=" in line)
    return {key: value.strip().strip('"') for key, _equals, value in pairs}


def host_mirror() -> str:
    given = os.environ.get(MIRROR_VARIABLE)
    if given:
        return given.rstrip("/")
    release = os_release()
    mirror = None
    if release.get("ID") == "debian":
        mirror = choose_mirror(read_sources(Path("/etc/apt")), release.get("VERSION_CODENAME", ""))
    if mirror is None:
        raise TestbedError(
            "apt on this host is not set up with an http(s) mirror of Debian to build the image from."
            f" Name one in the variable {MIRROR_VARIABLE}."
        )
    return mirror
