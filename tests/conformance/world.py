# Copyright: zfsfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a person does beside the protocol: cloning, replicating, holding things open, leaving files about."""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import stat
import subprocess
import time
import typing as t
from pathlib import Path

from ansible_collections.zfsfleet.encryption.plugins.module_utils._errors import CallFailed
from ansible_collections.zfsfleet.encryption.plugins.module_utils._host import Creation, Host
from ansible_collections.zfsfleet.encryption.plugins.module_utils._keys import Key
from ansible_collections.zfsfleet.encryption.plugins.module_utils._model import pool_of
from ansible_collections.zfsfleet.encryption.plugins.module_utils._openzfs import OpenZFS
from ansible_collections.zfsfleet.encryption.tests.fake.datasets import User
from ansible_collections.zfsfleet.encryption.tests.fake.openzfs import FakeOpenZFS

POOL = "proof"
SMALL_POOL = "proof.small"  # of few datasets, for what reads them all
# What OpenZFS's history_event-zfs-list-cacher.sh writes down for its generator.
CACHED_PROPERTIES = (
    *("name", "mountpoint", "canmount", "atime", "relatime", "devices", "exec", "readonly", "setuid", "nbmand"),
    *("encroot", "keylocation"),
    *(
        f"org.openzfs.systemd:{name}"
        for name in (
            "requires",
            "requires-mounts-for",
            "before",
            "after",
            "wanted-by",
            "required-by",
            "nofail",
            "ignore",
        )
    ),
)
HOSTID = "/sys/module/spl/parameters/spl_hostid"
LAST_RECORD = 312  # bytes of every record of a stream; the last one says that it is complete (dmu_replay_record_t)
PIPE = 1024 * 1024  # bytes, more than a pipe holds
TIMEOUT = 20.0  # seconds until udev has made a volume's node, or a process runs


