import pytest

from bundle.errors import InputError
from bundle.evaluation import read_cases


def test_no_evaluation(tmp_path):
    with pytest.raises(InputError, match=r"no cases.csv"):
        read_cases(str(tmp_path))
