"""Which tests can run where Ansible has sent a module."""

from __future__ import annotations

from pathlib import Path

import managed_host
import pytest

PLUGINS = f"{managed_host.COLLECTION}.plugins"
TESTS = f"{managed_host.COLLECTION}.tests"


@pytest.mark.parametrize(
    ("source", "needs_controller"),
    [
        pytest.param("import os\nimport pytest\n", False, id="nothing of Ansible"),
        pytest.param("from ansible.module_utils import basic\n", False, id="module_utils of Ansible"),
        pytest.param(f"from {PLUGINS}.module_utils._keys import Key\n", False, id="module_utils of the collection"),
        pytest.param(f"from {PLUGINS}.modules import zfs_unlock\n", False, id="a module"),
        pytest.param(f"from {PLUGINS} import module_utils\n", False, id="a package of plugins"),
        pytest.param("from ansible.errors import AnsibleError\n", True, id="the rest of Ansible"),
        pytest.param("import ansible.plugins.loader\n", True, id="a plain import"),
        pytest.param(f"from {PLUGINS}.plugin_utils._secret_action import SecretAction\n", True, id="plugin_utils"),
        pytest.param(f"from {PLUGINS} import lookup\n", True, id="another package of plugins"),
        pytest.param("def test():\n    from ansible.errors import AnsibleError\n", True, id="inside a function"),
        pytest.param("from .helper import record\n", True, id="by a helper beside it"),
        pytest.param("from . import helper\n", True, id="by a helper's name"),
        pytest.param("from ...fake import store\n", True, id="by a helper elsewhere"),
        pytest.param(f"from {TESTS}.fake.store import record\n", True, id="by a helper's full name"),
    ],
)
def test_what_a_test_imports_decides(tmp_path: Path, source: str, needs_controller: bool) -> None:
    tests = tmp_path / "tests/unit/plugins"
    fake = tmp_path / "tests/fake"
    for directory in (tests, fake):
        directory.mkdir(parents=True)
    (tests / "test_it.py").write_text(source)
    (tests / "helper.py").write_text("from .test_it import it\nfrom ...fake.store import record\n")
    (fake / "store.py").write_text("from ansible.parsing import vault\n")

    assert managed_host.needs_controller(tests / "test_it.py", tmp_path) is needs_controller
