"""Who can reach the server, before anything heavy is imported."""

import subprocess
import sys

import pytest

from bundle.errors import InputError
from bundle.label.access import check_access, is_loopback

TOKEN = "long-enough-for-a-token"


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.168.1.7", "example.org", "localhost.example.org"])
def test_another_host_needs_a_flag_and_a_token(host):
    with pytest.raises(InputError, match="--allow-remote"):
        check_access(host, 8000, (), False, "")
    with pytest.raises(InputError, match="--allow-remote"):
        check_access(host, 8000, (), False, TOKEN)
    with pytest.raises(InputError, match="ITERMASK2_LABEL_TOKEN"):
        check_access(host, 8000, (), True, "")
    check_access(host, 8000, (), True, TOKEN)


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "::1", "127.0.0.2"])
def test_this_machine_needs_neither(host):
    assert is_loopback(host)
    check_access(host, 8000, (), False, "")


def test_what_does_not_exist_is_refused():
    with pytest.raises(InputError, match="--allow everything"):
        check_access("127.0.0.1", 8000, ("everything",), False, "")
    with pytest.raises(InputError, match="--port"):
        check_access("127.0.0.1", 0, (), False, "")
    for token in ("short", "with a space in the middle", "ümlaut-ümlaut-ümlaut"):
        with pytest.raises(InputError, match="token"):
            check_access("127.0.0.1", 8000, (), False, token)


def test_without_monai_label_one_sentence_and_nothing_heavy():
    program = (
        "import sys; from bundle.label import start\n"
        "heavy = {'torch', 'monai', 'fastapi', 'starlette', 'nibabel'} & set(sys.modules); assert not heavy, heavy\n"
        "start('nowhere')"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert done.returncode == 1 and "MONAI Label is not installed" in done.stderr.splitlines()[-1]
