# Copyright 2026 The IterMask2-bundle authors. Licensed under the Apache License, Version 2.0.
"""From the folders of evaluations to the tables of a comparison."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from bundle.errors import InputError
from bundle.evaluation.cases import Case, read_cases
from bundle.evaluation.comparison import Choice, add_gains, compare
from bundle.evaluation.methods import REFINED, judged_methods, plain_methods
from bundle.files import write_whole
from bundle.report.markdown import as_markdown

# what is shown of the columns of comparison.csv: how well lesions are outlined, and which are found
OUTLINED = ["Dice mean", "Dice 95 % interval", "Dice median", "largest slice Dice mean"]
FOUND = ["sensitivity", "precision", "lesions found", "components right"]


def compare_evaluations(
    test: str,
    numbers: Mapping[str, Any],
    validation: str = "",
    published_test: str = "",
    published_validation: str = "",
    label_free: bool = False,
    output: str = "output/comparison",
) -> str:
    """Compare IterMask² with plain thresholding, and write the tables.

    Args:
        test: output folder of an evaluation of the test cases.
        numbers: ``comparison`` of ``configs/comparison.json``: of :py:class:`Choice`, and of the plain methods.
        validation: the same of the validation cases, whose labels choose thresholds; without it there are no rows with
            thresholds of theirs.
        published_test: output folder of an evaluation of the same test cases with configs/published.json; adds its
            rows.
        published_validation: the same of the validation cases.
        label_free: show only what needs no label to choose a threshold; fast.
        output: folder for the tables, see :py:func:`write_tables`.

    Returns:
        str: the tables in Markdown.

    Raises:
        InputError: when a folder has no evaluation, a scan that is scored is also among those whose labels choose
            thresholds, or the two evaluations of the test cases are not of the same scans.
    """
    cases = read_cases(test)
    known = read_cases(validation) if validation else []
    published = read_cases(published_test) if published_test else []
    published_known = read_cases(published_validation) if published_validation else []
    for folder, others in ((validation, known), (published_validation, published_known)):
        refuse_shared_scans(test, cases, folder, others)
    if published and [case.scan for case in published] != [case.scan for case in cases]:
        raise InputError(f"{published_test}: not an evaluation of the cases of {test}; evaluate the same datalist.")
    # all plain methods but one need labels, and that one takes minutes per volume of 1 mm
    choice = Choice(**{name: numbers[name] for name in Choice._fields})
    plain = plain_methods(numbers["smallest_share"], numbers["smoothing"], numbers["sharpest"])
    judged = judged_methods(numbers["smallest_share"])
    rows = [] if label_free else compare(known, cases, plain, choice)
    if published:
        methods = [method._replace(name=f"published {method.name}") for method in REFINED]
        rows += compare(published_known, published, methods, choice, label_free)
    rows += compare(known, cases, [*REFINED, *(judged if cases[0].score is not None else [])], choice, label_free)
    if not label_free:
        add_gains(rows, {method.name for method in plain}, choice)
    return write_tables(rows, cases, output)


def refuse_shared_scans(test: str, cases: Sequence[Case], validation: str, known: Sequence[Case]) -> None:
    """Thresholds that are chosen with labels must not come from the scans that are scored.

    Args:
        test: folder of the evaluation that is scored.
        cases: its cases.
        validation: folder of the evaluation whose labels choose thresholds.
        known: its cases.

    Raises:
        InputError: when a scan is in both.
    """
    shared = {case.scan for case in cases} & {case.scan for case in known}
    if shared:
        raise InputError(
            f"{validation}: {len(shared)} of its scans are also in {test}, the first being {min(shared)}; labels would "
            "choose the thresholds by which their own scans are scored, so give another evaluation as --validation."
        )


def write_tables(rows: Sequence[Mapping[str, Any]], cases: Sequence[Case], output: str) -> str:
    """Write ``comparison.csv``, ``comparison.md`` (its main columns), ``cases.csv`` (volume Dice by case), and
    ``diseases.csv`` where the datalist names diseases.

    Args:
        rows: of :py:func:`bundle.evaluation.compare`.
        cases: that were scored.
        output: folder for the files.

    Returns:
        str: the Markdown.
    """
    folder = Path(output)
    table = pd.DataFrame([{name: value for name, value in row.items() if name != "dice"} for row in rows])
    dice = pd.DataFrame({f"{row['method']} ({row['threshold from']})": row["dice"] for row in rows})
    dice.insert(0, "case", [case.name for case in cases])
    diseases = disease_table(rows, cases)
    shown = [table[["method", "threshold from", *columns]] for columns in (OUTLINED, FOUND)]
    shown += [diseases] if len(diseases) else []
    markdown = "\n".join(as_markdown(part) for part in shown)
    write_whole(folder / "comparison.md", markdown)
    write_whole(folder / "comparison.csv", table.to_csv(index=False, float_format="%.3f", lineterminator="\n"))
    write_whole(folder / "cases.csv", dice.to_csv(index=False, float_format="%.4f", na_rep="nan", lineterminator="\n"))
    if len(diseases):
        write_whole(folder / "diseases.csv", diseases.to_csv(index=False, float_format="%.3f", lineterminator="\n"))
    return markdown


def disease_table(rows: Sequence[Mapping[str, Any]], cases: Sequence[Case]) -> pd.DataFrame:
    """Dice of each method in the patients of each disease; empty where no case has a disease with a name."""
    result = []
    for disease in sorted({case.disease for case in cases if case.disease}):
        members = [i for i, case in enumerate(cases) if case.disease == disease]
        for row in rows:
            dice = np.array(row["dice"])[members]
            dice = dice[np.isfinite(dice)]
            result.append(
                {
                    "disease": disease,
                    "cases": len(members),
                    "method": row["method"],
                    "threshold from": row["threshold from"],
                    "Dice mean": dice.mean() if len(dice) else None,
                    "Dice median": np.median(dice) if len(dice) else None,
                }
            )
    return pd.DataFrame(result)
