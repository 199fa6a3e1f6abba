"""A managed host's view: a Python with Ansible's module_utils and nothing else of Ansible."""

from __future__ import annotations

import ast
import shutil
import typing as t
from pathlib import Path

if t.TYPE_CHECKING:
    from collections.abc import Iterator

COLLECTION = "ansible_collections.zfsfleet.encryption"
# What a module brings along when Ansible sends it.
SENT = ("ansible.module_utils", f"{COLLECTION}.plugins.modules", f"{COLLECTION}.plugins.module_utils")
STAYS = ("ansible", f"{COLLECTION}.plugins")


def provide_module_utils(core: Path, destination: Path) -> None:
    """Lay out what Ansible would send, from an installed ansible-core."""
    shutil.rmtree(destination, ignore_errors=True)
    package = destination / "ansible"
    (source,) = core.glob("lib/python3*/site-packages/ansible/module_utils")
    shutil.copytree(source, package / "module_utils", ignore=shutil.ignore_patterns("__pycache__"))
    package.joinpath("__init__.py").write_text('__version__ = "0"\n')


def needs_controller(test: Path, collection: Path) -> bool:
    """Whether a test, or a helper that it imports, uses what never leaves the controller."""
    todo, seen = [test], {test}
    while todo:
        for module in _imports(todo.pop(), collection):
            if _is_in(module, STAYS) and not _is_in(module, SENT) and module != f"{COLLECTION}.plugins":
                return True
            helper = collection.joinpath(*module.removeprefix(f"{COLLECTION}.").split(".")).with_suffix(".py")
            if _is_in(module, (f"{COLLECTION}.tests",)) and helper.exists() and helper not in seen:
                seen.add(helper)
                todo.append(helper)
    return False


def _imports(file: Path, collection: Path) -> Iterator[str]:
    """Full names of all that is imported, be it a module or something in it."""
    package = [COLLECTION, *file.relative_to(collection).parent.parts]
    for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = package[: len(package) - node.level + 1] if node.level else []
            module = ".".join([*base, *filter(None, [node.module])])
            yield module
            yield from (f"{module}.{alias.name}" for alias in node.names)


def _is_in(module: str, packages: tuple[str, ...]) -> bool:
    return any(module == package or module.startswith(f"{package}.") for package in packages)
