# Copyright: zfsfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A person beside the fake."""

from __future__ import annotations

import contextlib
import typing as t

from ansible_collections.zfsfleet.encryption.plugins.module_utils._errors import CallFailed, Refused
from ansible_collections.zfsfleet.encryption.plugins.module_utils._host import Creation, Host
from ansible_collections.zfsfleet.encryption.plugins.module_utils._keys import Key, from_file
from ansible_collections.zfsfleet.encryption.plugins.module_utils._names import pool_of
from ansible_collections.zfsfleet.encryption.tests.conformance.world import POOL, SMALL_POOL
from ansible_collections.zfsfleet.encryption.tests.fake.datasets import User
from ansible_collections.zfsfleet.encryption.tests.fake.openzfs import FakeOpenZFS


class FakeWorld:
    directory = "/proof"
    version = (2, 3)

    def __init__(self) -> None:
        self._host = FakeOpenZFS()
        for pool, mountpoint in ((POOL, self.directory), (SMALL_POOL, f"{self.directory}/small")):
            self._host.add_pool(pool, {"mountpoint": mountpoint, "canmount": "off"})
        self._data: dict[str, bytes] = {}

    def host(self, binding: str) -> Host:
        return self._host

    def checkpointed(self, name: str) -> t.ContextManager[None]:
        return self._host.checkpointed(name)

    def clone(self, origin: str, name: str) -> None:
        self._host.clone(origin, name)
        self._data[self._guid(name)] = self._data.get(self._guid(origin), b"")

    def promote(self, name: str) -> None:
        self._host.promote(name)

    def sweep(self, name: str) -> None:
        self._host.sweep(name)

    def nfs_server(self) -> t.ContextManager[None]:
        return contextlib.nullcontext()

    def exports(self) -> frozenset[str]:
        return frozenset(self._host.exported)

    def put_data(self, name: str, content: bytes) -> None:
        self._data[self._readable(name)] = content

    def data_of(self, name: str, size: int) -> bytes:
        return self._data[self._readable(name)][:size]

    def _guid(self, name: str) -> str:
        return self._host.datasets([pool_of(name)]).datasets[name].value("guid")

    def _readable(self, name: str) -> str:
        """Return the guid of what can be read and written."""
        dataset = self._host.datasets([pool_of(name)]).datasets[name]
        if dataset.is_volume:
            self._host.prove_readable(dataset)
        elif not dataset.is_mounted:
            raise AssertionError(f"{name} is not mounted")
        return dataset.value("guid")

    def replicate(self, source: str, target: str, *, properties: bool = True) -> None:
        self._host.replicate(source, target, properties=properties)

    def receiving(self, source: str, target: str) -> t.ContextManager[None]:
        return self._host.replication.running(source, target)

    def break_off(self, source: str, target: str) -> None:
        self._host.replication.break_off(source, target)

    def resume(self, target: str) -> None:
        self._host.replication.resume(target)

    def replicate_tree(self, source: str, target: str) -> None:
        self._host.replicate_tree(source, target)

    def send_decrypted(self, source: str, target: str) -> None:
        self._host.send_decrypted(source, target)

    def rename(self, old: str, new: str) -> None:
        self._host.rename(old, new)

    def hold(self, name: str) -> t.ContextManager[None]:
        return self._host.hold(name)

    def mount(self, name: str) -> None:
        self._host.mount(name)

    def mount_options(self, name: str) -> frozenset[str]:
        return self._host.mount_options(name)

    def put_file(self, path: str) -> None:
        self._host.places.put_file(path)

    def use(self, path: str) -> t.ContextManager[None]:
        return self._host.places.use(path)

    def take_away(self, path: str) -> None:
        self._host.places.take_away(path)

    def lose_node(self, volume: str) -> None:
        self._host.with_node.discard(volume)

    def has_node(self, volume: str) -> bool:
        return volume in self._host.with_node

    @contextlib.contextmanager
    def mount_units(self, name: str, *, masked: bool = False) -> t.Iterator[None]:
        if masked:
            self._host.fail_on("mount", name, CallFailed("its unit is masked", reason="mount_failed"))
        yield
        self._host.faults.pop(("mount", name), None)

    def let_systemd_act(self) -> None:
        pass

    def load_from_file(self, name: str, path: str) -> None:
        root = self._host.datasets([pool_of(name)]).datasets[name]
        try:
            key = from_file(self._host.key_files[path], root.keyformat, path=path)
        except Refused as refusal:
            raise CallFailed(str(refusal)) from None
        self._host.load_key(root, key)

    def mode_of(self, path: str) -> int:
        if path in self._host.key_files:
            return 0o400
        return 0o600 if self._host.device(path).kind == "file" else 0o644

    def history(self) -> bytes:
        return b""

    @contextlib.contextmanager
    def encrypted_pool(self, name: str, key: Key) -> t.Iterator[None]:
        self._host.add_pool(name, {"encryption": "on", "keyformat": "hex"}, key)
        yield

    def blank_disks(self) -> tuple[str, ...]:
        disks = {f"/dev/disk/by-id/virtio-d{number}": f"/dev/vd{letter}" for number, letter in enumerate("bcd")}
        for path, real in disks.items():
            self._host.add_disk(path, real=real)
            self._host.clear_device(path)
        return tuple(disks)

    def put_on(self, path: str, kind: str) -> None:
        self._host.fill(path, "ext4 'old'" if kind == "ext4" else "swap space 'old'")

    def mounted_disk(self, path: str) -> t.ContextManager[None]:
        return self._host.use_disk(path, f"{self._host.real_path(path)} is mounted on /somewhere")

    def attached_file(self, path: str) -> t.ContextManager[None]:
        return self._host.use_disk(path, "it is attached as /dev/loop0")

    def mount_apart(self, dataset: str) -> t.ContextManager[None]:
        words = f"process 1 (sleep) has {dataset} mounted in a mount namespace of its own"
        return self._use(dataset, words, keeps_mounted=False, yields=True)

    def work_in(self, dataset: str) -> t.ContextManager[None]:
        return self._use(dataset, f"process 1 (sleep) works in {self._place(dataset)}")

    def swap_to(self, volume: str) -> t.ContextManager[None]:
        return self._use(volume, f"the system swaps to volume {volume}")

    def keep_mounted_apart(self, dataset: str) -> t.ContextManager[None]:
        words = f"{dataset} is mounted in the mount namespace that /run/kept/0 keeps"
        return self._use(dataset, words, keeps_mounted=False, yields=True)

    @contextlib.contextmanager
    def bind(self, dataset: str) -> t.Iterator[str]:
        self._host.bind(dataset, "/bound")
        yield "/bound"

    def mount_inside(self, dataset: str) -> t.ContextManager[None]:
        place = f"{self._place(dataset)}/inside"
        return self._use(dataset, f"tmpfs is mounted on {place}, inside it", yields=True)

    def run_from(self, dataset: str) -> t.ContextManager[None]:
        return self._use(dataset, f"process 1 (program) has {self._place(dataset)}/program mapped")

    def look_into_snapshot(self, dataset: str) -> t.ContextManager[None]:
        return self._use(dataset, f"process 1 (sleep) has {self._place(dataset)}/.zfs/snapshot/seen/held open")

    def mount_volume(self, volume: str) -> t.ContextManager[None]:
        return self._use(volume, f"volume {volume} is mounted on /somewhere")

    def attach_volume(self, volume: str) -> t.ContextManager[None]:
        return self._use(volume, "/dev/loop0 is attached to /dev/zd0")

    def take_volume(self, volume: str) -> t.ContextManager[None]:
        return self._use(volume, f"process 1 (sleep) has volume {volume} open")

    def send(self, dataset: str, *, raw: bool = False) -> t.ContextManager[None]:
        if raw:
            return contextlib.nullcontext()
        return self._use(dataset, f"process 1 (zfs) sends {dataset}@sent", keeps_mounted=False)

    @contextlib.contextmanager
    def receive(self, dataset: str) -> t.Iterator[None]:
        self._host.create(Creation(dataset, {}))
        with self._use(dataset, f"process 1 (zfs) receives into {dataset}", keeps_mounted=False):
            yield

    def can_write_into(self, directory: str) -> bool:
        return self._host.place(directory).state in ("bare", "mounted")

    def boot_from(self, dataset: str) -> t.ContextManager[str]:
        return self._stand(dataset, "/boot")

    def boot_from_volume(self, volume: str) -> t.ContextManager[str]:
        return self._stand(volume, "/boot")

    def swap_in_words(self, volume: str) -> t.ContextManager[str]:
        return self._stand(volume, "swap on /dev/zd0")

    @contextlib.contextmanager
    def _stand(self, dataset: str, words: str) -> t.Iterator[str]:
        self._host.standing[dataset] = (words,)
        yield words
        del self._host.standing[dataset]

    def _place(self, dataset: str) -> str:
        return self._host.datasets([pool_of(dataset)]).datasets[dataset].value("mountpoint")

    @contextlib.contextmanager
    def _use(self, dataset: str, words: str, *, keeps_mounted: bool = True, yields: bool = False) -> t.Iterator[None]:
        self._host.use(dataset, User(words, keeps_mounted, yields))
        yield
        self._host.use(dataset)

    @contextlib.contextmanager
    def hostid(self, number: int) -> t.Iterator[None]:
        before = self._host.hostid()
        self._host.set_hostid(f"{number:08x}")
        yield
        self._host.set_hostid(before)

    def crash(self, pool: str) -> None:
        self._host.crash(pool)
