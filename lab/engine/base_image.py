"""The Debian that every node image is made from.

Pulled where a registry is reached, else made by mmdebstrap.
"""

from __future__ import annotations

import os
import shutil
import tempfile
from pathlib import Path

import docker
from docker.errors import APIError, ImageNotFound

from lab.engine.events import Events, Note
from lab.engine.local_engine import install_packages, is_debian_like
from lab.engine.process import CommandFailedError, follow
from lab.errors import Problem, UnfitEnvironmentError

REFERENCE = "hnvlab/base:bookworm"
PULLED = "debian:bookworm-slim"
SUITE = "bookworm"


def ensure(client: docker.DockerClient, events: Events) -> bool:
    """Have an image under `REFERENCE`; False: it was there already.

    Raises:
        UnfitEnvironmentError: it can neither be pulled nor made.
    """
    if _exists(client, REFERENCE):
        return False
    if not _exists(client, PULLED):
        events(Note(f"pulling {PULLED}"))
        try:
            client.images.pull(PULLED)
        except APIError as error:  # no registry, a refusing one, no such image there
            refusal = str(error.explanation or error)
            events(Note(f"{PULLED} cannot be pulled ({refusal}): making a base image with mmdebstrap"))
            _bootstrap(client, events, refusal)
            return True
    client.images.get(PULLED).tag(REFERENCE)
    return True


def _exists(client: docker.DockerClient, reference: str) -> bool:
    try:
        client.images.get(reference)
    except ImageNotFound:
        return False
    return True


def _bootstrap(client: docker.DockerClient, events: Events, refusal: str) -> None:
    """Make Debian from its packages and import it."""
    if shutil.which("mmdebstrap") is None:
        if os.geteuid() != 0 or not is_debian_like():
            raise UnfitEnvironmentError(
                Problem(
                    code="HNV-ENG-021",
                    message=f"{PULLED} cannot be pulled ({refusal}), and there is no mmdebstrap to make one",
                    hint="reach a registry, or docker load the image; on Debian: apt-get install mmdebstrap",
                )
            )
        install_packages(["mmdebstrap"], events)
    # A file, because mmdebstrap's diagnostics and docker-py's upload would else have to be pumped side by
    # side.
    with tempfile.TemporaryDirectory(prefix="hnvlab-base-") as directory:
        archive = Path(directory) / "base.tar"
        _mmdebstrap(archive, client.version()["Arch"], events)
        with archive.open("rb") as file:
            repository, tag = REFERENCE.split(":")
            client.api.import_image_from_data(
                file, repository=repository, tag=tag, changes=["LABEL hnvlab.image=base", 'CMD ["bash"]']
            )


def _mmdebstrap(archive: Path, architecture: str, events: Events) -> None:
    """Write the smallest Debian with apt and certificates as a tar file.

    Docker and Debian name architectures alike.
    """
    command = [
        "mmdebstrap",
        "--variant=minbase",
        "--include=ca-certificates",
        f"--architectures={architecture}",
        "--dpkgopt=path-exclude=/usr/share/man/*",
        "--dpkgopt=path-exclude=/usr/share/doc/*",
        "--dpkgopt=path-exclude=/usr/share/locale/*",
        # As in debian:bookworm-slim: no package starts its service.
        '--customize-hook=printf "#!/bin/sh\\nexit 101\\n" >"$1/usr/sbin/policy-rc.d"',
        '--customize-hook=chmod 0755 "$1/usr/sbin/policy-rc.d"',
        SUITE,
        str(archive),
    ]
    try:
        follow(command, events)
    except CommandFailedError as error:
        raise UnfitEnvironmentError(
            Problem(
                code="HNV-ENG-023",
                message=f"the base image cannot be made: {error}",
                hint="its last words:\n" + error.last_words,
            )
        ) from error
