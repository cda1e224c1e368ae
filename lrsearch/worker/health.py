"""Whether a worker can train at all: it stops where its machine, or the task, is to blame."""

import platform
from dataclasses import dataclass

from sqlalchemy import Connection

from lrsearch.errors import StudyError
from lrsearch.study import machine_failures
from lrsearch.study.machine_failures import Blame, Verdict
from lrsearch.study.open_study import OpenStudy


@dataclass(kw_only=True)
class Health:
    """What a worker's trials have come to, as far as it matters here."""

    #: Whether a trial failed since this was looked at.
    has_failed: bool = False
    #: Whether a trial was validated.
    has_trained: bool = False
    #: Whether what failed elsewhere was looked at since.
    looked_elsewhere: bool = False

    def ended(self, *, failed: bool, validated: bool) -> None:
        """A trial has ended here."""
        self.has_failed = self.has_failed or failed
        self.has_trained = self.has_trained or validated

    def may_train(self, search: OpenStudy, worker: str) -> bool:
        """Whether to take another trial; False while other workers train what will tell.

        Raises StudyError where this machine or the study's task is to blame for what failed here.
        """
        if self.has_trained and not self.looked_elsewhere:
            self.looked_elsewhere = True
            search.database.run(
                lambda c: machine_failures.give_back_others(c, search.study_id, worker)
            )
        if not self.has_failed:
            return True

        def judge(connection: Connection) -> Verdict:
            return machine_failures.judge_here(connection, search.study_id, worker)

        verdict = search.database.run(judge)
        if verdict.blame in (Blame.MACHINE, Blame.TASK):
            raise StudyError(_line(search.name, verdict))
        if verdict.blame == Blame.UNKNOWN:
            return False
        self.has_failed = False
        return True


def _line(study: str, verdict: Verdict) -> str:
    if verdict.blame == Blame.MACHINE:
        return (
            f"study {study!r}: this worker stops, its last {verdict.failures} trials failed at "
            f"once ({verdict.reason}) while other workers train; the cause is on host "
            f"{platform.node()}: its files, memory, device or packages. These trials do not count "
            f"and start anew elsewhere; mend the host, then start the worker again"
        )
    return (
        f"study {study!r} stops: all {verdict.failures} trials failed alike before their first "
        f"validation ({verdict.reason}); the cause is the task or this machine "
        f"({platform.node()}), not the learning rate. Mend it, then run the same command again"
    )