class World(t.Protocol):
    """A machine with two pools whose root datasets are plain and never mounted.

    Their mountpoints are ``directory``, and the small pool's is ``small`` below it.
    """

    directory: str

    def host(self, binding: str) -> Host:
        """Return the machine as a binding reaches it."""

    def clone(self, origin: str, name: str) -> None:
        """Clone a new snapshot of a dataset, which is named as the clone is."""

    def promote(self, name: str) -> None:
        """Let a clone and its origin change places."""

    def sweep(self, name: str) -> None:
        """Destroy a dataset and all below it, with snapshots, clones and mounts."""

    def put_data(self, name: str, content: bytes) -> None:
        """Write to a mounted filesystem, or a volume."""

    def data_of(self, name: str, size: int) -> bytes:
        """Read what was written first."""

    def replicate(self, source: str, target: str, *, properties: bool = True) -> None:
        """Send a dataset raw, with or without its properties: the first time in full, then the increment."""

    def receiving(self, source: str, target: str) -> t.ContextManager[None]:
        """Have the next raw stream of a mounted filesystem being received, which ends without effect."""

    def break_off(self, source: str, target: str) -> None:
        """Lose the connection during the next raw stream of a mounted filesystem; the receiver keeps what it has."""

    def resume(self, target: str) -> None:
        """Receive the rest of a stream that broke off."""

    def replicate_tree(self, source: str, target: str) -> None:
        """Send a dataset raw with all below it and its properties, once."""

    def send_decrypted(self, source: str, target: str) -> None:
        """Send a dataset not raw; raises CallFailed as all that follows does where OpenZFS refuses."""

    def rename(self, old: str, new: str) -> None:
        """Rename a dataset with all below it."""

    def hold(self, name: str) -> t.ContextManager[None]:
        """Have a file of a mounted filesystem open, or a volume."""

    def mount(self, name: str) -> None:
        """Mount a filesystem by the command."""

    def mount_options(self, name: str) -> frozenset[str]:
        """Return the options that a filesystem is mounted with."""

    def put_file(self, path: str) -> None:
        """Leave a file, and the directories above it."""

    def take_away(self, path: str) -> None:
        """Take a file that was left away."""

    def use(self, path: str) -> t.ContextManager[None]:
        """Have a process that works in a directory."""

    def mount_units(self, name: str, *, masked: bool = False) -> t.ContextManager[None]:
        """Have systemd units for what lies at and below a dataset; the unit of its key may be masked."""

    def let_systemd_act(self) -> None:
        """Wait as long as systemd may take to unmount what it does not want mounted."""

    def mode_of(self, path: str) -> int:
        """Return a file's permissions."""

    def encrypted_pool(self, name: str, key: Key) -> t.ContextManager[None]:
        """Have another pool, its root dataset an encryption root of keyformat hex."""

    def blank_disks(self) -> tuple[str, ...]:
        """Return three disks by lasting names, whatever lay on them gone."""

    def put_on(self, path: str, kind: str) -> None:
        """Make ``ext4`` or ``swap`` on a disk or file, labelled ``old``."""

    def mounted_disk(self, path: str) -> t.ContextManager[None]:
        """Have the ext4 on a disk mounted."""

    def attached_file(self, path: str) -> t.ContextManager[None]:
        """Have a file attached to a loop device."""

    def mount_apart(self, dataset: str) -> t.ContextManager[None]:
        """Have a process that has all file systems mounted in a mount namespace of its own."""

    def work_in(self, dataset: str) -> t.ContextManager[None]:
        """Have a process whose working directory is a mounted filesystem."""

    def swap_to(self, volume: str) -> t.ContextManager[None]:
        """Have the system swap to a volume."""

    def keep_mounted_apart(self, dataset: str) -> t.ContextManager[None]:
        """Have a mount namespace with all file systems mounted, kept by a file, with no process in it."""

    def bind(self, dataset: str) -> t.ContextManager[str]:
        """Have a mounted filesystem mounted a second time, and say where."""

    def mount_inside(self, dataset: str) -> t.ContextManager[None]:
        """Have another file system mounted inside a mounted filesystem."""

    def run_from(self, dataset: str) -> t.ContextManager[None]:
        """Have a process whose program lies on a mounted filesystem."""

    def look_into_snapshot(self, dataset: str) -> t.ContextManager[None]:
        """Have a file of a mounted filesystem's snapshot open."""

    def mount_volume(self, volume: str) -> t.ContextManager[None]:
        """Have an ext4 on a volume mounted."""

    def attach_volume(self, volume: str) -> t.ContextManager[None]:
        """Have a volume attached to a loop device."""

    def take_volume(self, volume: str) -> t.ContextManager[None]:
        """Have a volume opened exclusively, as a pool or a target does."""

    def send(self, dataset: str, *, raw: bool = False) -> t.ContextManager[None]:
        """Have a dataset sent, and nobody who takes the stream."""

    def receive(self, dataset: str) -> t.ContextManager[None]:
        """Have a new dataset received, and half of the stream to come."""

    def can_write_into(self, directory: str) -> bool:
        """Try to leave a file in a directory."""

    def boot_from(self, dataset: str) -> t.ContextManager[str]:
        """Have a filesystem with a legacy mountpoint mounted on /boot, and say what stands on it then."""

    def boot_from_volume(self, volume: str) -> t.ContextManager[str]:
        """Have an ext4 on a volume mounted on /boot, and say what stands on it then."""

    def swap_in_words(self, volume: str) -> t.ContextManager[str]:
        """Have the system swap to a volume, and say what stands on it then."""

    def hostid(self, number: int) -> t.ContextManager[None]:
        """Give this system a hostid."""

    def crash(self, pool: str) -> None:
        """Leave a pool on files as a system does that goes down without exporting it."""


