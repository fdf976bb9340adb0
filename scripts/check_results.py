#!/usr/bin/env python3
"""Runs the lines of docs/reports.md that open results.parquet, and compares the file with results.csv.

    python3 scripts/check_results.py [FOLDER]

FOLDER is that of a report, by default reports/quickstart. Needs polars, or pandas with pyarrow; what is not there is
skipped, and said so. The exit code is 1 if something differs.
"""

from __future__ import annotations

import importlib.util
import re
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
EXAMPLE = Path("reports/quickstart")
NEEDED = {"polars": ["polars"], "pandas": ["pandas", "pyarrow"]}


def main() -> int:
    folder = Path(sys.argv[1]) if len(sys.argv) > 1 else ROOT / EXAMPLE
    if not (folder / "results.parquet").is_file():
        print(f"skipped: there is no results.parquet in {folder}; `sweep report` writes it")
        return 0
    compare = {"polars": compare_in_polars, "pandas": compare_in_pandas}
    for library, needed in NEEDED.items():
        missing = [name for name in needed if importlib.util.find_spec(name) is None]
        if missing:
            print(f"skipped {library}: {', '.join(missing)} is not installed")
            continue
        lines = documented(library).replace(str(EXAMPLE), str(folder))
        exec(compile(lines, f"docs/reports.md, {library}", "exec"), {})
        compare[library](folder)
        print(f"{library}: results.parquet and results.csv are the same table")
    return 0


def documented(library: str) -> str:
    """Returns the lines of the documentation that use a library."""
    blocks = re.findall(r"```python\n(.*?)```", (ROOT / "docs/reports.md").read_text(), re.DOTALL)
    return next(block for block in blocks if block.startswith(f"import {library}"))


def compare_in_polars(folder: Path) -> None:
    import polars as pl
    from polars.testing import assert_frame_equal

    typed = pl.read_parquet(folder / "results.parquet")
    plain = pl.read_csv(folder / "results.csv", schema=typed.schema)
    assert_frame_equal(typed, plain.select(typed.columns))


def compare_in_pandas(folder: Path) -> None:
    import pandas as pd

    typed = pd.read_parquet(folder / "results.parquet")
    plain = pd.read_csv(folder / "results.csv", dtype=str)
    assert list(typed.columns) == list(plain.columns), (list(typed.columns), list(plain.columns))
    for column in typed.columns:
        # Each text as the type of the value says: pandas itself does not read the last bit of every number.
        of_type = {"bool": lambda text: text == "true", "float64": float, "uint64": int}.get(str(typed[column].dtype), str)
        expected = [None if pd.isna(text) else of_type(text) for text in plain[column]]
        found = [None if pd.isna(value) else value for value in typed[column]]
        assert found == expected, column


if __name__ == "__main__":
    sys.exit(main())
