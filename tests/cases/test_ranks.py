"""Runs of two processes, as torchrun starts them, of which one is killed."""

import csv
import json
import time

import pytest

from tests.flows import command
from tests.heads import write_head
from tests.programs import ranks

NAMES = [f"patient_{i}" for i in range(4)]


@pytest.fixture
def datalist(tmp_path):
    entries = [write_head(tmp_path / "scans", name, i, lesion=True) for i, name in enumerate(NAMES)]
    (tmp_path / "list.json").write_text(json.dumps({"test": entries}))
    return str(tmp_path / "list.json")


@pytest.mark.parametrize(
    ("run_id", "configs", "last"),
    [("inference", ["inference"], "report.html"), ("evaluation", ["inference", "evaluate"], "scores.json")],
)
def test_what_a_dead_process_leaves_is_done_by_the_next_start(run_id, configs, last, datalist, trained, tmp_path):
    output = tmp_path / "out"
    paths = {"datalist": datalist, "output_dir": str(output), "ckpt_path": str(trained / "model.pt")}
    run = command(run_id, [*configs, "multi_gpu_evaluate"], **paths)

    # the first process has patients 0 and 2, the second one 1 and 3
    first, second = ranks(*run)
    while not (output / "patient_1_flair" / f"patient_1_flair_{last}").exists():
        assert second.is_running() and time.sleep(0.005) is None
    second.kill()
    done = first.finish()
    assert done.returncode == 1 and "Traceback" not in done.stderr
    assert "Error: Another process of this run has ended early" in done.stderr.splitlines()[-1]
    assert not (output / "patient_3_flair" / f"patient_3_flair_{last}").exists()
    earlier = {path.name: path.read_bytes() for path in output.glob("*/*_statistics.json")}
    assert set(earlier) >= {f"patient_{i}_flair_statistics.json" for i in (0, 1, 2)}

    for done in [rank.finish() for rank in ranks(*run)]:
        assert done.returncode == 0, done.stderr
    for name, content in earlier.items():
        if "patient_3" not in name:
            assert (output / name.removesuffix("_statistics.json") / name).read_bytes() == content, "computed again"
    rows = list(csv.DictReader((output / "volumes.csv").open()))
    assert [(row["case"], row["status"]) for row in rows] == [(f"{name}_flair", "done") for name in NAMES]
    report = (output / "report.html").read_text()
    assert all(name in report for name in NAMES)
    if run_id == "evaluation":
        scores = list(csv.DictReader((output / "cases.csv").open()))
        assert [row["case"] for row in scores] == [f"{name}_flair" for name in NAMES]
        assert [row["dice"] for row in scores] == [f"{float(row['dice']):.4f}" for row in rows]
        assert json.loads((output / "summary.json").read_text())["number_of_cases"] == 4