class FakeWorld:
    directory = "/proof"

    def __init__(self) -> None:
        self._host = FakeOpenZFS()
        for pool, mountpoint in ((POOL, self.directory), (SMALL_POOL, f"{self.directory}/small")):
            self._host.add_pool(pool, {"mountpoint": mountpoint, "canmount": "off"})
        self._data: dict[str, bytes] = {}

    def host(self, binding: str) -> Host:
        return self._host

    def clone(self, origin: str, name: str) -> None:
        self._host.clone(origin, name)
        self._data[self._guid(name)] = self._data.get(self._guid(origin), b"")

    def promote(self, name: str) -> None:
        self._host.promote(name)

    def sweep(self, name: str) -> None:
        self._host.sweep(name)

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

    @contextlib.contextmanager
    def mount_units(self, name: str, *, masked: bool = False) -> t.Iterator[None]:
        if masked:
            self._host.fail_on("mount", name, CallFailed("its unit is masked", reason="mount_failed"))
        yield
        self._host.faults.pop(("mount", name), None)

    def let_systemd_act(self) -> None:
        pass

    def mode_of(self, path: str) -> int:
        if path in self._host.key_files:
            return 0o400
        return 0o600 if self._host.device(path).kind == "file" else 0o644

    @contextlib.contextmanager
    def encrypted_pool(self, name: str, key: Key) -> t.Iterator[None]:
        self._host.add_pool(name, {"encryption": "on", "keyformat": "hex"}, key)
        yield

    def blank_disks(self) -> tuple[str, ...]:
        paths = tuple(f"/dev/disk/by-id/virtio-d{number}" for number in range(3))
        for path, real in zip(paths, ("/dev/vdb", "/dev/vdc", "/dev/vdd"), strict=True):
            self._host.add_disk(path, real=real)
            self._host.clear_device(path)
        return paths

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


