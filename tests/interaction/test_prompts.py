import json

import numpy as np
import pytest

from bundle.errors import InputError
from bundle.interaction import Prompts


def test_order_and_repetition_mean_nothing():
    first = Prompts(foreground=[[1, 2, 3], [0, 0, 9]], background_scribbles=[[[4, 4, 4], [5, 4, 4]], []])
    second = Prompts(
        foreground=np.array([[0, 0, 9], [1, 2, 3], [1, 2, 3]]), background_scribbles=[[(5.0, 4, 4), (4, 4, 4)]]
    )
    assert first == second and first.to_json() == second.to_json()
    assert Prompts.from_json(json.loads(json.dumps(first.to_json()))) == first
    assert first.lesion() == [((0, 0, 9),), ((1, 2, 3),)] and first.normal() == [((4, 4, 4), (5, 4, 4))]
    assert bool(first) and not Prompts()


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ([], "no dictionary of lists"),
        ({"foregound": []}, "'foregound'"),
        ({"foreground": "all"}, "'all'; give a list"),
        ({"foreground": {"0": [1, 2, 3]}}, "give a list"),
        ({"foreground": [1, 2, 3]}, "holds 1; give a voxel"),
        ({"foreground": [[1, 2]]}, "three whole numbers"),
        ({"foreground": [[1, 2, 2.5]]}, "three whole numbers"),
        ({"foreground": [[1, 2, None]]}, "three whole numbers"),
        ({"foreground": [[1, 2, float("nan")]]}, "three whole numbers"),
        ({"foreground": [[1, 2, float("inf")]]}, "three whole numbers"),
        ({"foreground": [[1, 2, "a"]]}, "three whole numbers"),
        ({"foreground": [[1, 2, 10**400]]}, "three whole numbers"),
        ({"foreground": ["123"]}, "three whole numbers"),
        ({"foreground": [[True, False, True]]}, "three whole numbers"),
        ({"foreground_scribbles": [[1, 2, 3]]}, "three whole numbers"),
        ({"background": [[1, 2, 3]], "foreground_scribbles": [[[1, 2, 3]]]}, "it is lesion and that it is normal"),
    ],
)
def test_bad_prompts_are_refused_in_one_sentence(content, said, tmp_path):
    with pytest.raises(InputError, match=said) as error:
        Prompts.from_json(content)
    assert str(error.value).count(". ") == 0
    (tmp_path / "points.json").write_text(json.dumps(content))
    with pytest.raises(InputError, match=f"points.json: the prompts.*{said}"):
        Prompts.read(tmp_path / "points.json")


def test_files_that_hold_no_prompts(tmp_path):
    with pytest.raises(InputError, match="cannot be read"):
        Prompts.read(tmp_path / "missing.json")
    (tmp_path / "broken.json").write_text('{"foreground": [[1, 2')
    with pytest.raises(InputError, match=r"broken\.json: this is no JSON"):
        Prompts.read(tmp_path / "broken.json")
    (tmp_path / "binary.json").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(InputError, match=r"binary\.json: this is no JSON"):
        Prompts.read(tmp_path / "binary.json")
