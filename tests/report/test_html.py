import json
import re
import shutil
from html.parser import HTMLParser

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from bundle.cases import CaseFolder
from bundle.report.case_page import section_of_page, write_case_page
from bundle.report.html import report_page
from bundle.report.rows import COLUMNS, middle_of
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
    links = [source for source in sources if source.startswith("#")]
    assert len(links) == 2 and all(f'id="{link[1:]}"' in page for link in links)
    HTMLParser().feed(page)


def test_the_table_of_the_run(outputs):
    table = pd.read_csv(outputs / "volumes.csv")
    assert tuple(table.columns) == COLUMNS and list(table["case"]) == ["patient_0_flair", "patient_1_flair"]
    for _, row in table.iterrows():
        statistics = CaseFolder(outputs / row["case"]).statistics()
        assert row["status"] == "done" and row["lesion_ml"] == statistics["lesion_ml"]
        assert row["components"] == statistics["number_of_components"]


def test_cases_of_earlier_runs_in_the_folder_are_listed(outputs, trained, tmp_path):
    shutil.copytree(outputs, tmp_path / "out")
    scan = write_head(tmp_path, "another", 40)["image"]
    run("infer", ["inference"], image=scan, output_dir=str(tmp_path / "out"), ckpt_path=str(trained / "model.pt"))
    table = pd.read_csv(tmp_path / "out" / "volumes.csv").set_index("case")
    assert table["status"].to_dict() == {
        "another_flair": "done",
        "patient_0_flair": "of an earlier run",
        "patient_1_flair": "of an earlier run",
    }
    earlier = pd.read_csv(outputs / "volumes.csv").set_index("case")
    assert table["lesion_ml"]["patient_0_flair"] == earlier["lesion_ml"]["patient_0_flair"]
    page = (tmp_path / "out" / "report.html").read_text()
    assert 'href="patient_0_flair/patient_0_flair_report.html"' in page and 'href="#case-' in page
    assert "3 volumes, 2 of an earlier run" in page


def test_pictures_lie_beside_it(outputs):
    for name in ("slices", "film", "curve"):
        picture = Image.open(outputs / "patient_0_flair" / f"patient_0_flair_{name}.png")
        assert picture.format == "PNG" and np.asarray(picture).std() > 5


def test_a_page_of_its_own(outputs):
    page = (outputs / "patient_0_flair" / "patient_0_flair_report.html").read_text()
    assert "Not a medical device" in page and "patient_1" not in page
    assert str(section_of_page(CaseFolder(outputs / "patient_0_flair"))) in page


def test_an_uncertain_threshold_is_told(outputs, tmp_path):
    shutil.copytree(outputs / "patient_0_flair", tmp_path / "patient_0_flair")
    case = CaseFolder(tmp_path / "patient_0_flair")
    shutil.copy(case.file("mask"), case.file("possible_lesions"))
    for said, found in ((True, {"uncertain_ml": [10.04, 30.0], "threshold_range": [0.5, 1.5]}), (False, {})):
        kept = {key: value for key, value in case.statistics()["refinement"].items() if key != "uncertain_ml"}
        case.file("statistics").write_text(json.dumps({**case.statistics(), "refinement": {**kept, **found}}))
        write_case_page(case)
        page = str(section_of_page(case))
        assert ("The threshold is uncertain: between about 10.0 and 30.0 ml" in page) is said
        assert ("at the lowest and the highest threshold" in page) is said


def rows(*changes: dict) -> pd.DataFrame:
    done = {"status": "done", "lesion_ml": 2.0, "components": 1, "seconds": 3.0, "warnings": "", "image": "x.nii.gz"}
    changed = [{**done, "case": f"case {number}", **change} for number, change in enumerate(changes)]
    return pd.DataFrame(changed, columns=COLUMNS).convert_dtypes()


def test_warnings_faults_and_odd_names_are_shown_as_text(outputs, tmp_path):
    shutil.copytree(outputs / "patient_0_flair", tmp_path / "patient_0_flair")
    case = CaseFolder(tmp_path / "patient_0_flair")
    statistics = {**case.statistics(), "warnings": ["<b>loud</b> & clear"]}
    case.file("statistics").write_text(json.dumps(statistics))
    write_case_page(case)
    table = rows({"warnings": "<b>"}, {"status": "failed", "failure": "scan.nii.gz: <bad>", "lesion_ml": None})
    page = report_page(table, {"weights": "x"}, {"case 0": "#a"}, [section_of_page(case)], passed_over=["2 <files>"])
    assert "&lt;b&gt;loud&lt;/b&gt; &amp; clear" in page and "scan.nii.gz: &lt;bad&gt;" in page
    assert "2 &lt;files&gt;" in page and "Not processed:" in page and ">failed<" in page and "Dice" not in page


def test_agreement_with_the_expert_has_a_mean_and_a_median():
    table = rows({"dice": 0.9, "expert_ml": 1.0}, {"dice": 0.8, "expert_ml": 2.0}, {"dice": 0.1, "expert_ml": 6.0})
    middle = middle_of(table)
    assert middle["mean"]["dice"] == pytest.approx(0.6) and middle["median"]["dice"] == pytest.approx(0.8)
    assert middle["mean"]["expert_ml"] == 3.0 and middle["median"]["expert_ml"] == 2.0
    page = report_page(table, {}, {})
    cells = re.findall(r"<td[^>]*>([^<]*)</td>", page[page.index("<tfoot>") :])
    assert cells[:8] == ["mean", "2.0", "1.0", "", "3.0", "0.60", "3.0", ""]
    assert cells[8:16] == ["median", "2.0", "1.0", "", "2.0", "0.80", "3.0", ""]


def test_many_volumes_are_an_index(outputs):
    table = rows(*({"warnings": "a sentence that warns of something, as long as they are " * 3} for _ in range(500)))
    links = {name: f"{name}/{name}_report.html" for name in table["case"]}
    page = report_page(table, {}, links)
    assert len(page) < 1_000_000 and 'href="case 499/case 499_report.html"' in page and "<img" not in page
    uncertain = report_page(rows({"lesion_ml": 0.0, "from_ml": 0.0, "to_ml": 3.71}), {}, {})
    assert "(0.0 to 3.7)" in uncertain and " to " not in page.partition("<tbody>")[2].partition("</tbody>")[0]
    assert (outputs / "patient_0_flair" / "patient_0_flair_report.html").stat().st_size < 500_000
