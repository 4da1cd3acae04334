import numpy as np
import pandas as pd
import pytest

from bundle.errors import InputError
from bundle.evaluation import Method, compare, write_tables
from bundle.evaluation.comparison_tables import refuse_shared_scans
from tests.evaluation.simulated_cases import CHOICE, case


def test_tables(tmp_path):
    cases = [case(0), case(1)]
    rows = compare(cases, cases, [Method("plain", lambda c: c.image), Method("IterMask2", lambda c: c.mask)], CHOICE)
    shown = write_tables(rows, cases, str(tmp_path))
    assert (tmp_path / "comparison.md").read_text() == shown and "nan" not in shown
    lines = [line for line in shown.splitlines() if line]
    assert len(lines) == 10 and all(line.count("|") == 7 for line in lines)
    assert not (tmp_path / "diseases.csv").exists()
    written = pd.read_csv(tmp_path / "comparison.csv")
    assert written["threshold from"].tolist() == ["validation labels", "test labels", "no labels"]
    assert written["AUPRC"].isna().tolist() == [False, False, True] and "dice" not in written
    dice = pd.read_csv(tmp_path / "cases.csv")
    assert dice["case"].tolist() == ["case_0", "case_1"]
    assert dice["IterMask2 (no labels)"].mean() == pytest.approx(written["Dice mean"][2], abs=1e-3)


def test_each_disease_has_its_rows(tmp_path):
    healthy = case(3)._replace(label=np.zeros((24, 24, 8), bool), disease="none")
    cases = [
        case(0)._replace(disease="ms"),
        case(1)._replace(disease="stroke"),
        case(2)._replace(disease="ms"),
        healthy,
    ]
    rows = compare([], cases, [Method("IterMask2", lambda c: c.mask)], CHOICE)
    shown = write_tables(rows, cases, str(tmp_path))
    diseases = pd.read_csv(tmp_path / "diseases.csv", keep_default_na=False).set_index("disease")
    assert diseases["cases"].to_dict() == {"ms": 2, "none": 1, "stroke": 1}
    assert float(diseases["Dice mean"]["ms"]) == pytest.approx(np.mean([rows[0]["dice"][i] for i in (0, 2)]), abs=1e-3)
    assert diseases["Dice mean"]["none"] == "" and "| ms | 2 | IterMask2 | no labels |" in shown


def test_labels_of_scored_scans_choose_no_threshold():
    refuse_shared_scans("test", [case(0), case(1)], "validation", [case(2)])
    with pytest.raises(InputError, match=r"^validation: 1 of its scans are also in test, the first being /scans/1"):
        refuse_shared_scans("test", [case(0), case(1)], "validation", [case(2), case(1)])
