# Copyright 2026 The IterMask2-bundle authors. Licensed under the Apache License, Version 2.0.
"""What a review keeps of a case between requests."""

import os
from pathlib import Path

from bundle.cases import finished_cases
from bundle.review.prepared import preparing
from bundle.review.session import Session


def test_a_case_is_made_ready_anew_when_its_scan_or_its_results_are_replaced(results: Path):
    made = []
    session = Session(results, lambda case: made.append(case.name) or case.name, 2, lambda case: {})
    name = session.rows()[0]["id"]
    case = session.case(name)
    for _ in range(2):
        assert session.states.begin(name).result() == case.name
    assert len(made) == 1
    for file in (Path(case.statistics()["image"]), case.file("statistics")):
        before = file.stat()
        os.utime(file, ns=(before.st_atime_ns, before.st_mtime_ns + 1_000_000_000))
        try:
            session.states.begin(name).result()
        finally:
            os.utime(file, ns=(before.st_atime_ns, before.st_mtime_ns))
    assert made == [case.name] * 3


def test_a_case_is_answered_with_the_modality_of_its_run(results: Path, monkeypatch):
    """Of all cases it was that of the first one."""
    asked = []
    monkeypatch.setattr("bundle.review.prepared.prepare_scan", lambda *_, **values: asked.append(values["modality"]))
    case = next(finished_cases(results))
    for modality, options in (("t1", {}), ("t1", {"modality": "t1ce"})):
        statistics = {**case.statistics(), "modality": modality}
        monkeypatch.setattr(case, "statistics", lambda statistics=statistics: statistics)
        preparing((), options)(case)
    assert asked == ["t1", "t1ce"]
