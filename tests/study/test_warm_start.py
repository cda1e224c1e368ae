"""A study that starts from what others found, on SQLite and on PostgreSQL."""

import math

import optuna
import pytest
from optuna.trial import TrialState as OptunaState
from tiny_studies import (
    STEPS_PER_EPOCH,
    ask,
    curve_row,
    ended,
    make_study,
    opened,
    tiny_spec,
    tiny_task,
    work,
)

from lrsearch.confirmation.runs import PlannedRun
from lrsearch.errors import SpecError, StorageError, StudyError, TaskError
from lrsearch.report.summary import summarize, trial_rows
from lrsearch.storage import confirmations, curves, studies, trials
from lrsearch.study import draw
from lrsearch.study.create import create_study
from lrsearch.study.extend import extend_study
from lrsearch.study.open_study import OpenStudy
from lrsearch.study.optuna.sampler import new_trial
from lrsearch.study.optuna.storage import optuna_storage
from lrsearch.study.prepare_database import prepare
from lrsearch.trial.states import TrialState

LR = {"low": 1e-5, "high": 1.0, "log": True}
#: One optimizer and one schedule, so that a trial is its learning rate and decay.
SPACE = {
    "optimizers": {
        "adamw": {"lr": LR, "weight_decay": {"low": 1e-4, "high": 1.0, "log": True}, "beta1": 0.9}
    },
    "schedules": ["cosine"],
    "warmup": 0.0,
}
BEST_LR = 3e-3


def loss_at(lr):
    """A bowl over log lr."""
    return 0.1 + math.log10(lr / BEST_LR) ** 2


def play(search, count):
    """Trials whose value is that of their learning rate; those above 0.3 diverge."""
    recipes = []
    for _ in range(count):
        assignment = ask(search)
        if assignment is None:
            break
        recipes.append(assignment.recipe)
        lr = assignment.recipe.optimizer["lr"]
        with search.database.begin() as connection:
            curves.add(connection, assignment.claim, [curve_row(1, val_loss=loss_at(lr))])
        state = TrialState.DIVERGED if lr > 0.3 else TrialState.COMPLETE
        search.tell(assignment, ended(state, progress=0.5))
    return recipes


def plain_study(storage, count=20, name="theirs", direction="minimize", objective=None):
    """A study that knows nothing of lrsearch: `lr` and `wd` of AdamW."""

    def train(trial):
        lr = trial.suggest_float("lr", 1e-5, 1.0, log=True)
        trial.suggest_float("wd", 1e-3, 0.5, log=True)
        return loss_at(lr)

    sampler = optuna.samplers.TPESampler(seed=0)
    study = optuna.create_study(
        storage=storage, study_name=name, direction=direction, sampler=sampler
    )
    study.optimize(objective or train, n_trials=count, catch=(ValueError,))
    return study


def entry(**changes):
    return {
        "optuna": "theirs",
        "map": {"lr": "adamw.lr", "wd": "adamw.weight_decay"},
        "fixed": {"optimizer": "adamw", "schedule": "cosine"},
        **changes,
    }


def origin(search):
    with search.database.read() as connection:
        return studies.by_name(connection, search.name).origin


def kinds(search):
    return [row["kind"] for row in trial_rows(search)]


@pytest.fixture
def lone(tmp_path):
    """A database on SQLite, for what no other could do differently."""
    with opened(f"sqlite:///{tmp_path}/study.db") as database:
        prepare(database)
        yield database


@pytest.fixture
def old(database):
    """An ended study of eight trials."""
    search = make_study(database, name="old", space=SPACE, budget={"trials": 8})
    play(search, 8)
    return search


# From an lrsearch study


def test_the_best_recipes_of_an_earlier_study_come_after_the_users_own(old):
    own = {"optimizer": {"name": "adamw", "lr": 0.5}, "schedule": {"name": "cosine"}}
    ranked = sorted(
        (row for row in trial_rows(old) if row["state"] == "complete"), key=lambda r: r["value"]
    )
    search = make_study(
        old.database,
        space=SPACE,
        seed=11,
        baseline=own,
        enqueue=[{**own, "warmup": 0.1}],
        warm_start=["old"],
        budget={"trials": 7},
    )
    recipes = play(search, 9)
    assert kinds(search) == ["baseline", "enqueued"] + ["warm_start"] * 3 + ["sampled"] * 2
    for recipe, row in zip(recipes[2:5], ranked, strict=False):
        assert recipe.to_dict() == {**row["recipe"], "seed": 11}
    assert [row["trial"] for row in trial_rows(search)] == list(range(7))
    assert origin(search)["warm_start"] == [
        {"study": "old", "enqueued": 3, "known": 8, "outside": 0, "unusable": 0, "other": ""}
    ]


