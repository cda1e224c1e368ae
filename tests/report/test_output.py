"""The output of a trial that still runs is followed until its end, and to its last byte."""

import threading
import time

from tiny_studies import ask, ended, make_study, opened

from lrsearch.child_process import folders
from lrsearch.report.output import chunks
from lrsearch.trial.states import TrialState


def test_output_is_followed_until_the_trial_has_ended(tmp_path, monkeypatch, sqlite_url):
    monkeypatch.chdir(tmp_path)
    lines = [f"line {i}\n" for i in range(8)]
    with opened(sqlite_url) as database:
        search = make_study(database)
        assignment = ask(search)
        output = folders.begin_attempt(
            folders.trial_folder("tiny", "trial-0"), 1, "host:1:1", goes_on=False
        )
        output.write_text(lines[0])

        def train():
            for line in lines[1:]:
                time.sleep(0.1)
                with output.open("a") as file:
                    file.write(line)
            search.tell(assignment, ended(TrialState.PRUNED))

        thread = threading.Thread(target=train)
        thread.start()
        found = chunks(search, 0, None, follow=True)
        assert next(found) == lines[0].encode()
        assert b"".join(found) == "".join(lines[1:]).encode()
        thread.join()
        assert b"".join(chunks(search, 0, None, follow=False)) == "".join(lines).encode()
