# Copyright 2026 The IterMask2-bundle authors. Licensed under the Apache License, Version 2.0.
"""Tables in Markdown. (pandas has them with a further package.)"""

from __future__ import annotations

import pandas as pd


def as_markdown(table: pd.DataFrame, numbers: str = ".3f") -> str:
    """A table in Markdown, blank where there is no value.

    Args:
        table: whose columns have names.
        numbers: how numbers with a fraction are written.
    """
    cells = table.map(lambda value: f"{value:{numbers}}" if isinstance(value, float) else value).fillna("")
    lines = [list(table.columns), ["---"] * len(table.columns), *cells.replace("nan", "").to_numpy().tolist()]
    return "".join(f"| {' | '.join(map(str, line))} |\n" for line in lines)