def test_a_recipe_that_named_its_own_batch_size_keeps_it(lone):
    own = {"optimizer": {"name": "adamw", "lr": BEST_LR}, "schedule": "cosine", "batch_size": 8}
    play(make_study(lone, name="old", space=SPACE, enqueue=[own], budget={"trials": 4}), 4)
    warm = make_study(lone, space=SPACE, warm_start=["old"], budget={"trials": 3})
    assert [recipe.batch_size for recipe in play(warm, 3)] == [8, 16, 16]


def test_the_trials_of_an_earlier_study_are_known_to_the_sampler_alone(old):
    search = make_study(old.database, space=SPACE, warm_start=["old"], budget={"trials": 5})
    summary = summarize(search)
    assert sum(summary["counts"].values()) == 0
    assert summary["best"] is None
    assert summary["budget"] == {"trials": {"total": 5, "used": 0}}
    assert summary["epochs"]["search"] == 0
    told = search.all_trials()
    theirs = old.all_trials()
    for mine, other in zip(told, theirs, strict=True):
        assert (mine.state, mine.values, mine.constraints, mine.intermediate_values) == (
            other.state,
            other.values,
            other.constraints,
            other.intermediate_values,
        )
        assert mine.params == other.params
        assert "lrsearch:ticket" not in mine.user_attrs
        assert mine.user_attrs["lrsearch:from"] == f"old trial {mine.number}"
    assert any(max(trial.constraints.values()) > 0 for trial in told)
    play(search, 9)
    assert [row["trial"] for row in trial_rows(search)] == list(range(5))
    assert len(search.all_trials()) == len(theirs) + 5
    with search.database.read() as connection:
        rows = trials.everything(connection, search.study_id)
    by_id = {trial._trial_id: trial for trial in search.all_trials()}
    for row in rows:
        assert by_id[row.trial_id].user_attrs == {
            "lrsearch:ticket": row.ticket,
            "recipe": row.recipe,
        }


def test_the_confirmed_winner_comes_first(old):
    ranked = sorted(
        (row for row in trial_rows(old) if row["state"] == "complete"), key=lambda r: r["value"]
    )
    run = PlannedRun(round="report", role="winner", number=ranked[4]["trial"], seed=1)
    with old.database.begin() as connection:
        confirmations.add(connection, old.study_id, [run])
    search = make_study(
        old.database, space=SPACE, warm_start=[{"study": "old", "top": 2}], budget={"trials": 3}
    )
    lrs = [recipe.optimizer["lr"] for recipe in play(search, 2)]
    assert lrs == [ranked[i]["recipe"]["optimizer"]["lr"] for i in (4, 0)]


def test_values_of_another_problem_are_not_told_but_recipes_are_tried(old):
    others = {
        "horizon": {"epochs": 3, "validate_every": "epoch"},
        "objective": {"objective": {"metric": "mae", "direction": "minimize"}},
        "deployed weights": {"ema": {"deploy": True}},
        "accumulate": {"accumulate": 2},
    }
    for index, (what, changes) in enumerate(others.items()):
        search = make_study(
            old.database, name=f"new-{index}", space=SPACE, warm_start=["old"], **changes
        )
        (lesson,) = origin(search)["warm_start"]
        assert (lesson["enqueued"], lesson["known"]) == (3, 0)
        assert lesson["other"] == f"another {what}"
        assert search.all_trials() == []
        assert ask(search).recipe.epochs == search.spec.epochs


def test_a_study_continued_is_not_warmed_again(old):
    fields = {"space": SPACE, "warm_start": ["old"], "budget": {"trials": 4}}
    search = make_study(old.database, **fields)
    play(search, 2)
    old.delete()
    again, new = create_study(
        search.database,
        tiny_spec(**fields),
        tiny_task(),
        steps_per_epoch=STEPS_PER_EPOCH,
        exist_ok=True,
    )
    assert not new
    assert len(again.all_trials()) == 8 + 2
    play(again, 9)
    assert kinds(again) == ["warm_start"] * 3 + ["sampled"]
    with pytest.raises(StudyError, match="exists with another spec: warm_start"):
        create_study(
            search.database,
            tiny_spec(**{**fields, "warm_start": []}),
            tiny_task(),
            steps_per_epoch=STEPS_PER_EPOCH,
            exist_ok=True,
        )


