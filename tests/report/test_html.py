import json
import re
import shutil
from html.parser import HTMLParser

import numpy as np
import pytest
from PIL import Image

from bundle.cases import CaseFolder
from bundle.report.html import case_section, write_report
from tests.flows import run
from tests.heads import write_head


@pytest.fixture(scope="module")
def outputs(trained, tmp_path_factory):
    folder = tmp_path_factory.mktemp("report")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(__file__.rsplit("/", 3)[0])
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
    section = case_section(CaseFolder(tmp_path / "patient_0_flair"))
    page = write_report(tmp_path / "r.html", [section], {"weights": "x"}, ["scan.nii.gz: <bad>"]).read_text()
    assert "&lt;b&gt;loud&lt;/b&gt; &amp; clear" in page and "scan.nii.gz: &lt;bad&gt;" in page
