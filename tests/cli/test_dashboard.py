"""`lrsearch dashboard` in processes of its own: its address, its pages, how it ends."""

import json
import signal
import socket
import urllib.request

import pytest
from command import run_command
from processes import Command, until


def fetched(url):
    with urllib.request.urlopen(url, timeout=60) as answer:
        return answer.read().decode()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_the_address_is_the_first_line_and_a_signal_ends_it(number, finished):
    server = Command("dashboard", "tiny", "--port", "0", folder=finished)
    url = until(lambda: server.out.partition("\n")[0] if "storage: " in server.out else "")
    assert url.startswith("http://127.0.0.1:")
    assert url.endswith("/study/tiny")
    assert 'src="/study/tiny/report.html"' in fetched(url)
    assert ">finished</td><td>12 of 12</td>" in fetched(url.removesuffix("study/tiny"))
    server.signal(number)
    assert (server.wait(), server.err) == (0, "")


def test_optuna_s_dashboard_is_beside_it(finished):
    server = Command("dashboard", "--port", "0", "--optuna", folder=finished)
    said = until(lambda: server.out if "optuna-dashboard: " in server.out else "")
    own, _, theirs = said.splitlines()
    theirs = theirs.removeprefix("optuna-dashboard: ")
    assert f'href="{theirs}"' in fetched(own)
    (study,) = json.loads(fetched(f"{theirs}api/studies"))["study_summaries"]
    assert study["study_name"] == "tiny"
    request = urllib.request.Request(theirs, headers={"Host": "evil.example"})
    with pytest.raises(urllib.error.HTTPError, match="421"):
        urllib.request.urlopen(request, timeout=60)
    server.signal(signal.SIGINT)
    assert server.wait() == 0


def test_a_port_that_is_taken_is_one_line(finished):
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        ended = run_command("dashboard", "--port", port, folder=finished)
    assert (ended.code, ended.out) == (1, "")
    said = f"Error: --port {port}: Address already in use; take another one, or 0 for a free one\n"
    assert ended.err == said


def test_a_study_that_is_not_there_is_named_before_anything_is_served(finished):
    ended = run_command("dashboard", "tin", "--port", "0", folder=finished)
    assert (ended.code, ended.out) == (1, "")
    assert ended.err.startswith("Error: no study 'tin' in ")
