"""What a ladder says, in words, as a document and as a picture."""

import json
from dataclasses import dataclass, replace

import pytest
from known_laws import Law
from made_reports import made_report, trial
from tiny_studies import STEPS_PER_EPOCH, tiny_spec

from lrsearch.report.figures import transfer as figures
from lrsearch.report.page.charts import draw
from lrsearch.report.page.page import page_text
from lrsearch.report.text import page as tables
from lrsearch.report.text.result import answer
from lrsearch.report.text.subject import main_part, subject
from lrsearch.report.text.transfer import plan_text, transfer_sentence, transfer_text
from lrsearch.report.transfer import plan_document, transfer_document, transfer_of, write_recipe
from lrsearch.transfer.asked import Asked, asked_study
from lrsearch.transfer.ended import due_runs
from lrsearch.transfer.plan import next_runs
from lrsearch.transfer.runs import PlannedRun
from lrsearch.transfer.successor import ladder_of
from lrsearch.trial.states import TrialState

SGD = {"optimizer": {"name": "sgd", "lr": 0.03}, "schedule": "cosine"}


@dataclass(frozen=True, kw_only=True)
class Row:
    """A trial, as far as a ladder reads it."""

    recipe: dict
    value: float | None
    kind: str = "ladder"

    @property
    def state(self):
        return TrialState.DIVERGED if self.value is None else TrialState.COMPLETE


def spec_of(**asked):
    spec = tiny_spec()
    recipe = spec.recipe(SGD, batch_size=None)
    return asked_study(spec, recipe, Asked(to=64, **asked), STEPS_PER_EPOCH)


def climbed(law, **asked):
    """The trials of a whole ladder, trained as `law` says."""
    spec, rows = spec_of(**asked), []
    while due := due_runs(spec, rows):
        for recipe in (each.recipe for each in due):
            run = PlannedRun(
                horizon=recipe["epochs"], lr=recipe["optimizer"]["lr"], seed=recipe["seed"]
            )
            rows.append(Row(recipe=recipe, value=law.train(run).loss))
    return spec, rows


def told(law, **asked):
    return transfer_of(*climbed(law, **asked))


def test_with_probes_it_is_the_best_of_the_long_runs():
    found = told(Law(slope=-0.1))
    lines = transfer_text(found).splitlines()
    assert lines[0].startswith("lr for 64 epochs: 0.0")
    assert lines[0].endswith("the best of 4 runs of 64 epochs")
    assert "short runs of 1, 2, 4, 8 epochs" in lines[1]
    assert any(line.startswith("same lr as at 8 epochs: ") for line in lines)
    assert any("higher, if its curve is that of 64 epochs" in line for line in lines)
    cost = "cost: 63 epochs of short runs, 256 of runs of 64 epochs = 5 long runs; 26 runs"
    assert lines[-1] == cost
    assert "guess" not in transfer_text(found)


def test_without_probes_it_is_called_a_guess_and_is_wide():
    found, sure = told(Law(slope=-0.1), probes=0), told(Law(slope=-0.1))
    first = transfer_text(found).splitlines()[0]
    assert first.startswith("guess for 64 epochs: lr 0.0")
    assert first.endswith("no run of 64 epochs stands behind it")
    low, high = found.answer.interval
    near_low, near_high = sure.answer.interval
    assert high / low > 5 * near_high / near_low
    assert transfer_document(found)["lr"] == float(f"{found.answer.lr:.3g}")


def test_the_study_answers_with_the_rate_and_what_speaks_against_it():
    sure, bent = told(Law(slope=-0.1)), told(Law(slope=0.0, bend=16, after=-1.0))
    first = transfer_text(sure).splitlines()[0].capitalize()
    held = "The interval is made to hold the best lr in 90 % of cases; on tasks held out it did in "
    assert transfer_sentence(sure).startswith(f"{first}. {held}")
    assert "Disagree" not in transfer_sentence(sure)
    assert ". Disagree: a run of 64 epochs beats the predicted lr" in transfer_sentence(bent)


