"""What someone sees who opens a database of lrsearch with plain Optuna, or with its dashboard."""

import json
from wsgiref.util import setup_testing_defaults

import optuna
import pytest
from optuna.distributions import FloatDistribution
from optuna.trial import TrialState as OptunaState
from optuna_dashboard import wsgi
from tiny_studies import ask, curve_row, ended, make_study, opened, passes_rung

from lrsearch.study.prepare_database import prepare
from lrsearch.trial.states import TrialState

#: How the trials end in turn, and what Optuna calls it.
ENDS = [
    (TrialState.COMPLETE, OptunaState.COMPLETE),
    (TrialState.PRUNED, OptunaState.PRUNED),
    (TrialState.DIVERGED, OptunaState.PRUNED),
    (TrialState.FAILED, OptunaState.FAIL),
]
TRIALS = 12

pytestmark = pytest.mark.usefixtures("either_way")


@pytest.fixture
def url(tmp_path):
    return f"sqlite:///{tmp_path}/study.db"


@pytest.fixture
def recipes(url):
    """Recipes of the trials of a study in the database, by number."""
    with opened(url) as database:
        prepare(database)
        changes = {"budget": {"trials": TRIALS}, "space": "default", "portfolio": 2}
        search = make_study(database, **changes)
        found = []
        for index in range(TRIALS):
            assignment = ask(search)
            loss = 1 / (1 + index)
            passes_rung(search, assignment, rung=0, signal=loss, value=loss, validation=1)
            end = ended(ENDS[index % len(ENDS)][0], reason="as it came")
            assert search.tell(assignment, end, [curve_row(1, val_loss=loss)])
            found.append(assignment.recipe.to_dict())
        yield found


def fields(recipe):
    """The numbers of a recipe's optimizer and schedule as Optuna's parameters name them."""
    found = {}
    for part in (recipe["optimizer"], recipe["schedule"]):
        values = dict(part)
        name = values.pop("name")
        if "betas" in values:
            values["beta1"], values["beta2"] = values.pop("betas")
        found |= {f"{name}.{key}": value for key, value in values.items()}
    return found


def test_optuna_reads_parameters_as_torch_takes_them(url, recipes):
    study = optuna.load_study(study_name="tiny", storage=url)
    seen = set()
    for trial, recipe in zip(study.trials, recipes, strict=True):
        assert trial.params["optimizer"] == recipe["optimizer"]["name"]
        trained = fields(recipe)
        for name, value in trial.params.items():
            is_range = isinstance(trial.distributions[name], FloatDistribution)
            if "." in name and is_range:
                assert (name, trained[name]) == (name, value)
                assert trial.distributions[name]._contains(value)
                seen.add(name.rpartition(".")[2])
    assert {"lr", "momentum", "beta1"} <= seen
    assert not any("1-" in name for trial in study.trials for name in trial.params)


def test_optuna_reads_the_recipe_and_how_each_trial_ended(url, recipes):
    study = optuna.load_study(study_name="tiny", storage=url)
    assert [trial.user_attrs["recipe"] for trial in study.trials] == recipes
    assert [trial.state for trial in study.trials] == [state for _, state in ENDS] * 3
    for number, trial in enumerate(study.trials):
        is_diverged = ENDS[number % len(ENDS)][0] == TrialState.DIVERGED
        assert (max(trial.constraints.values()) > 0) == is_diverged
    best = min((1 / (1 + index), index) for index in range(0, TRIALS, len(ENDS)))
    assert (study.best_value, study.best_trial.number) == best


def test_a_data_frame_of_the_trials_has_a_column_for_each_parameter(url, recipes):
    study = optuna.load_study(study_name="tiny", storage=url)
    frame = study.trials_dataframe()
    assert list(frame["params_optimizer"]) == [recipe["optimizer"]["name"] for recipe in recipes]
    assert list(frame["user_attrs_recipe"]) == recipes
    for number, recipe in enumerate(recipes):
        name = recipe["optimizer"]["name"]
        assert frame[f"params_{name}.lr"][number] == recipe["optimizer"]["lr"]


def fetched(url, path):
    """What the dashboard answers, as its page asks it."""
    environ, status = {"PATH_INFO": path}, []
    setup_testing_defaults(environ)
    body = wsgi(url)(environ, lambda line, headers, trouble=None: status.append(line))
    text = b"".join(body)
    assert status == ["200 OK"], text
    return json.loads(text)


def test_the_dashboard_shows_recipes_and_what_is_infeasible(url, recipes):
    (summary,) = fetched(url, "/api/studies")["study_summaries"]
    assert summary["study_name"] == "tiny"
    found = fetched(url, f"/api/studies/{summary['study_id']}")
    assert len(found["trials"]) == TRIALS
    for number, (trial, recipe) in enumerate(zip(found["trials"], recipes, strict=True)):
        state = ENDS[number % len(ENDS)][0]
        assert any(value > 0 for value in trial["constraints"]) == (state == TrialState.DIVERGED)
        values = {param["name"]: param["param_external_value"] for param in trial["params"]}
        name = recipe["optimizer"]["name"]
        assert values["optimizer"] == name
        assert values[f"{name}.lr"] == str(recipe["optimizer"]["lr"])
        attributes = {each["key"]: each["value"] for each in trial["user_attrs"]}
        assert json.loads(attributes["recipe"]) == recipe
