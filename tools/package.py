"""Build the artefact that Galaxy would get, install it into an empty directory, and check what a user then has."""

from __future__ import annotations

import json
import shutil
import sys
import tempfile
import typing as t
from pathlib import Path

import artefact
from snapshot import ROOT, project_files
from verdicts import Command, Inspection, Verdict, report, run_two_at_once

if t.TYPE_CHECKING:
    from collections.abc import Mapping

COLLECTION = "zfsfleet.encryption"
OUTPUT = ROOT / "tests/output/package"
# Directories of plugins without documentation for users: private ones, and the controller's half of modules.
UNDOCUMENTED = ("action", "doc_fragments", "module_utils", "plugin_utils")
IMPORT_ALL = "import importlib, sys; [importlib.import_module(name) for name in sys.argv[1:]]"


class Installed:
    """The collection as a user has it, in a directory of its own."""

    def __init__(self, scratch: Path) -> None:
        self.scratch = scratch
        self.collections = scratch / "collections"
        self.root = self.collections / "ansible_collections" / COLLECTION.replace(".", "/")
        settings = scratch / "ansible.cfg"
        settings.touch()
        # Nothing from the checkout, and nothing of what this machine's user has set.
        self.environment = {
            "ANSIBLE_COLLECTIONS_PATH": str(self.collections),
            "ANSIBLE_CONFIG": str(settings),
            "PYTHONPATH": str(self.collections),
        }

    def command(
        self,
        name: str,
        *argv: str,
        wanted: tuple[str, ...] = (),
        unwanted: tuple[str, ...] = (),
        environment: Mapping[str, str] | None = None,
    ) -> Command:
        return Command(name, argv, self.scratch, {**self.environment, **(environment or {})}, wanted, unwanted)

    def public(self, directory: str, pattern: str) -> list[str]:
        """Full names of what is there for users; a private name begins with an underscore."""
        names = {found.stem for found in self.root.joinpath(directory).glob(pattern)}
        return sorted(f"{COLLECTION}.{name}" for name in names if name[0] not in "_.")

    def keep_only_what_is_loaded(self) -> None:
        for entry in self.root.iterdir():
            if entry.name in (*artefact.LOADED, *artefact.BUILT):
                continue
            if entry.is_dir():
                shutil.rmtree(entry)
            else:
                entry.unlink()


def build() -> Verdict:
    # From the checkout and not from a copy, since what lies around there is what build_ignore has to keep out.
    shutil.rmtree(OUTPUT, ignore_errors=True)
    argv = ("ansible-galaxy", "collection", "build", "--output-path", str(OUTPUT))
    return Command("build", argv, unwanted=("[WARNING]",))()


def install(installed: Installed, tarball: Path) -> Verdict:
    argv = ("ansible-galaxy", "collection", "install", "--offline", "-p", str(installed.collections), str(tarball))
    return installed.command("install", *argv)()


def examine(installed: Installed, tarball: Path) -> t.Iterator[Verdict]:
    yield installed.command("verify", "ansible-galaxy", "collection", "verify", "--offline", COLLECTION)()
    shipped = artefact.files_in(tarball)
    readme = installed.root.joinpath("README.md").read_text(encoding="utf-8")
    yield Inspection("contents", lambda: artefact.misplaced(shipped, project_files()))()
    yield Inspection("links of README.md", lambda: artefact.dead_links(readme, shipped))()
    yield from run_two_at_once(execution_environment(installed, tarball))
    installed.keep_only_what_is_loaded()
    yield from run_two_at_once([importer(installed, tarball), *uses(installed)])


def execution_environment(installed: Installed, tarball: Path) -> t.Iterator[Command]:
    """Whether ansible-builder can prepare an image with the collection; to build one takes a container engine."""
    introspect = ("ansible-builder", "introspect", str(installed.collections))
    yield installed.command("execution environment: introspect", *introspect)

    definition = installed.scratch / "execution-environment.yml"
    galaxy = {"collections": [{"name": str(tarball), "type": "file"}]}
    definition.write_text(json.dumps({"version": 3, "dependencies": {"galaxy": galaxy}}))
    create = ("ansible-builder", "create", "--file", str(definition), "--context", str(installed.scratch / "context"))
    yield installed.command("execution environment: create", *create)


def importer(installed: Installed, tarball: Path) -> Command:
    return installed.command(
        "galaxy-importer",
        *(sys.executable, "-m", "galaxy_importer.main", str(tarball)),
        # Its exit status tells only of what stops an import.
        unwanted=("WARNING: ", "ERROR: "),
        environment={
            "GALAXY_IMPORTER_CONFIG": str(ROOT / "tools/galaxy-importer.cfg"),
            "GALAXY_IMPORTER_ANSIBLE_LOCAL_TMP": str(installed.scratch / "importer"),
        },
    )


def uses(installed: Installed) -> t.Iterator[Command]:
    """What a user does first: nothing of it may need more than what Ansible loads."""
    plugins = [file.relative_to(installed.collections) for file in installed.root.glob("plugins/*/*.py")]
    modules = sorted(".".join(file.with_suffix("").parts) for file in plugins)
    yield installed.command("imports", sys.executable, "-P", "-c", IMPORT_ALL, *modules)
    yield from documentation(installed)
    for playbook in installed.public("playbooks", "*.yml"):
        yield installed.command(f"playbook {playbook}", "ansible-playbook", "--syntax-check", playbook)
    if roles := installed.public("roles", "*"):
        play = {"hosts": "localhost", "tasks": [{"ansible.builtin.import_role": {"name": role}} for role in roles]}
        installed.scratch.joinpath("roles.yml").write_text(json.dumps([play]))
        yield installed.command("roles", "ansible-playbook", "--syntax-check", "roles.yml")


def documentation(installed: Installed) -> t.Iterator[Command]:
    directories = sorted(entry.name for entry in installed.root.joinpath("plugins").iterdir() if entry.is_dir())
    names = {kind: installed.public(f"plugins/{kind}", "*.*") for kind in directories if kind not in UNDOCUMENTED}
    names["module"] = names.pop("modules", [])
    names["role"] = installed.public("roles", "*")
    for kind, documented in names.items():
        if documented:
            # What it cannot show, ansible-doc leaves out.
            argv = ("ansible-doc", "--json", "--type", kind, *documented)
            wanted = tuple(f'"{name}": {{' for name in documented)
            yield installed.command(f"ansible-doc {kind}", *argv, wanted=wanted)


def verdicts(scratch: Path) -> t.Iterator[Verdict]:
    built = build()
    yield built
    if not built.passed:
        return
    (tarball,) = OUTPUT.glob("*.tar.gz")
    installed = Installed(scratch)
    arrived = install(installed, tarball)
    yield arrived
    if arrived.passed:
        yield from examine(installed, tarball)
        print(f"{tarball.relative_to(ROOT)}: {tarball.stat().st_size // 1024} KiB")


def main() -> int:
    with tempfile.TemporaryDirectory(prefix="zfsfleet-") as scratch:
        return report("package", verdicts(Path(scratch)))


if __name__ == "__main__":
    sys.exit(main())
