"""The cache of base images: built once for everything they are made from, then only read."""

from __future__ import annotations

import hashlib
import os
import tempfile
from collections.abc import Mapping
from dataclasses import astuple, dataclass
from pathlib import Path

from .host_packages import IMAGE_SPACE, require_packages
from .image_build import build_image
from .locations import GUEST_FILES, SOURCES, cache_directory, exclusive, remove_tree, require_space
from .suites import Suite

BUILDER_SOURCES = ("image_build.py", "suites.py")


@dataclass(frozen=True)
class Image:
    directory: Path

    @property
    def root(self) -> Path:
        return self.directory / "root.qcow2"

    @property
    def kernel(self) -> Path:
        return self.directory / "vmlinuz"

    @property
    def initrd(self) -> Path:
        return self.directory / "initrd.img"

    def versions(self) -> str:
        return ", ".join((self.directory / "versions").read_text().splitlines())


def ingredients() -> dict[str, bytes]:
    """All files that an image is made from, with the mode bit that git keeps."""
    paths = [SOURCES / name for name in BUILDER_SOURCES]
    paths += [path for path in GUEST_FILES.rglob("*") if path.is_file()]
    return {f"{path.relative_to(SOURCES)} {os.access(path, os.X_OK)}": path.read_bytes() for path in paths}


def fingerprint(suite: Suite, files: Mapping[str, bytes]) -> str:
    digest = hashlib.sha256(repr(astuple(suite)).encode())
    for name, content in sorted(files.items()):
        digest.update(f"\0{name}\0{len(content)}\0".encode())
        digest.update(content)
    return digest.hexdigest()[:16]


def current_image(suite: Suite) -> Image:
    """Where the image of today's sources is, or is to be."""
    return Image(cache_directory() / "images" / f"{suite.name}-{fingerprint(suite, ingredients())}")


def provide_image(suite: Suite) -> Image:
    image = current_image(suite)
    images = image.directory.parent
    if image.directory.is_dir():
        return image
    require_packages()
    with exclusive(images / f"{suite.name}.lock"):
        if image.directory.is_dir():
            return image
        for leftover in images.glob(f".{suite.name}=*"):
            remove_tree(leftover)
        require_space(images, IMAGE_SPACE, f"building the {suite.name} image")
        log = images / f"{suite.name}.log"
        log.unlink(missing_ok=True)
        building = Path(tempfile.mkdtemp(prefix=f".{suite.name}=", dir=images))
        try:
            build_image(suite, building, log)
            building.chmod(0o755)
            building.rename(image.directory)
        finally:
            if building.exists():
                remove_tree(building)
    return image
