# Copyright 2026 The IterMask2-bundle authors. Licensed under the Apache License, Version 2.0.
"""Compare IterMask2 with plain thresholding: ``python -m scripts.compare VALIDATION TEST --output FOLDER``.

VALIDATION and TEST are output folders of configs/evaluate.json, for cases whose labels choose thresholds, and for those
that are scored.
"""

import fire

from bundle.comparison import compare as compare_cases
from bundle.comparison import read_cases, write_tables


def compare(validation: str, test: str, output: str = "output/comparison") -> str:
    """Write the table as CSV and Markdown, and show it.

    Args:
        validation: output folder of an evaluation of the validation cases.
        test: output folder of an evaluation of the test cases.
        output: folder for the tables.
    """
    cases = read_cases(test)
    return write_tables(compare_cases(read_cases(validation), cases), [case.name for case in cases], output)


if __name__ == "__main__":
    fire.Fire(compare)
