import json
import re
import shutil
from html.parser import HTMLParser

import numpy as np
import pytest
from PIL import Image

from bundle.pictures import Volumes, chosen_slices, film_strip, slice_pictures, window_of
from bundle.report import case_section, write_report
from tests.flows import run
from tests.heads import write_head


@pytest.fixture(scope="module")
def outputs(trained, tmp_path_factory):
    folder = tmp_path_factory.mktemp("report")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(__file__.rsplit("/", 2)[0])
        for i in range(2):
            write_head(folder / "scans", f"patient_{i}", 30 + i, lesion=True)
        checkpoint = str(trained / "model.pt")
        run("infer", ["inference"], image=str(folder / "scans"), output_dir=str(folder / "out"), ckpt_path=checkpoint)
    return folder / "out"


def test_the_report_stands_alone(outputs):
    page = (outputs / "report.html").read_text()
    sources = re.findall(r'(?:src|href)="([^"]*)"', page)
    assert sources and all(source.startswith(("data:image/", "#case-")) for source in sources)
    assert "http" not in re.sub(r"data:image/[^\"]*", "", page)
    shown = ("patient_0_flair", "patient_1_flair", "Not a medical device", "lesion volume", "iteration 1", "SHA-256")
    for said in shown:
        assert said in page
    HTMLParser().feed(page)


def test_pictures_lie_beside_it(outputs):
    for name in ("slices", "film", "curve"):
        picture = Image.open(outputs / "patient_0_flair" / f"patient_0_flair_{name}.png")
        assert picture.format == "PNG" and np.asarray(picture).std() > 5


def test_warnings_faults_and_odd_names_are_shown_as_text(outputs, tmp_path):
    shutil.copytree(outputs / "patient_0_flair", tmp_path / "patient_0_flair")
    path = tmp_path / "patient_0_flair" / "patient_0_flair_statistics.json"
    statistics = json.loads(path.read_text())
    statistics["warnings"] = ["<b>loud</b> & clear"]
    path.write_text(json.dumps(statistics))
    section = case_section(tmp_path / "patient_0_flair")
    page = write_report(tmp_path / "r.html", [section], {"weights": "x"}, ["scan.nii.gz: <bad>"]).read_text()
    assert "&lt;b&gt;loud&lt;/b&gt; &amp; clear" in page and "scan.nii.gz: &lt;bad&gt;" in page


def volumes(lesion: bool = True) -> Volumes:
    """A brain of 40 x 60 x 10 voxels of 2 x 1 x 3 mm with a lesion at its patient-left, anterior side."""
    image = np.zeros((40, 60, 10))
    image[5:35, 10:50, 1:9] = 100
    mask = np.zeros_like(image)
    if lesion:
        mask[28:32, 14:20, 4:6] = 1
    iterations = np.where(image > 0, 1, 0)
    iterations[mask > 0] = 6
    return Volumes(image, mask, mask * 2.0, image * 0.5, iterations, None, (2.0, 1.0, 3.0))


def test_slices_that_matter():
    assert set(chosen_slices(volumes())) == {4, 5}
    assert len(chosen_slices(volumes(lesion=False))) >= 4


def test_left_is_on_the_right_and_the_nose_is_up():
    v = volumes()
    window = window_of(v)
    outlined = np.asarray(slice_pictures(v, 4, window, 2.0)["outline"]).astype(int)
    red = outlined[..., 0] - outlined[..., 1] > 60
    rows, columns = np.nonzero(red)
    assert columns.mean() > 0.6 * outlined.shape[1], "array axis 0 points to the left, which is shown on the right"
    assert rows.mean() < 0.45 * outlined.shape[0], "array axis 1 points to the back, which is shown below"
    # square millimetres: 30 x 2 mm wide and 40 x 1 mm high, with a margin of 6 mm around
    assert outlined.shape[1] / outlined.shape[0] == pytest.approx(72 / 52, rel=0.02)


def test_film_begins_with_everything_and_ends_with_the_mask():
    v = volumes()
    strip = film_strip(v, 4, window_of(v))
    assert strip[0][0] == 1 and strip[-1][0] == 6
    red = [(np.asarray(picture)[..., 0].astype(int) - np.asarray(picture)[..., 1] > 30).sum() for _, picture in strip]
    assert red[0] > 10 * red[-1] > 0
