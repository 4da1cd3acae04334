import threading

from bundle.cases import RunFolder
from bundle.cases.in_the_background import Background


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
