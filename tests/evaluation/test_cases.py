import numpy as np
import pytest

from bundle.cases import CaseFolder
from bundle.errors import InputError
from bundle.evaluation import read_cases


def test_no_evaluation(tmp_path):
    with pytest.raises(InputError, match=r"no cases.csv"):
        read_cases(str(tmp_path))


def test_a_case_is_what_lies_around_its_brain(judged_results, monkeypatch):
    monkeypatch.setattr("bundle.evaluation.cases.MARGIN", 1)
    for case in read_cases(str(judged_results)):
        folder = CaseFolder(judged_results / case.name)
        whole = {name: folder.volume(name) for name in ("mask", "error", "score", "hidden")}
        assert case.image.size < whole["mask"].size and case.image.base is None
        assert case.mask.sum() == (whole["mask"] > 0).sum() and case.refined.sum() == (whole["hidden"] > 0).sum()
        assert case.error.max() == whole["error"].max()
        assert case.brain.sum() == folder.brain(np.asarray(folder.scan()[0]), None).sum()
        assert case.label.sum() == folder.label().sum() and case.score.max() == whole["score"].max()