class RealWorld:
    """Pools on sparse files in a directory that goes away with them."""

    def __init__(self, directory: str) -> None:
        self._files = directory
        self.directory = f"{directory}/mnt"
        for pool, size, mountpoint in ((POOL, "512M", self.directory), (SMALL_POOL, "256M", f"{self.directory}/small")):
            self._make_pool(pool, size, (f"mountpoint={mountpoint}", "canmount=off"))

    def close(self) -> None:
        for pool in (POOL, SMALL_POOL):
            _run("zpool", "destroy", "-f", pool)
        # What is still protected could not be removed.
        subprocess.run(["chattr", "-R", "-f", "-i", self._files], check=False, stderr=subprocess.DEVNULL)

    def host(self, binding: str) -> Host:
        return OpenZFS(binding)

    def clone(self, origin: str, name: str) -> None:
        snapshot = f"{origin}@{name.rpartition('/')[2]}"
        _run("zfs", "snapshot", snapshot)
        _run("zfs", "clone", snapshot, name)
        # Cloning mounts, and there is no option against it before OpenZFS 2.3.
        subprocess.run(["zfs", "unmount", name], check=False, stderr=subprocess.DEVNULL)

    def promote(self, name: str) -> None:
        _try("zfs", "promote", name)

    def sweep(self, name: str) -> None:
        def is_gone() -> bool:  # udev has a look at a volume that was just closed
            return subprocess.run(["zfs", "destroy", "-Rf", name], check=False, capture_output=True).returncode == 0

        _wait(is_gone, f"the end of {name}")

    def put_data(self, name: str, content: bytes) -> None:
        with open(_data_file(name), "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())

    def data_of(self, name: str, size: int) -> bytes:
        with open(_data_file(name), "rb") as file:
            return file.read(size)

    def replicate(self, source: str, target: str, *, properties: bool = True) -> None:
        # What is mounted was written to, and has to be rolled back.
        mounted = subprocess.run(["zfs", "get", "-Ho", "value", "mounted", target], check=False, capture_output=True)
        words = ["-uF" if mounted.stdout == b"yes\n" else "-u", target]
        stream = _next_stream(source, "-wp" if properties else "-w")
        if mounted.returncode != 0:
            _wait_for_another_second()  # times are in seconds, and a new replica shall be younger than its snapshot
        _run("zfs", "receive", *words, stdin=stream)

    @contextlib.contextmanager
    def receiving(self, source: str, target: str) -> t.Iterator[None]:
        stream = _next_stream(source, "-w", write=True)
        receive = ["zfs", "receive", "-u", target]
        with subprocess.Popen(receive, stdin=subprocess.PIPE, stderr=subprocess.DEVNULL) as receiver:
            pipe = t.cast(t.IO[bytes], receiver.stdin)
            pipe.write(stream[:-LAST_RECORD])
            pipe.flush()
            _wait(lambda: _is_receiving(target), f"the beginning of {target}")
            yield

    def break_off(self, source: str, target: str) -> None:
        most = _next_stream(source, "-w", write=True)[:-LAST_RECORD]
        subprocess.run(["zfs", "receive", "-su", target], check=False, input=most, stderr=subprocess.DEVNULL)

    def resume(self, target: str) -> None:
        token = _output("zfs", "get", "-Hpo", "value", "receive_resume_token", target).strip()
        rest = subprocess.run(["zfs", "send", "-t", token], check=True, stdout=subprocess.PIPE).stdout
        _run("zfs", "receive", "-su", target, stdin=rest)

    def replicate_tree(self, source: str, target: str) -> None:
        snapshot = f"{source}@{target.rpartition('/')[2]}"
        _run("zfs", "snapshot", "-r", snapshot)
        stream = subprocess.run(["zfs", "send", "-wR", snapshot], check=True, stdout=subprocess.PIPE).stdout
        _run("zfs", "receive", "-u", target, stdin=stream)

    def send_decrypted(self, source: str, target: str) -> None:
        snapshot = f"{source}@{target.rpartition('/')[2]}"
        _run("zfs", "snapshot", snapshot)
        sent = subprocess.run(["zfs", "send", snapshot], check=False, capture_output=True)
        if sent.returncode == 0:
            _try("zfs", "receive", "-u", target, stdin=sent.stdout)
        else:
            raise CallFailed(sent.stderr.decode())

    def rename(self, old: str, new: str) -> None:
        _try("zfs", "rename", old, new)

    @contextlib.contextmanager
    def hold(self, name: str) -> t.Iterator[None]:
        kind, mountpoint = _output("zfs", "get", "-Hpo", "value", "type,mountpoint", name).split("\n")[:2]
        if kind == "volume":
            with open(_node(name), "rb") as file, _process(stdin=file):
                yield
        else:
            with open(f"{mountpoint}/held", "wb") as held, _process(stdout=held):
                yield

    def mount(self, name: str) -> None:
        _run("zfs", "mount", name)

    def mount_options(self, name: str) -> frozenset[str]:
        lines = Path("/proc/self/mountinfo").read_text(encoding="utf-8").splitlines()
        found = [line.split(" ") for line in lines if f" - zfs {name} " in line]
        return frozenset(option for words in found for option in (*words[5].split(","), *words[-1].split(",")))

    def put_file(self, path: str) -> None:
        os.makedirs(os.path.dirname(path), exist_ok=True)
        with open(path, "wb"):
            pass

    def take_away(self, path: str) -> None:
        os.remove(path)

    @contextlib.contextmanager
    def use(self, path: str) -> t.Iterator[None]:
        with _process(cwd=path):
            yield

    @contextlib.contextmanager
    def mount_units(self, name: str, *, masked: bool = False) -> t.Iterator[None]:
        cache = Path("/etc/zfs/zfs-list.cache/proof")
        cache.parent.mkdir(exist_ok=True)
        cache.write_text(_output("zfs", "list", "-rHo", ",".join(CACHED_PROPERTIES), name), encoding="utf-8")
        unit = _output("systemd-escape", "--template=zfs-load-key@.service", name).strip()
        mask = Path("/run/systemd/system", unit)
        if masked:
            mask.symlink_to("/dev/null")
        _run("systemctl", "daemon-reload")
        try:
            yield
        finally:
            cache.unlink()
            mask.unlink(missing_ok=True)
            _run("systemctl", "stop", "zfs-load-key@*.service")
            _run("systemctl", "daemon-reload")

    def let_systemd_act(self) -> None:
        time.sleep(3)

    def mode_of(self, path: str) -> int:
        return stat.S_IMODE(os.stat(path).st_mode)

    @contextlib.contextmanager
    def encrypted_pool(self, name: str, key: Key) -> t.Iterator[None]:
        options = ("encryption=on", "keyformat=hex", "keylocation=prompt", "mountpoint=none")
        self._make_pool(name, "64M", options, key.text("hex") + b"\n")
        try:
            yield
        finally:
            _run("zpool", "destroy", "-f", name)

    def blank_disks(self) -> tuple[str, ...]:
        paths = tuple(f"/dev/disk/by-id/virtio-d{number}" for number in range(3))
        for path in paths:
            _run("blkdiscard", "--force", path)
            _run("blockdev", "--rereadpt", path)
        _run("udevadm", "settle")
        return paths

    def put_on(self, path: str, kind: str) -> None:
        if kind == "ext4":
            _run("mkfs.ext4", "-q", "-F", "-L", "old", path)
        else:
            subprocess.run(["mkswap", "-L", "old", path], check=True, stdout=subprocess.DEVNULL)

    @contextlib.contextmanager
    def mounted_disk(self, path: str) -> t.Iterator[None]:
        place = f"{self._files}/mounted"
        os.makedirs(place, exist_ok=True)
        _run("mount", path, place)
        try:
            yield
        finally:
            _run("umount", place)

    @contextlib.contextmanager
    def attached_file(self, path: str) -> t.Iterator[None]:
        device = _output("losetup", "--find", "--show", path).strip()
        try:
            yield
        finally:
            _run("losetup", "--detach", device)
            file = f"/sys/block/{os.path.basename(device)}/loop/backing_file"
            _wait(lambda: not os.path.exists(file), f"the end of {device}")

    @contextlib.contextmanager
    def mount_apart(self, dataset: str) -> t.Iterator[None]:
        with _process("unshare", "--mount", "--propagation", "private", "sleep", "600") as process:
            _wait(lambda: Path(f"/proc/{process.pid}/comm").read_text(encoding="ascii") == "sleep\n", "sleep")
            yield

    @contextlib.contextmanager
    def work_in(self, dataset: str) -> t.Iterator[None]:
        with _process(cwd=self._mountpoint(dataset)):
            yield

    @contextlib.contextmanager
    def swap_to(self, volume: str) -> t.Iterator[None]:
        subprocess.run(["mkswap", _node(volume)], check=True, stdout=subprocess.DEVNULL)
        _run("swapon", _node(volume))
        try:
            yield
        finally:
            _run("swapoff", _node(volume))

    @contextlib.contextmanager
    def keep_mounted_apart(self, dataset: str) -> t.Iterator[None]:
        directory = f"{self._files}/kept"
        os.makedirs(directory)
        _run("mount", "--bind", "--make-private", directory, directory)  # a namespace cannot be kept where it spreads
        Path(f"{directory}/0").touch()
        _run("unshare", f"--mount={directory}/0", "--propagation", "private", "true")
        try:
            yield
        finally:
            _run("umount", f"{directory}/0")
            _run("umount", directory)
            shutil.rmtree(directory)

    @contextlib.contextmanager
    def bind(self, dataset: str) -> t.Iterator[str]:
        place = f"{self._files}/bound"
        os.makedirs(place, exist_ok=True)
        _run("mount", "--bind", self._mountpoint(dataset), place)
        try:
            yield place
        finally:
            subprocess.run(["umount", place], check=False, stderr=subprocess.DEVNULL)

    @contextlib.contextmanager
    def mount_inside(self, dataset: str) -> t.Iterator[None]:
        place = f"{self._mountpoint(dataset)}/inside"
        os.makedirs(place)
        _run("mount", "-t", "tmpfs", "tmpfs", place)
        try:
            yield
        finally:
            subprocess.run(["umount", place], check=False, stderr=subprocess.DEVNULL)

    @contextlib.contextmanager
    def run_from(self, dataset: str) -> t.Iterator[None]:
        program = f"{self._mountpoint(dataset)}/program"
        shutil.copy("/usr/bin/sleep", program)
        with _process(program, "600"):
            yield

    @contextlib.contextmanager
    def look_into_snapshot(self, dataset: str) -> t.Iterator[None]:
        place = self._mountpoint(dataset)
        Path(f"{place}/held").touch()
        _run("zfs", "snapshot", f"{dataset}@seen")
        with open(f"{place}/.zfs/snapshot/seen/held", "rb") as file, _process(stdin=file):
            yield

    def mount_volume(self, volume: str) -> t.ContextManager[None]:
        _run("mkfs.ext4", "-q", "-F", _node(volume))
        return self.mounted_disk(_node(volume))

    def attach_volume(self, volume: str) -> t.ContextManager[None]:
        return self.attached_file(_node(volume))

    @contextlib.contextmanager
    def take_volume(self, volume: str) -> t.Iterator[None]:
        descriptor = os.open(_node(volume), os.O_RDONLY | os.O_EXCL)
        try:
            with _process(stdin=descriptor):
                yield
        finally:
            os.close(descriptor)

    @contextlib.contextmanager
    def send(self, dataset: str, *, raw: bool = False) -> t.Iterator[None]:
        self._fill(dataset)
        _run("zfs", "snapshot", f"{dataset}@sent")
        with _process("zfs", "send", *(["-w"] if raw else []), f"{dataset}@sent", stdout=-1) as it:
            t.cast(t.IO[bytes], it.stdout).read(PIPE)  # it runs, and waits for somebody to read on
            yield

    @contextlib.contextmanager
    def receive(self, dataset: str) -> t.Iterator[None]:
        source = f"{POOL}/source-of-{dataset.rpartition('/')[2]}"
        _run("zfs", "create", source)
        self._fill(source)
        _run("zfs", "snapshot", f"{source}@sent")
        stream = subprocess.run(["zfs", "send", f"{source}@sent"], check=True, stdout=subprocess.PIPE).stdout
        with _process("zfs", "receive", "-u", dataset, stdin=-1) as it:
            taking = t.cast(t.IO[bytes], it.stdin)
            taking.write(stream[: len(stream) // 2])
            taking.flush()
            yield
            taking.write(stream[len(stream) // 2 :])
            taking.close()
            it.wait(TIMEOUT)
        _run("zfs", "destroy", "-r", source)

    def _fill(self, dataset: str) -> None:
        """Put more data into a filesystem than pipes hold."""
        is_mounted = _output("zfs", "get", "-Hpo", "value", "mounted", dataset).strip() == "yes"
        if not is_mounted:
            _run("zfs", "mount", dataset)
        Path(f"{self._mountpoint(dataset)}/much").write_bytes(os.urandom(8 * PIPE))
        if not is_mounted:
            _run("zfs", "unmount", dataset)

    @staticmethod
    def _mountpoint(dataset: str) -> str:
        return _output("zfs", "get", "-Hpo", "value", "mountpoint", dataset).strip()

    def can_write_into(self, directory: str) -> bool:
        try:
            Path(f"{directory}/written").touch()
        except PermissionError:
            return False
        os.unlink(f"{directory}/written")
        return True

    def boot_from(self, dataset: str) -> t.ContextManager[str]:
        return self._boot("-t", "zfs", dataset)

    def boot_from_volume(self, volume: str) -> t.ContextManager[str]:
        _run("mkfs.ext4", "-q", "-F", _node(volume))
        return self._boot(_node(volume))

    @contextlib.contextmanager
    def _boot(self, *what: str) -> t.Iterator[str]:
        _run("mount", *what, "/boot")
        try:
            yield "/boot"
        finally:
            _run("umount", "/boot")

    @contextlib.contextmanager
    def swap_in_words(self, volume: str) -> t.Iterator[str]:
        with self.swap_to(volume):
            yield f"swap on {os.path.realpath(_node(volume))}"

    @contextlib.contextmanager
    def hostid(self, number: int) -> t.Iterator[None]:
        before = Path(HOSTID).read_text(encoding="ascii")
        Path(HOSTID).write_text(str(number), encoding="ascii")
        try:
            yield
        finally:
            Path(HOSTID).write_text(before, encoding="ascii")

    def crash(self, pool: str) -> None:
        files = re.findall(r"^\s+(/\S+)", _output("zpool", "status", "-P", pool), re.MULTILINE)
        for file in files:
            shutil.copyfile(file, f"{file}.crashed")
        _run("zpool", "destroy", pool)
        for file in files:
            os.replace(f"{file}.crashed", file)

    def _make_pool(self, name: str, size: str, options: t.Iterable[str], stdin: bytes = b"") -> None:
        disk = f"{self._files}/{name}"
        _run("truncate", "-s", size, disk)
        _run("zpool", "create", *(word for option in options for word in ("-O", option)), name, disk, stdin=stdin)


def _next_stream(source: str, options: str, *, write: bool = False) -> bytes:
    """Snapshot a dataset, after writing to it, and send what is new since the last time: all, then increments."""
    if write:
        place = _output("zfs", "get", "-Hpo", "value", "mountpoint", source).strip()
        Path(place, "written").write_bytes(os.urandom(1 << 16))
    known = _output("zfs", "list", "-Ho", "name", "-t", "snapshot", "-s", "createtxg", source).split()
    snapshot = f"{source}@{len(known)}"
    _run("zfs", "snapshot", snapshot)
    since = ["-i", known[-1]] if known else []
    return subprocess.run(["zfs", "send", options, *since, snapshot], check=True, stdout=subprocess.PIPE).stdout


def _is_receiving(target: str) -> bool:
    words = ["zfs", "get", "-Hpo", "value", "inconsistent", target, f"{target}/%recv"]
    return "1" in subprocess.run(words, check=False, capture_output=True, text=True).stdout.split()


def _run(*argv: str, stdin: bytes = b"") -> None:
    subprocess.run(argv, check=True, input=stdin)


def _try(*argv: str, stdin: bytes = b"") -> None:
    """Run what OpenZFS may refuse."""
    answer = subprocess.run(argv, check=False, input=stdin, stderr=subprocess.PIPE)
    if answer.returncode != 0:
        raise CallFailed(answer.stderr.decode())


def _output(*argv: str) -> str:
    return subprocess.run(argv, check=True, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True).stdout


@contextlib.contextmanager
def _process(
    *argv: str,
    stdin: t.IO[bytes] | int = subprocess.DEVNULL,
    stdout: t.IO[bytes] | int = subprocess.DEVNULL,
    cwd: str | None = None,
) -> t.Iterator[subprocess.Popen[bytes]]:
    """Have another process, which holds this open or works there."""
    with subprocess.Popen(argv or ("sleep", "600"), stdin=stdin, stdout=stdout, cwd=cwd) as process:
        try:
            yield process
        finally:
            process.kill()


def _wait_for_another_second() -> None:
    second = int(time.time())
    _wait(lambda: int(time.time()) > second, "another second")


def _wait(until: t.Callable[[], bool], what: str) -> None:
    deadline = time.monotonic() + TIMEOUT
    while not until():
        if time.monotonic() > deadline:
            raise TimeoutError(f"{what} did not come")
        time.sleep(0.05)


def _node(volume: str) -> str:
    node = f"/dev/zvol/{volume}"
    _wait(lambda: os.path.exists(node), node)
    return node


def _data_file(name: str) -> str:
    """Return what is written to: a file, of a volume its node, since that exists ("wb" does not cut it off)."""
    kind, mountpoint, mounted = _output("zfs", "get", "-Hpo", "value", "type,mountpoint,mounted", name).split("\n")[:3]
    if kind == "volume":
        return _node(name)
    if mounted != "yes":
        raise AssertionError(f"{name} is not mounted")
    return f"{mountpoint}/data"
