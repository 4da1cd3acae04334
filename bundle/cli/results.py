# Copyright 2026 The IterMask2-bundle authors. Licensed under the Apache License, Version 2.0.
"""Subcommands that read the results of runs: compare, figures."""

from __future__ import annotations

import click

from bundle.cli.bundle_files import top_level
from bundle.cli.commands import CONTEXT, Command, argument, option
from bundle.cli.types import Existing, OutputFolder, Text

_EVALUATION = Existing("the output folder of itermask2 evaluate", file=False)


@click.command(cls=Command, context_settings=CONTEXT)
@argument("test", type=_EVALUATION)
@option("--validation", type=_EVALUATION, help="The same of the validation scans, whose labels choose thresholds.")
@option("--published_test", type=_EVALUATION, help="The same of TEST's scans with --config published; adds its rows.")
@option("--published_validation", type=_EVALUATION, help="The same of the validation scans.")
@option("--label_free", is_flag=True, help="Show only what needs no label to choose a threshold; fast.")
@option("-o", "--output", type=OutputFolder(), default="output/comparison", help="Folder for the tables.")
def compare(
    test: str,
    validation: str | None,
    published_test: str | None,
    published_validation: str | None,
    label_free: bool,
    output: str,
) -> None:
    """Compare the masks with those of plain thresholds.

    TEST is the output folder of "itermask2 evaluate". Writes comparison.csv, comparison.md and cases.csv.

    \b
    Example:
      itermask2 evaluate datalist.json -o output/test
      itermask2 evaluate datalist.json --split validation -o output/validation
      itermask2 compare output/test --validation output/validation
    """
    from bundle.evaluation import compare_evaluations

    print(
        compare_evaluations(
            test,
            top_level(["comparison"])["comparison"],
            validation=validation or "",
            published_test=published_test or "",
            published_validation=published_validation or "",
            label_free=label_free,
            output=output,
        )
    )


@click.command(cls=Command, context_settings=CONTEXT, hidden=True)
@argument("evaluation", type=_EVALUATION)
@argument("validation", type=_EVALUATION)
@argument("simulated", type=_EVALUATION)
@argument("trainings", nargs=-1, type=Existing("the output folder of a training", file=False))
@option("-o", "--output", type=OutputFolder(), default="docs/images", help="Folder for the figures.")
@option("--curves", type=Text(), default="training", help="Name of the figure of the trainings.")
def figures(
    evaluation: str, validation: str, simulated: str, trainings: tuple[str, ...], output: str, curves: str
) -> None:
    """Draw the figures of docs/history.md.

    EVALUATION gives the agreement with the expert (no image of it is drawn), VALIDATION the curve of the judge's
    calibration, SIMULATED the examples, TRAININGS the curves.
    """
    from bundle.evaluation.draw_results import draw_results

    drawn = top_level(["comparison"])["figures"]
    draw_results(evaluation, validation, simulated, trainings, **drawn, output=output, curves=curves)
    print(f"Figures: {output}")