@pytest.mark.both_databases
def test_an_extension_keeps_what_its_study_knew(old):
    search = make_study(old.database, space=SPACE, warm_start=["old"], budget={"trials": 5})
    play(search, 4)
    wider = {**SPACE, "schedules": ["cosine", "linear"]}
    plain_study(optuna_storage(old.database), count=3)
    spec = tiny_spec(space=wider, warm_start=["old", entry()], budget={"trials": 20})
    done = extend_study(search, spec, tiny_task(), steps_per_epoch=STEPS_PER_EPOCH)
    assert (done.taken, done.known) == (4, 8 + 3)
    new = OpenStudy.open(search.database, "tiny")
    assert [trial.values for trial in new.all_trials()][:8] == [t.values for t in old.all_trials()]
    play(new, 3)
    assert [row["trial"] for row in trial_rows(new)] == list(range(7))
    assert len(new.all_trials()) == 8 + 4 + 3 + 3


# From a plain Optuna study


@pytest.fixture
def theirs(tmp_path):
    url = f"sqlite:///{tmp_path}/theirs.db"
    return plain_study(url, count=8), url


def test_a_plain_study_teaches_the_sampler_and_its_best_are_tried(database, theirs):
    study, url = theirs
    before = study.trials
    search = make_study(
        database, space=SPACE, warm_start=[entry(storage=url)], budget={"trials": 5}
    )
    told = search.all_trials()
    assert [trial.value for trial in told] == [trial.value for trial in before]
    for mine, other in zip(told, before, strict=True):
        assert mine.state == OptunaState.COMPLETE
        assert mine.params["adamw.lr"] == pytest.approx(other.params["lr"])
        assert mine.params["adamw.weight_decay"] == pytest.approx(other.params["wd"])
    recipes = play(search, 9)
    assert len(recipes) == 5
    assert kinds(search) == ["warm_start"] * 3 + ["sampled"] * 2
    best = sorted(before, key=lambda trial: trial.value)
    lrs = [recipe.optimizer["lr"] for recipe in recipes]
    assert lrs[:3] == [trial.params["lr"] for trial in best[:3]]
    assert optuna.load_study(study_name="theirs", storage=url).trials == before
    assert trial_rows(search)[0]["trial"] == 0


def test_the_first_samples_are_near_the_optimum_that_others_found(lone, tmp_path):
    """TPE's random start is ten trials; told of thirty, it has none."""
    url, near = f"sqlite:///{tmp_path}/theirs.db", {}
    plain_study(url, count=30)
    for name, earlier in (("warm", [entry(storage=url, top=0)]), ("cold", [])):
        search = make_study(lone, name=name, space=SPACE, seed=5, warm_start=earlier)
        lrs = [recipe.optimizer["lr"] for recipe in play(search, 10)]
        near[name] = sum(abs(math.log10(lr / BEST_LR)) < 0.5 for lr in lrs)
    assert near["warm"] >= 5
    assert near["cold"] <= 2


@pytest.mark.both_databases
def test_every_fifth_draw_learns_from_the_studys_own_trials_alone(database, tmp_path, monkeypatch):
    """Others' trials may mislead: the sampler never relies on them."""
    url, seen = f"sqlite:///{tmp_path}/theirs.db", []
    plain_study(url, count=12)
    search = make_study(
        database, space=SPACE, portfolio="none", warm_start=[entry(storage=url, top=0)]
    )

    def spied(history, *args, **fields):
        seen.append([trial.value for trial in history])
        return new_trial(history, *args, **fields)

    monkeypatch.setattr(draw, "new_trial", spied)
    play(search, 10)
    assert [len(values) for values in seen] == [12, 13, 14, 15, 4, 17, 18, 19, 20, 9]
    assert seen[4] == seen[5][12:16]


@pytest.mark.both_databases
def test_what_diverged_elsewhere_is_infeasible_here(database):
    def train(trial):
        lr = trial.suggest_float("lr", 1e-5, 1.0, log=True)
        trial.suggest_float("wd", 1e-3, 0.5, log=True)
        ends = [lr, math.inf, math.nan, None, 1e9]
        if trial.number == 3:
            raise optuna.TrialPruned
        if trial.number == 4:
            trial.set_constraint("memory", 1.0)
        return ends[trial.number] if trial.number < 5 else lr

    plain_study(optuna_storage(database), count=7, objective=train)

    def states(name, **changes):
        search = make_study(database, name=name, space=SPACE, warm_start=[entry(**changes)])
        found = [
            "diverged" if max(trial.constraints.values()) > 0 else trial.state.name
            for trial in search.all_trials()
        ]
        return found, origin(search)["warm_start"][0]["unusable"]

    assert states("a") == (["COMPLETE", "diverged", "COMPLETE", "COMPLETE"], 3)
    found, unusable = states("b", failed="diverged")
    assert (found, unusable) == (["COMPLETE", "diverged", "diverged", "COMPLETE", "COMPLETE"], 2)
    told = OpenStudy.open(database, "b").all_trials()[1]
    assert told.state == OptunaState.PRUNED
    assert all(math.isfinite(value) for value in told.intermediate_values.values())


