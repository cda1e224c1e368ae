"""Where workers work: a database, a folder, the commands that users run there; and what must hold
of a study whatever became of its workers."""

from contextlib import contextmanager

import psutil
from optuna.trial import TrialState as OptunaState
from processes import Command, until
from tiny_studies import TASKS, TRIALS, VALIDATIONS, opened

from lrsearch.report.summary import curve_rows, summarize, trial_rows
from lrsearch.storage import checkpoint_store, confirmations, leases, studies, trials
from lrsearch.study.open_study import OpenStudy
from lrsearch.trial.states import TrialState

OPTUNAS = {
    "running": OptunaState.RUNNING,
    "complete": OptunaState.COMPLETE,
    "pruned": OptunaState.PRUNED,
    "diverged": OptunaState.PRUNED,
    "failed": OptunaState.FAIL,
}


class Site:
    """A database, a folder to work in, and the commands that users run there."""

    def __init__(self, url, folder, database):
        self.url, self.folder, self.database = url, folder, database
        self._control = folder.parent / "control"
        #: Variables that its commands are given besides.
        self.environment = {}
        self._commands = []

    def say(self, word):
        """Tell all trials in training to go on (""), to be `slow`, or to `hold`."""
        part = self._control.with_suffix(".part")
        part.write_text(word)
        part.replace(self._control)

    def held(self, count):
        """Wait until so many workers are held in the middle of a trial."""
        until(lambda: len(list(self._control.parent.glob("held.*"))) >= count)

    def hold_run(self, workers):
        """A `lrsearch run` whose workers are all held in the middle of a trial; and they."""
        self.say("slow")  # not `hold` yet: `run` tries one batch itself
        run = self.run(workers=workers)
        until(lambda: self.row() is not None and self.counts()["running"] == workers)
        self.say("hold")
        self.held(workers)
        processes = run.children()
        assert len(processes) == workers
        return run, processes

    def release_held(self):
        """Forget which workers were held, after they are gone."""
        for path in self._control.parent.glob("held.*"):
            path.unlink()

    def command(self, *words, control=None):
        command = Command(
            *words,
            folder=self.folder,
            LRSEARCH_STORAGE=self.url,
            TINY_CONTROL=str(control or self._control),
            OMP_NUM_THREADS="1",
            **self.environment,
        )
        self._commands.append(command)
        return command

    def free_worker(self):
        """A worker that no word holds."""
        return self.command("worker", "tiny", "--task-dir", TASKS, control=self.folder / "free")

    def worker(self, *options):
        return self.command("worker", "tiny", "--task-dir", TASKS, *options)

    def run(self, *options, workers=1):
        return self.command("run", TASKS / "tiny.yaml", "--workers", workers, *options)

    @property
    def search(self):
        return OpenStudy.open(self.database, "tiny")

    def row(self):
        with self.database.read() as connection:
            return studies.by_name(connection, "tiny")

    def counts(self):
        with self.database.read() as connection:
            return studies.counts(connection, self.row().study_id)

    def ended(self):
        counts = self.counts()
        return sum(counts.values()) - counts[TrialState.RUNNING]

    def holders(self):
        """The workers that have a trial or a run in their hands."""
        study = self.row().study_id
        with self.database.read() as connection:
            return leases.holders(connection, study)

    def checkpoints(self):
        """The ids of the trials that have one."""
        files = self.folder.glob("lrsearch-checkpoints/**/*.pt")
        return sorted({checkpoint_store.owner(path.name)[1] for path in files})

    def close(self):
        for command in self._commands:
            if command.alive:
                for process in [*command.children(), psutil.Process(command.pid)]:
                    process.kill()


def gone(process):
    """Whether a process has ended, reaped or not."""
    try:
        return process.status() == psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return True


@contextmanager
def opened_site(url, folder):
    with opened(url) as database:
        site = Site(url, folder / "work", database)
        site.folder.mkdir()
        try:
            yield site
        finally:
            site.close()


def assert_exact(search, total=TRIALS):
    """Budget used and not exceeded, nothing lost, nothing twice, both halves of the study agree."""
    with search.database.read() as connection:
        study = studies.by_id(connection, search.study_id)
        rows = trials.everything(connection, search.study_id)
        runs = confirmations.everything(connection, search.study_id)
    assert study.trials_used == total
    assert [row.ticket for row in rows] == list(range(1, total + 1))
    assert sorted(row.number for row in rows) == list(range(total))
    assert {row.state for row in rows} <= {"complete", "pruned", "diverged"}
    assert study.epochs_reserved == 0
    assert study.epochs_used == sum(row.epochs for row in rows + runs)
    assert {run.state for run in runs} <= {"complete", "diverged"}
    assert len(runs) == total // 4
    theirs = search.study.get_trials(deepcopy=False)
    assert len(theirs) == total
    for row in rows:
        trial = theirs[row.number]
        assert (trial.number, trial.state) == (row.number, OPTUNAS[row.state])
        assert row.state != "complete" or trial.value == row.value
    curves = {}
    for point in curve_rows(search, number=None, all_attempts=False)[0]:
        curves.setdefault(point["trial"], []).append(point["validation"])
    for row in rows:
        seen = curves.get(row.number, [])
        assert seen == list(range(1, len(seen) + 1))
        assert row.state != "complete" or len(seen) == VALIDATIONS
        assert row.state != "pruned" or len(seen) == row.epochs * 2
    assert summarize(search)["state"] == "finished"


def what_came_out(search):
    """Everything that a study found, without who found it and how long it took."""
    # `why` also says what became of it in the confirmation, and its place among all.
    gone_by = ("seconds", "attempts", "attempt", "why")
    curves, _ = curve_rows(search, number=None, all_attempts=False)
    with search.database.read() as connection:
        runs = confirmations.everything(connection, search.study_id)
    return {
        "trials": [
            {k: v for k, v in row.items() if k not in gone_by} for row in trial_rows(search)
        ],
        "curves": [{k: v for k, v in row.items() if k not in gone_by} for row in curves],
        "runs": [(run.number, run.seed, run.value, run.metrics) for run in runs],
    }
