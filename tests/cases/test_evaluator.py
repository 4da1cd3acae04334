import json

import pytest
from ignite.engine import Events
from monai.engines import IterationEvents

from bundle.cases import CaseEvaluator, CaseFolder
from bundle.errors import input_error
from tests.flows import run, workflow
from tests.heads import write_head


@pytest.fixture(scope="module")
def scans(tmp_path_factory):
    folder = tmp_path_factory.mktemp("scans")
    for name, seed in (("a", 0), ("b", 1), ("c", 2)):
        write_head(folder, name, seed, lesion=True)
    return folder


def begun(scans, trained, output, **overrides):
    flow = workflow(
        "infer",
        ["inference"],
        image=str(scans),
        output_dir=str(output),
        ckpt_path=str(trained / "model.pt"),
        **overrides,
    )
    flow.initialize()
    return flow


def states(output) -> dict[str, bool]:
    """Which cases have a whole result."""
    return {name: CaseFolder(output / f"{name}_flair").has("page") for name in "abc"}


@pytest.mark.parametrize("station", ["inferer", "postprocessing", "report"])
def test_a_fault_of_any_station_ends_one_case_alone(station, scans, trained, tmp_path, monkeypatch):
    flow = begun(scans, trained, tmp_path)
    evaluator: CaseEvaluator = flow.parser.get_parsed_content("evaluator")
    calls = []

    def second_fails(function):
        def called(*args, **kwargs):
            calls.append(1)
            if len(calls) == 2:
                raise MemoryError("no memory is left")
            return function(*args, **kwargs)

        return called

    if station == "inferer":
        evaluator.inferer = second_fails(evaluator.inferer)
    elif station == "report":
        monkeypatch.setattr(
            "bundle.report.html.write_case_page", second_fails(lambda case: case.write("page", "<main>"))
        )
    else:
        evaluator.add_event_handler(IterationEvents.MODEL_COMPLETED, second_fails(lambda engine: None))
    flow.run()
    with pytest.raises(Exception) as caught:
        flow.finalize()
    said = str(input_error(caught.value))
    assert said.startswith("1 of 3 volumes failed") and "MemoryError: no memory is left" in said
    finished = states(tmp_path)
    assert finished["a"] and finished["c"]
    report = (tmp_path / "report.html").read_text()
    assert report.count("Not processed:") == 1 and "MemoryError" in report
    table = (tmp_path / "volumes.csv").read_text().splitlines()
    assert [row.split(",")[0] for row in table] == ["case", "a_flair", "b_flair", "c_flair"]
    assert [row.split(",")[2] for row in table[1:]] == ["done", "failed", "done"]


def test_after_ctrl_c_there_is_a_report_and_the_rest_is_done_later(scans, trained, tmp_path):
    flow = begun(scans, trained, tmp_path)
    evaluator: CaseEvaluator = flow.parser.get_parsed_content("evaluator")

    def pressed(engine):
        if engine.state.iteration == 2:
            raise KeyboardInterrupt

    evaluator.add_event_handler(Events.ITERATION_STARTED, pressed)
    flow.run()
    with pytest.raises(Exception) as caught:
        flow.finalize()
    assert "was interrupted" in str(input_error(caught.value))
    assert states(tmp_path) == {"a": True, "b": False, "c": False}
    report = (tmp_path / "report.html").read_text()
    assert "The run was interrupted" in report and report.count("not reached") == 2
    first = json.loads((tmp_path / "a_flair" / "a_flair_statistics.json").read_text())
    run("infer", ["inference"], image=str(scans), output_dir=str(tmp_path), ckpt_path=str(trained / "model.pt"))
    assert states(tmp_path) == {"a": True, "b": True, "c": True}
    again = json.loads((tmp_path / "a_flair" / "a_flair_statistics.json").read_text())
    assert first == again, "its seconds tell that it was not computed again"
