# Copyright: zfsfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Where keys in files would die with the controller, or lie beside the data that they open."""

from __future__ import annotations

import pytest

from ansible_collections.zfsfleet.encryption.plugins.plugin_utils._controller import (
    Controller,
    Mount,
    danger,
    mounts_from,
    this_controller,
)

DISK = Mount("/", "ext4")
LAYER = Mount("/", "overlay")
RUNNER = {"LAUNCHED_BY_RUNNER": "1", "AWX_ISOLATED_DATA_DIR": "/runner/artifacts/4711"}


def over_ssh(*mounts: Mount, is_container: bool = False, environment: dict[str, str] | None = None) -> Controller:
    return Controller("ssh", environment or {}, mounts, is_container)


@pytest.mark.parametrize(
    ("path", "controller"),
    [
        pytest.param("/srv/keys", over_ssh(DISK), id="a disk"),
        pytest.param("/srv/keys", over_ssh(), id="a system that does not tell its mounts"),
        pytest.param("/srv/keys", over_ssh(DISK, environment={"CI": "true"}), id="a job in a lasting runner of GitLab"),
        pytest.param(
            "/srv/keys",
            over_ssh(DISK, environment={"RUNNER_ENVIRONMENT": "self-hosted"}),
            id="one's own runner of GitHub",
        ),
        pytest.param(
            "/srv/demo/project/keys",
            over_ssh(DISK, environment={"AWX_ISOLATED_DATA_DIR": "/srv/demo/artifacts/1"}),
            id="a directory that ansible-runner was given on a machine that lasts",
        ),
        pytest.param("/srv/keys", over_ssh(LAYER, Mount("/srv", "nfs4"), is_container=True), id="a volume"),
        pytest.param("/srv/keys", over_ssh(Mount("/srv/k", "tmpfs"), DISK), id="a name that begins the same"),
        pytest.param(
            "/srv/keys", over_ssh(Mount("/srv", "tmpfs"), DISK, Mount("/srv", "ext4")), id="mounted over memory"
        ),
        pytest.param(
            "/home/me/keys",
            over_ssh(LAYER, Mount("/home/me", "ext4"), Mount("/runner", "ext4"), is_container=True, environment=RUNNER),
            id="the project that ansible-navigator mounts where it lies",
        ),
    ],
)
def test_nothing_speaks_against(path: str, controller: Controller) -> None:
    assert danger(path, controller) is None


@pytest.mark.parametrize(
    ("controller", "cause"),
    [
        pytest.param(over_ssh(DISK, Mount("/srv", "tmpfs")), "tmpfs at /srv", id="memory"),
        pytest.param(over_ssh(DISK, Mount("/srv", "ext4"), Mount("/srv", "tmpfs")), "tmpfs", id="memory over a disk"),
        pytest.param(over_ssh(LAYER), "in a container", id="a container's layer"),
        pytest.param(
            over_ssh(Mount("/", "btrfs"), is_container=True), "in a container", id="a container without layers"
        ),
        pytest.param(
            over_ssh(DISK, environment={"RUNNER_ENVIRONMENT": "github-hosted"}), "GitHub", id="a runner of GitHub's"
        ),
        pytest.param(
            over_ssh(DISK, environment={"CI_DISPOSABLE_ENVIRONMENT": "true"}), "GitLab", id="a runner of GitLab's"
        ),
    ],
)
def test_what_does_not_last(controller: Controller, cause: str) -> None:
    refusal = danger("/srv/keys", controller)
    assert refusal is not None
    assert cause in refusal
    assert "/srv/keys" in refusal
    assert "allow_local: true" in refusal


@pytest.mark.parametrize("path", ["/runner/project/keys", "/runner"])
@pytest.mark.parametrize(
    "environment",
    [
        pytest.param(RUNNER, id="in a container"),
        pytest.param({"LAUNCHED_BY_RUNNER": "1"}, id="in a container of an old release"),
        pytest.param({**RUNNER, "LAUNCHED_BY_RUNNER": "", "AWX_PRIVATE_DATA_DIR": "/tmp/awx_1"}, id="of AWX"),
        pytest.param({**RUNNER, "LAUNCHED_BY_RUNNER": "", "KUBERNETES_SERVICE_HOST": "10.0.0.1"}, id="in a pod"),
    ],
)
def test_what_a_job_of_runner_leaves_is_removed(path: str, environment: dict[str, str]) -> None:
    refusal = danger(path, over_ssh(DISK, Mount("/runner", "ext4"), environment=environment))
    assert refusal is not None
    assert "ansible-runner" in refusal


@pytest.mark.parametrize(
    "transport", ["local", "ansible.builtin.local", "community.general.chroot", "community.general.lxc"]
)
def test_the_host_itself_keeps_no_key_to_its_data(transport: str) -> None:
    refusal = danger("/srv/keys", Controller(transport, {}, (DISK,)))
    assert refusal is not None
    assert transport in refusal
    assert "allow_local: true" in refusal


def test_mounts_are_read_as_the_kernel_writes_them() -> None:
    text = (
        "22 1 254:0 / / rw,relatime shared:1 - ext4 /dev/vda rw\n"
        "40 22 0:35 / /mnt/a\\040b\\134c rw,nosuid shared:20 master:1 - tmpfs tmpfs rw,size=1k\n"
        "41 22 0:36 / /plain rw - fuse.sshfs a@b: rw\n"
        "\n"
    )
    assert mounts_from(text) == (DISK, Mount("/mnt/a b\\c", "tmpfs"), Mount("/plain", "fuse.sshfs"))


def test_this_one_is_looked_at(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("container", "podman")
    monkeypatch.setenv("CI_DISPOSABLE_ENVIRONMENT", "true")
    controller = this_controller("ssh")
    assert controller.is_container
    assert controller.environment["CI_DISPOSABLE_ENVIRONMENT"] == "true"
    assert "/" in {mount.directory for mount in controller.mounts}


def test_memory_of_this_one_is_known_as_such() -> None:
    refusal = danger("/dev/shm/keys", Controller("ssh", {}, this_controller("ssh").mounts))
    assert refusal is not None
    assert "memory" in refusal