def test_a_finished_guess_says_how_to_test_it():
    spec, rows = climbed(Law(slope=-0.1), probes=0)
    trials = [
        trial(number, recipe=row.recipe, value=row.value, kind=row.kind)
        for number, row in enumerate(rows)
    ]
    said = answer(made_report(trials, spec=spec))
    assert said.heading == "A guess for the long run"
    assert said.lines[0].startswith("Guess for 64 epochs: lr 0.0")
    assert said.next.command == (
        f"lrsearch transfer {spec.ladder.of} --to 64 --probes 3 --name {spec.name}-probes"
    )


def test_the_page_of_a_ladder_says_what_it_is_and_that_nothing_is_missing():
    spec, rows = climbed(Law(slope=-0.1))
    trials = [
        trial(number, recipe=row.recipe, value=row.value, kind=row.kind)
        for number, row in enumerate(rows)
    ]
    report = made_report(trials, spec=spec, study={"trials_total": spec.budget.trials})
    assert subject(spec) == "learning rate for 64 epochs"
    assert tables.status(report).startswith("26 runs, of 46 at most, started: 26 complete.")
    assert tables.cost(report).rows[0][0] == "short and long runs"
    page = page_text(report)
    assert "The best 4 of 4 complete runs of 64 epochs." in page
    assert "search's one seed" not in page


def test_the_page_of_one_run_is_no_search():
    one = {"enqueue": [SGD], "budget": {"trials": 1}, "pruning": None, "confirm": None}
    spec = tiny_spec(**one)
    assert subject(spec) == "one training run"
    assert main_part(spec) == "the run"
    page = page_text(made_report([], spec=spec))
    assert "<title>tiny: one training run</title>" in page
    assert "learning-rate search" not in page
    assert subject(tiny_spec()) == "learning-rate search"


@pytest.mark.parametrize(
    ("law", "asked", "words"),
    [
        (Law(slope=-1.0), {"probes": 0}, "overfit: the best lr falls as one over the horizon"),
        (Law(slope=0.3, bend=4, after=-1.5, noise=0.001), {"probes": 0}, "kink: the best lr bends"),
        (Law(slope=0.0, bend=16, after=-1.0), {}, "disagree: a run of 64 epochs beats"),
    ],
)
def test_each_flag_is_one_line(law, asked, words):
    lines = transfer_text(told(law, **asked)).splitlines()
    assert len([line for line in lines if line.startswith(words)]) == 1


def test_objectives_that_ask_for_other_rates_are_said_to():
    """The same runs: by one loss the best rate falls with the horizon, by the other it stays."""
    spec, rows = climbed(Law(slope=-1.0, at_first=0.06))
    stays = Law(slope=0.0, at_first=0.06)

    def other(row):
        run = PlannedRun(
            horizon=row.recipe["epochs"], lr=row.recipe["optimizer"]["lr"], seed=row.recipe["seed"]
        )
        return replace(row, value=stays.train(run).loss)

    assert spec.objective.at == "best"
    found = transfer_of(spec, rows, [other(row) for row in rows])
    (line,) = [x for x in transfer_text(found).splitlines() if x.startswith("objective: ")]
    assert "by `best`, the lowest loss of a run, the runs ask for lr" in line
    assert line.endswith("if the other weights are those that you use, give --objective last")
    document = transfer_document(found)["objectives"]
    assert document["apart"]
    assert document["last"] > 2 * document["best"]
    same = transfer_of(spec, rows, rows)
    assert "objective: " not in transfer_text(same)
    assert not transfer_document(same)["objectives"]["apart"]
    assert transfer_document(transfer_of(spec, rows))["objectives"] is None


def test_a_loss_far_above_the_best_is_said_as_it_is():
    spec, rows = climbed(Law(slope=0.0, curvature=3.0))
    probes = next(x for x in transfer_text(transfer_of(spec, rows)).splitlines() if "best, " in x)
    rises = [float(word[1:]) for word in probes.split() if word.startswith("+")]
    assert max(rises) > 300


