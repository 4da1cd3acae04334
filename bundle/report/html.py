# Copyright 2026 The IterMask2-bundle authors. Licensed under the Apache License, Version 2.0.
"""The report of a run: one page that stands alone, or, of many volumes, an index and a page per case."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from functools import partial
from typing import Any
from urllib.parse import quote

import pandas as pd
from ignite import distributed as idist
from ignite.engine import Engine, Events
from monai.engines import IterationEvents

from bundle.cases.run_folder import ERRORS, REPORT, TABLE, RunFolder
from bundle.distributed import gather
from bundle.files import write_whole
from bundle.model.refinement import IterMaskNet
from bundle.report.case_page import TEMPLATES, anchor, section_of_page, write_case_page
from bundle.report.rows import DONE, middle_of, rows_of_run

# volumes of which a page can hold the pictures, and bytes of them that it can be opened with
ON_ONE_PAGE, LARGEST_PAGE = 20, 4_500_000


def report_page(
    rows: pd.DataFrame,
    run: Mapping[str, Any],
    links: Mapping[str, str],
    sections: Sequence[str] = (),
    interrupted: bool = False,
    passed_over: Sequence[str] = (),
) -> str:
    """The page of a run (HTML).

    Args:
        rows: of :py:func:`bundle.report.rows.rows_of_run`.
        run: facts about the run, shown as they are.
        links: where the pictures of a case are.
        sections: of the cases (HTML), when their pictures are in this page.
        interrupted: whether the run was ended before all was done.
        passed_over: sentences about files that were not taken for scans.
    """
    return TEMPLATES.get_template("report.html").render(
        rows=rows.astype(object).where(rows.notna(), None).to_dict("records"),
        middle=middle_of(rows),
        with_expert=bool(rows["dice"].notna().any() or rows["expert_ml"].notna().any()),
        links=links,
        sections=sections,
        run=run,
        interrupted=interrupted,
        passed_over=passed_over,
        made=datetime.now().astimezone().strftime("%Y-%m-%d %H:%M %Z"),
    )


class RunReport:
    """Make the report of a run: the page of each case when it is done, and one of all at the end.

    Args:
        run_folder: of the run.
        model: the model that is used.
        announce: whether to print where the report is.
    """

    def __init__(self, run_folder: RunFolder, model: IterMaskNet, announce: bool) -> None:
        self.run_folder = run_folder
        self.model = model
        self.announce = announce

    def attach(self, engine: Engine) -> None:
        engine.add_event_handler(IterationEvents.MODEL_COMPLETED, self.add_case)
        engine.add_event_handler(Events.COMPLETED, self.write)

    def add_case(self, engine: Engine) -> None:
        for item in engine.state.batch:  # type: ignore[union-attr]
            case = self.run_folder.case(item["case"])
            self.run_folder.later(item["case"], partial(write_case_page, case))

    def _facts(self, engine: Engine) -> dict[str, Any]:
        weights = self.run_folder.made_with["weights"]
        facts = {
            "weights": f"{weights['file']}, SHA-256 {weights['sha256'][:16]}",
            "threshold": f"{float(self.model.threshold):.4g} (squared error; from healthy scans, no labels)",
        }
        if self.model.judge is not None:
            lowest = float(self.model.lesion_threshold)
            facts["lowest threshold"] = f"{lowest:.4g} (lesion score; no labels; each volume has its own above it)"
        named = {name.replace("_", " "): value for name, value in self.run_folder.settings.items()}
        return {**facts, "device": str(engine.state.device), **named}  # type: ignore[attr-defined]

    def write(self, engine: Engine) -> None:
        run_folder = self.run_folder
        failures = run_folder.failures
        if not run_folder.interrupted:
            failures = gather(failures)
        if idist.get_rank() != 0:
            return
        earlier = run_folder.earlier_cases()
        rows = rows_of_run(run_folder, failures, earlier)
        done = [run_folder.case(name) for name in rows["case"][rows["status"] == DONE]]
        pages = [case for case in done if case.has("page")]
        size = sum(case.file("page").stat().st_size for case in pages)
        together = len(run_folder.entries) <= ON_ONE_PAGE and size <= LARGEST_PAGE
        links = {
            case.name: quote(str(case.file("page").relative_to(run_folder.path)), errors="surrogateescape")
            for case in (*pages, *earlier)
            if case.has("page")
        }
        if together:
            links |= {case.name: f"#{anchor(case.name)}" for case in pages}
        sections = [section_of_page(case) for case in pages] if together else []
        page = report_page(rows, self._facts(engine), links, sections, run_folder.interrupted, run_folder.passed_over)
        try:
            write_whole(run_folder.file(REPORT), page)
            write_whole(run_folder.file(TABLE), rows.to_csv(index=False))
            run_folder.describe()
        except OSError as error:
            run_folder.cannot_report(error)
            return
        if not self.announce:
            return
        print(f"\nReport: {(run_folder.file(REPORT)).resolve()}")
        if (run_folder.file(ERRORS)).exists():
            print(f"Unexpected errors in full: {(run_folder.file(ERRORS)).resolve()}")
