"""The demo's curl lines do what it says of them."""

import re
import signal
import subprocess

import pytest
from conftest import BOOKEND, Process


@pytest.fixture(params=[[], ["--tls"]], ids=["plain", "tls"])
def lines(tmp_path, request):
    """Runs the printed commands that hold a text, in order, and gives their output."""
    # The folder of the certificate is to be gone at the end.
    temporary = tmp_path / "temporary"
    temporary.mkdir()
    with Process([BOOKEND, "demo", *request.param], env={"TMPDIR": str(temporary)}) as demo:
        demo.await_output("Ctrl-C ends it")
        commands = re.findall(r"^    \$ (.*)$", demo.output, re.MULTILINE)
        assert len(commands) >= 15

        def output(command):
            return subprocess.run(
                ["bash", "-c", command], cwd=tmp_path, capture_output=True, text=True, check=True, timeout=20
            ).stdout

        def run(text):
            chosen = [command for command in commands if text in command]
            assert chosen, f"{text} is in none of {commands}"
            return [output(command) for command in chosen]

        # What it keeps on disk, and the certificate with --tls.
        assert len(list(temporary.iterdir())) == 1 + len(request.param)
        yield run
        assert demo.stop(signal.SIGINT) == 0
    assert list(temporary.iterdir()) == []


def test_every_line_runs_in_its_order(lines):
    outputs = lines("curl")
    # Only the one that saves an ETag is silent.
    assert outputs.count("") == 1
    miss, hit = outputs[:2]
    assert "fwd=uri-miss" in miss and "stored" in miss
    assert "; hit; ttl=" in hit and re.search(r"^age: \d+", hit, re.MULTILINE)


def test_the_etag_that_curl_saved_gives_304(lines):
    assert re.match(r"HTTP/(1\.1|2) 304", lines("--etag")[-1])


def test_twenty_at_once_cost_one_request(lines):
    (statuses,) = lines("seq 20")
    assert len(statuses.splitlines()) == 20
    assert sum("collapsed" in status or "; hit" in status for status in statuses.splitlines()) == 19