def test_an_optimizer_that_was_a_choice_there_is_one_here(lone):
    def train(trial):
        trial.suggest_categorical("opt", ["AdamW", "SGD", "Lion"])
        return trial.suggest_float("lr", 1e-4, 1e-1, log=True)

    plain_study(optuna_storage(lone), count=12, objective=train)
    theirs = optuna.load_study(study_name="theirs", storage=optuna_storage(lone))
    names = [trial.params["opt"] for trial in theirs.trials]
    search = make_study(
        lone,
        space={**SPACE, "optimizers": {"adamw": {"lr": LR, "beta1": 0.9, "weight_decay": 0.01}}},
        warm_start=[
            entry(
                map={"opt": "optimizer", "lr": ["adamw.lr", "sgd.lr"]}, fixed={"schedule": "cosine"}
            )
        ],
    )
    (lesson,) = origin(search)["warm_start"]
    assert (lesson["known"], lesson["outside"], lesson["unusable"]) == tuple(
        names.count(name) for name in ("AdamW", "SGD", "Lion")
    )
    assert lesson["enqueued"] == 3  # SGD's as well: legal, though outside the space


def test_a_warm_study_trains_for_real(lone, theirs):
    _, url = theirs
    search = make_study(lone, space=SPACE, warm_start=[entry(storage=url)], budget={"trials": 6})
    work(search)
    summary = summarize(search)
    assert summary["state"] == "finished"
    assert summary["budget"]["trials"] == {"total": 6, "used": 6}
    assert all(trial.state.is_finished() for trial in search.all_trials())


# What cannot be used


def test_entries_that_cannot_be_used_are_one_line_and_make_nothing(old, theirs, tmp_path):
    database, (_, url) = old.database, theirs
    (tmp_path / "text.db").write_text("no database " * 100)
    with opened(f"sqlite:///{tmp_path}/new.db") as empty:
        empty.set_wal()
    plain_study(url, count=2, name="upward", direction="maximize")
    cases = [
        ("odl", StudyError, r"warm_start\[0\]: no study 'odl' .*did you mean 'old'\?"),
        ({"optuna": "old"}, SpecError, "neither map nor fixed gives the optimizer"),
        (entry(optuna="old"), StudyError, "'old' is an lrsearch study; write `study: old`"),
        (entry(optuna="their", storage=url), StudyError, "did you mean 'theirs'"),
        (entry(storage=url, optuna="upward"), StudyError, "direction maximize, but this study's"),
        (
            entry(storage=url, map={"lrr": "adamw.lr"}),
            StudyError,
            r"map.lrr: Optuna study 'theirs' has no parameter 'lrr'; did you mean 'lr'\?",
        ),
        (entry(storage="sqlite:///nowhere.db"), StorageError, "there is no such file"),
        (entry(storage="mysql://a@b/c"), StorageError, "mysql is not supported"),
        (entry(storage="old.db"), StorageError, "is no database URL"),
        (entry(storage=f"sqlite:///{tmp_path}/text.db"), StorageError, "holds no Optuna studies"),
        (entry(storage=f"sqlite:///{tmp_path}/new.db"), StorageError, "holds no Optuna studies"),
        (entry(storage="postgresql://a:b@c/d"), SpecError, "must not hold a password"),
        (
            entry(storage=url, map={"lr": "adamw.lr", "wd": "params.width"}),
            TaskError,
            "unexpected keyword argument 'width'",
        ),
    ]
    for given, kind, line in cases:
        with pytest.raises(kind, match=line):
            make_study(database, space=SPACE, warm_start=[given])
    assert optuna.get_all_study_names(optuna_storage(database)) == ["old"]
    with database.read() as connection:
        assert studies.by_name(connection, "tiny") is None


def test_the_name_of_a_plain_study_is_not_taken(lone):
    plain_study(optuna_storage(lone), count=1, name="tiny")
    with pytest.raises(StudyError, match="'tiny' is the name of a plain Optuna study"):
        make_study(lone)
