# Copyright 2026 The IterMask2-bundle authors. Licensed under the Apache License, Version 2.0.
"""Compare IterMask2 with plain thresholding: ``python -m scripts.compare TEST --validation VALIDATION``.

TEST and VALIDATION are output folders of configs/evaluate.json, for the cases that are scored, and for those whose
labels choose thresholds.
"""

import fire

from bundle.errors import InputError
from bundle.evaluation.baselines import JUDGED, PLAIN, REFINED
from bundle.evaluation.cases import read_cases
from bundle.evaluation.comparison import add_gains, write_tables
from bundle.evaluation.comparison import compare as compare_cases


def compare(
    test: str,
    validation: str = "",
    published_test: str = "",
    published_validation: str = "",
    label_free: bool = False,
    output: str = "output/comparison",
) -> str:
    """Write the table as CSV and Markdown, and show it.

    Args:
        test: output folder of an evaluation of the test cases.
        validation: the same of the validation cases; without it there are no rows with thresholds of theirs.
        published_test: output folder of an evaluation of the same test cases with configs/published.json; adds its
            rows.
        published_validation: the same of the validation cases.
        label_free: show only what needs no label to choose a threshold; fast.
        output: folder for the tables.

    Raises:
        InputError: when a folder has no evaluation, or the two evaluations are not of the same test cases.
    """
    cases = read_cases(test)
    known = read_cases(validation) if validation else []
    # all plain methods but one need labels, and that one takes minutes a volume of 1 mm
    rows = [] if label_free else compare_cases(known, cases, PLAIN)
    if published_test:
        others = read_cases(published_test)
        if [case.name for case in others] != [case.name for case in cases]:
            raise InputError(f"{published_test}: not an evaluation of the cases of {test}; evaluate the same datalist.")
        others_known = read_cases(published_validation) if published_validation else []
        published = [method._replace(name=f"published {method.name}") for method in REFINED]
        rows += compare_cases(others_known, others, published, label_free)
    rows += compare_cases(known, cases, REFINED if cases[0].score is None else REFINED + JUDGED, label_free)
    if not label_free:
        add_gains(rows)
    return write_tables(rows, [case.name for case in cases], output)


if __name__ == "__main__":
    fire.Fire(compare)
