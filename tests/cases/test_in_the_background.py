import gc
import threading

from monai.transforms import Transform

from bundle.cases import RunFolder
from bundle.cases.in_the_background import Background
from tests.flows import workflow


def test_work_is_done_in_order_and_a_fault_ends_its_case_alone():
    done, failed = [], []
    background = Background(lambda case, error: failed.append((case, str(error))))

    def fails():
        raise OSError("the disk is full")

    for case, work in (("a", fails), ("b", lambda: done.append("b")), ("a", lambda: done.append("a"))):
        background.do(case, work)
    background.do("b", lambda: done.append("b again"))
    background.wait()
    assert done == ["b", "b again"] and failed == [("a", "the disk is full")]
    background.close()


def test_the_volumes_of_two_cases_at_most_are_waited_for():
    background, go, given = Background(lambda case, error: None), threading.Event(), []

    def give():
        for case in "abc":
            background.do(case, go.wait)
            given.append(case)

    giving = threading.Thread(target=give)
    giving.start()
    giving.join(timeout=0.3)
    assert given == ["a", "b"]
    go.set()
    giving.join()
    background.close()
    assert given == ["a", "b", "c"]


def test_what_is_left_to_do_is_done_when_a_run_ends(tmp_path):
    run, done = RunFolder(str(tmp_path / "out")), []
    run.later("a", lambda: done.append("at once"))
    assert done == ["at once"]
    with run.opened():
        run.later("a", lambda: done.append("later"))
    assert done == ["at once", "later"]


def test_a_failure_is_noted_when_what_was_begun_is_written(tmp_path):
    """Else the folder of the case could be cleared between two files of it."""
    run, begun, go, order = RunFolder(str(tmp_path / "out")), threading.Event(), threading.Event(), []

    def writes():
        begun.set()
        go.wait()
        order.append("written")

    def fails():
        run.failed("a", OSError("the disk is full"))
        order.append("noted")

    with run.opened():
        run.entries["a"] = {"case": "a", "image": str(tmp_path / "a.nii.gz")}
        run.later("a", writes)
        begun.wait()
        failing = threading.Thread(target=fails)
        failing.start()
        failing.join(timeout=0.3)
        before = list(order)
        go.set()
        failing.join()
    assert before == [] and order == ["written", "noted"] and [failure.case for failure in run.failures] == ["a"]


def evaluation(cohort, trained, output):
    flow = workflow(
        "infer",
        ["inference", "evaluate"],
        datalist=str(cohort / "datalist.json"),
        output_dir=str(output),
        ckpt_path=str(trained / "model.pt"),
        run_id="evaluation",
    )
    flow.initialize()
    return flow


def test_what_is_written_is_the_same_at_once_and_at_the_very_end(cohort, trained, tmp_path, monkeypatch):
    """Nothing that is done for a case, or for the next one, changes what is still to be written of it."""
    waiting = []

    def at_the_end(background):
        while waiting:
            background._done(*waiting.pop(0))

    for name, do, wait in (
        ("at_once", Background._done, lambda background: None),
        ("at_the_end", lambda background, *work: waiting.append(work), at_the_end),
    ):
        monkeypatch.setattr(Background, "do", do)
        monkeypatch.setattr(Background, "wait", wait)
        evaluation(cohort, trained, tmp_path / name).run()
    first, second = (tmp_path / name for name in ("at_once", "at_the_end"))
    written = sorted(path.relative_to(first) for path in first.rglob("*.*") if path.parent != first)
    assert len(written) == 2 * 14
    # these tell how long it took, or when it was
    same = [path for path in written if not str(path).endswith(("report.html", "statistics.json"))]
    assert [path for path in same if (first / path).read_bytes() != (second / path).read_bytes()] == []


def test_the_background_changes_no_transform_that_others_use(cohort, trained, tmp_path, monkeypatch):
    flow = evaluation(cohort, trained, tmp_path)
    evaluator, changed = flow.parser.get_parsed_content("evaluator"), []
    gc.collect()
    others = {id(found) for found in gc.get_objects() if isinstance(found, Transform)}
    assert evaluator is not None and len(others) > 20

    def set_attribute(transform, name, value):
        if threading.current_thread() is not threading.main_thread() and id(transform) in others:
            changed.append(f"{type(transform).__name__}.{name}")
        object.__setattr__(transform, name, value)

    monkeypatch.setattr(Transform, "__setattr__", set_attribute, raising=False)
    flow.run()
    assert changed == [] and not evaluator.run_folder.failures