def test_a_shorter_run_is_named_where_it_is_as_good():
    spec, rows = climbed(Law(slope=-1.0), probes=0)
    falls = transfer_text(transfer_of(spec, rows))
    assert "yet the longest runs so far, of 8 epochs, have the least loss" in falls
    worse = [
        replace(row, value=row.value * (2.0 if row.recipe["epochs"] == 8 else 1.0)) for row in rows
    ]
    text = transfer_text(transfer_of(spec, worse))
    assert "a shorter run is as good: the least loss, " in text
    assert "is that of 4 epochs at lr " in text


def test_a_refusal_is_the_first_line():
    found = told(Law(slope=0.0, at_first=1e6))
    assert transfer_text(found).startswith("no lr for 64 epochs: ")
    document = transfer_document(found)
    assert document["lr"] is None
    assert "no minimum" in document["refusal"]
    assert found.recipe is None


def test_losses_below_zero_are_refused():
    spec, rows = climbed(Law(slope=0.0))
    below = [replace(row, value=row.value - 1.0) for row in rows[:9]]
    assert due_runs(spec, below) == []
    assert "has to be above 0" in transfer_of(spec, below).refusal


def test_runs_that_diverge_are_counted_in_words():
    text = transfer_text(told(Law(slope=0.0, at_first=0.08, cliff=0.07)))
    assert "diverged or failed, and count as a loss far above the best" in text


def test_the_document_has_the_keys_that_are_promised_and_is_json():
    document = transfer_document(told(Law(slope=-0.1)))
    assert {"lr", "interval", "guess", "rungs", "probes", "cost"} <= set(document)
    assert json.loads(json.dumps(document)) == document
    assert [rung["horizon"] for rung in document["rungs"]] == [1, 2, 4, 8]
    assert min(point["above"] for point in document["probes"]) == 0
    assert document["cost"]["total"] == document["cost"]["ladder"] + document["cost"]["probes"]


def test_the_plan_says_what_it_costs_at_most():
    spec = spec_of()
    text = plan_text(spec.name, ladder_of(spec), "epochs")
    assert "9 of 1, 5 of 2, 5 of 4, 3 of 8, 3 of 64" in text
    assert "at most: " in text
    cost = plan_document(spec)["cost"]
    assert cost["expected"]["total"] == 319
    assert cost["worst"]["runs"] == 25 + 4 * 5 + 1


def test_the_recipe_is_written_with_its_interval(tmp_path):
    found = told(Law(slope=-0.1))
    path = tmp_path / "long.yaml"
    write_recipe(found, path)
    text = path.read_text()
    assert text.startswith("# lr for 64 epochs: the best long run; 90 %: ")
    assert type(found.recipe).load(path) == found.recipe
    assert found.recipe.epochs == 64


@dataclass(frozen=True)
class Reported:
    """A report, as far as the figure reads it."""

    transfer: object


@pytest.mark.parametrize("asked", [{}, {"probes": 0}])
def test_the_picture_has_rungs_law_guides_and_answer(asked):
    found = told(Law(slope=-0.1), **asked)
    said = found.answer
    figure = figures.figure(Reported(found))
    assert "<svg" in draw(figure).svg
    assert figure.caption.endswith(".")
    bars = figures.bars_of(said)
    assert [bar.horizon for bar in bars] == [1, 2, 4, 8, 64]
    assert all(bar.low <= bar.lr <= bar.high for bar in bars)
    assert {place.line for place in figures.guides_of(said)} == set(said.guides)
    ends = [p.lr for p in figures.guides_of(said) if p.horizon == pytest.approx(64)]
    assert ends == pytest.approx(list(said.guides.values()))
    likeliest = max(figures.law_of(said)[-2:], key=lambda place: place.weight)
    assert likeliest.lr == pytest.approx(pow(2.718281828459045, said.predicted.likeliest.x))


def test_there_is_no_picture_before_a_rung_has_ended():
    spec = spec_of()
    assert figures.figure(Reported(transfer_of(spec, []))) is None
    assert figures.figure(Reported(None)) is None
    assert next_runs(ladder_of(spec), [])
