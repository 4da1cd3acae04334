"""Points of the command, and of ``python -m monai.bundle run``."""

import json

import nibabel as nib
import numpy as np
import pytest

from bundle.cli.check import options_of_command_line
from bundle.cli.main import main
from bundle.errors import InputError, input_error
from bundle.interaction import Prompts, answer
from tests.flows import workflow
from tests.interaction.conftest import TINY

MONAI = "/somewhere/monai/bundle/__main__.py"
CONFIGS = "['configs/inference.json','configs/interaction.json']"


@pytest.fixture
def points(tmp_path):
    def write(content):
        path = tmp_path / "points.json"
        path.write_text(content if isinstance(content, str) else json.dumps(content))
        return str(path)

    return write


def words(tiny_weights, output):
    options = {**TINY, "ckpt_path": tiny_weights, "output_dir": output, "progress": False}
    return [word for name, value in options.items() for word in (f"--{name}", str(value))]


def test_the_command_gives_the_answer_of_the_function(state, head, tiny_weights, points, tmp_path):
    content = {"foreground": [[20, 20, 5]], "background_scribbles": [[[28, 32, 6], [29, 32, 6]]]}
    path = points(content)
    assert main(["segment", head["image"], "--points", path, *words(tiny_weights, tmp_path / "out")]) == 0
    case = tmp_path / "out" / "head"
    expected = answer(state, Prompts.from_json(content))
    assert expected.changed.voxels > 0
    for name, volume in (
        ("mask", expected.mask),
        ("score", expected.score),
        ("reconstruction", expected.reconstruction),
    ):
        written = np.asarray(nib.load(case / f"head_{name}.nii.gz").dataobj)
        np.testing.assert_allclose(written, volume, atol=1e-3, err_msg=name)
    statistics = json.loads((case / "head_statistics.json").read_text())
    assert statistics["refinement"]["prompts"] == {"lesion": 1, "normal": 1}
    page = (case / "head_report.html").read_text()
    assert "Corrected by hand: 1 mark of lesion and 1 of what is normal." in page
    assert statistics["lesion_voxels"] == int(expected.mask.sum())


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("{", "this is no JSON"),
        ([1, 2, 3], "no dictionary of lists"),
        ({"foreground": [[1, 2]]}, "three whole numbers"),
        ({"foreground": [[5000, 1, 1]]}, "lies outside of the scan"),
    ],
)
def test_bad_points_get_one_sentence_by_both_doors(content, said, head, tiny_weights, points, tmp_path, capsys):
    path, output = points(content), tmp_path / "out"
    assert main(["segment", head["image"], "--points", path, *words(tiny_weights, output)]) == 1
    shown = capsys.readouterr().err
    assert said in shown and path in shown and "Traceback" not in shown and not output.exists()
    options = {**TINY, "judge#_disabled_": False, "ckpt_path": str(tiny_weights), "progress": False}
    flow = workflow(
        "infer", ["inference", "interaction"], image=head["image"], points=path, output_dir=str(output), **options
    )
    flow.initialize()
    with pytest.raises(Exception, match=r".") as error:
        flow.run()
        flow.finalize()
    assert said in str(input_error(error.value))


def test_missing_points_and_points_for_several_scans(head, tiny_weights, points, tmp_path, capsys):
    with pytest.raises(InputError, match=r"--points missing\.json: no such file"):
        options_of_command_line([MONAI, "run", "inference", "--config_file", CONFIGS, "--points", "missing.json"])
    assert main(["segment", head["image"], "--points", "missing.json"]) == 1
    assert "--points missing.json: no such file" in capsys.readouterr().err
    path = points({"foreground": [[1, 1, 1]]})
    two = [head["image"], head["oblique"], "--points", path, *words(tiny_weights, tmp_path / "out")]
    assert main(["segment", *two]) == 1
    assert "points were given for 2 scans" in capsys.readouterr().err
