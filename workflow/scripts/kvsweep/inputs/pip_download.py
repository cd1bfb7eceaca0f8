"""pip, except that a source distribution's build back end is not run: ``python pip_download.py download ...``.

``pip download`` asks the back end of a source distribution for its metadata, which executes what was fetched and needs
whatever the back end needs. Since metadata version 1.0 every source distribution carries them as PKG-INFO, and that is
taken here. The class is no part of the interface of pip. Where a later pip has another, the assertion below fails
before anything is fetched.
"""

from __future__ import annotations

import re
import sys
from email.parser import BytesHeaderParser
from pathlib import Path
from typing import Any

from pip._internal.cli.main import main
from pip._internal.distributions.sdist import SourceDistribution


def _carried(distribution: Any, *_arguments: object, **_options: object) -> None:
    source = Path(distribution.req.unpacked_source_directory)
    carried = (source / "PKG-INFO").read_bytes()
    said = BytesHeaderParser().parsebytes(carried)
    name, version = (re.sub(r"[^A-Za-z0-9.!+]", "_", said.get(key, "")) for key in ("Name", "Version"))
    metadata = source / "carried-metadata" / f"{name}-{version}.dist-info"
    metadata.mkdir(parents=True)
    (metadata / "METADATA").write_bytes(carried)
    distribution.req.metadata_directory = str(metadata)


if __name__ == "__main__":
    assert hasattr(SourceDistribution, "prepare_distribution_metadata")
    SourceDistribution.prepare_distribution_metadata = _carried  # type: ignore[method-assign, assignment]
    sys.exit(main(sys.argv[1:]))
