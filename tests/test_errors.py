import subprocess
import sys

from bundle.errors import InputError, input_error


def test_the_fault_is_found_behind_other_exceptions():
    fault = InputError("scan.nii.gz: at fault; mend it.")
    try:
        try:
            raise fault
        except InputError as error:
            raise RuntimeError("applying transform") from error
    except RuntimeError as outer:
        assert input_error(outer) is fault
    assert input_error(RuntimeError("ours")) is None and input_error(None) is None


def test_a_command_shows_the_sentence_alone():
    """Exit code 1, as for any exception, and no traceback; other exceptions keep theirs."""
    program = (
        "import bundle.errors as e\ne.show_input_errors()\n"
        "try:\n  raise {}\nexcept Exception as x:\n  raise RuntimeError('wrapped') from x"
    )
    for raised, traceback in (("e.InputError('a.nii: at fault; mend it.')", False), ("KeyError('ours')", True)):
        done = subprocess.run([sys.executable, "-c", program.format(raised)], capture_output=True, text=True)
        assert done.returncode == 1 and ("Traceback" in done.stderr) == traceback
        assert ("Error: a.nii: at fault; mend it." in done.stderr) != traceback


def test_importing_changes_nothing():
    program = "import sys; before = sys.excepthook; import bundle.errors, bundle.cli; assert sys.excepthook is before"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
