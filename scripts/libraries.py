#!/usr/bin/env python3
"""Copies the libraries of libtorch into a folder, so that installed programs need neither the checkout nor its .venv.

    scripts/libraries.py FOLDER

FOLDER gets `torch/lib` and, with torch from pip, the libraries of NVIDIA that torch finds beside it. Run `make setup`
before; `make install` runs both.
"""

from __future__ import annotations

import shutil
import sys
from pathlib import Path

LIBTORCH = Path(__file__).resolve().parent.parent / "target" / "libtorch"


def main() -> int:
    if len(sys.argv) != 2:
        print(__doc__, file=sys.stderr)
        return 1
    into = Path(sys.argv[1])
    libtorch = LIBTORCH.resolve()
    if not libtorch.is_dir():
        print("libraries: there is no libtorch; run `make setup` first", file=sys.stderr)
        return 1
    copied = copy(libtorch / "lib", into / "torch" / "lib")
    beside = libtorch.parent / "nvidia"
    for folder in sorted(beside.glob("**/lib")):
        copied += copy(folder, into / "nvidia" / folder.relative_to(beside))
    print(f"libraries: {copied / 1e9:.1f} GB in {into}")
    return 0


def copy(folder: Path, into: Path) -> int:
    """Copies the shared libraries of a folder, but those for Python. Returns their bytes."""
    into.mkdir(parents=True, exist_ok=True)
    libraries = [file for file in sorted(folder.iterdir()) if ".so" in file.suffixes or file.suffix == ".dylib"]
    libraries = [file for file in libraries if "python" not in file.name]
    for file in libraries:
        shutil.copy2(file, into / file.name)
    return sum(file.stat().st_size for file in libraries)


if __name__ == "__main__":
    sys.exit(main())
