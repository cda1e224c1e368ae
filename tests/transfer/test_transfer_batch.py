"""Another batch for the long runs: the rule, when it is refused, and the ladder that uses it."""

import json
import math
from dataclasses import dataclass, field, replace

import numpy as np
import pytest
from known_laws import Law
from tiny_studies import STEPS_PER_EPOCH, TASKS, make_study, tiny_spec, work

from lrsearch.errors import SpecError, TaskError
from lrsearch.report.figures import transfer as figures
from lrsearch.report.load import report_of
from lrsearch.report.text.transfer import plan_text, transfer_text
from lrsearch.report.transfer import plan_document, transfer_document, transfer_of
from lrsearch.run_study import Silent, climb
from lrsearch.spec.study_spec import StudySpec
from lrsearch.storage import curves, trials
from lrsearch.study.create_ladder import make_ladder
from lrsearch.transfer import batch
from lrsearch.transfer.asked import Asked, asked_study
from lrsearch.transfer.batch import Batch
from lrsearch.transfer.ended import NOISE_KIND, due_runs, measured_ladder
from lrsearch.transfer.plan import worst_cost
from lrsearch.transfer.runs import PlannedRun
from lrsearch.transfer.successor import ladder_of
from lrsearch.trial.states import TrialState
from lrsearch.worker.resources import Resources

SGD = {"optimizer": {"name": "sgd", "lr": 0.03}, "schedule": "cosine", "batch_size": 16}
#: Gradient noise scale of the simulated task, in samples.
SCALE = 200.0


@dataclass(frozen=True, kw_only=True)
class Row:
    """A trial, as far as a ladder reads it."""

    recipe: dict
    value: float | None
    kind: str
    metrics: dict = field(default_factory=dict)

    @property
    def state(self):
        return TrialState.DIVERGED if self.value is None else TrialState.COMPLETE


@dataclass(frozen=True)
class Reported:
    """A report, as far as the figure reads it."""

    transfer: object


def spec_of(recipe=SGD, spec=None, **asked):
    spec = tiny_spec() if spec is None else spec
    full = spec.recipe(recipe, batch_size=None)
    return asked_study(spec, full, Asked(**{"to": 64, "batch_size": 128, **asked}), STEPS_PER_EPOCH)


def climbed(law, spec, *, scale=SCALE):
    """A whole ladder trained as the law says; the long runs' best lr moves as the noise has it."""
    ladder, rows = ladder_of(spec), []
    factor = replace(ladder.batch, noise_scale=SCALE).factor
    while due := due_runs(spec, rows):
        for each in due:
            run = PlannedRun(
                horizon=each.recipe["epochs"],
                lr=each.recipe["optimizer"]["lr"],
                seed=each.recipe["seed"],
            )
            if each.kind == NOISE_KIND:
                metrics = {} if scale is None else {batch.SCALE: scale}
                loss = None if scale is None else 1.0
                rows.append(Row(recipe=each.recipe, value=loss, kind=each.kind, metrics=metrics))
                continue
            is_long = run.horizon == ladder.to
            assert each.recipe["batch_size"] == (128 if is_long else 16)
            own = replace(law, unit=factor) if is_long else law
            rows.append(Row(recipe=each.recipe, value=own.train(run).loss, kind=each.kind))
    return rows


@pytest.mark.parametrize("adaptive", [False, True])
def test_the_factor_lies_between_the_same_rate_and_that_of_the_batches(adaptive):
    noisy, quiet = (
        Batch(short=16, long=128, is_adaptive=adaptive, noise_scale=scale) for scale in (1e9, 1e-9)
    )
    assert quiet.factor == pytest.approx(1.0)
    assert noisy.factor == pytest.approx(8**0.5 if adaptive else 8.0, rel=1e-5)
    assert replace(noisy, noise_scale=None).factor == 1.0


def test_it_is_what_a_step_on_a_noisy_quadratic_wants():
    """The best lr of one SGD step, found by trying, at two batches; the noise scale is known."""
    rng, size = np.random.default_rng(0), 20
    gradient = rng.normal(size=size)
    spread = math.sqrt(SCALE * float(gradient @ gradient) / size)

    def best(samples):
        noise = spread / math.sqrt(samples) * rng.normal(size=(20_000, size))
        steps = gradient + noise  # at w = gradient, of the loss |w|^2 / 2
        lrs = np.geomspace(0.01, 1.0, 400)
        along, squared = (steps @ gradient).mean(), (steps**2).sum(1).mean()
        losses = gradient @ gradient - 2 * lrs * along + lrs**2 * squared
        return lrs[int(np.argmin(losses))]

    rule = Batch(short=16, long=128, is_adaptive=False, noise_scale=SCALE)
    assert best(128) / best(16) == pytest.approx(rule.factor, rel=0.05)


def test_the_scale_is_a_median_over_points_and_finite_where_noise_hides_the_gradient():
    @dataclass
    class Seen:
        metrics: dict

    def rows(*pairs):
        return [Seen({batch.NOISE: noise, batch.SIGNAL: signal}) for noise, signal in pairs]

    assert batch.noise_scale(rows((2.0, 1.0), (6.0, 2.0), (5.0, 1.0))) == {batch.SCALE: 3.0}
    assert batch.noise_scale([Seen({"mae": 1.0})]) == {}
    hidden = batch.noise_scale(rows((2.0, -1.0)))[batch.SCALE]
    assert hidden == pytest.approx(batch.LARGEST_SCALE)
    assert batch.noise_scale(rows((0.0, 0.0))) == {batch.SCALE: 0.0}
    for count in (1, 4, 8, 30, 1000):
        points = [n for n in range(1, count + 1) if batch.is_point(n, count)]
        assert len(points) == min(count, batch.POINTS)
        assert points[-1] == count


@pytest.mark.parametrize("slope", [0.0, -1 / 3, -1.0])
def test_the_long_runs_lie_where_the_noise_moves_the_law_to(slope):
    law, spec = Law(slope=slope, at_first=0.06), spec_of()
    rows = climbed(law, spec)
    found = transfer_of(spec, rows)
    factor = (1 + SCALE / 16) / (1 + SCALE / 128)
    best = law.best(64) * factor
    low, high = found.answer.interval
    assert low < best < high
    assert abs(math.log(found.answer.lr / best)) < 0.41
    assert found.answer.is_complete
    assert found.recipe.batch_size == 128
    assert [row.kind for row in rows].count(NOISE_KIND) == 1
    (measuring,) = (row for row in rows if row.kind == NOISE_KIND)
    assert measuring.recipe["epochs"] == 8
    assert found.cost.runs == len(rows)
    assert found.cost.total == sum(row.recipe["epochs"] for row in rows)
    assert found.cost.total <= worst_cost(found.ladder).total


def test_a_rule_that_misses_is_found_out_by_the_long_runs():
    """The measured scale is far from the true one: the long runs are extended to the best."""
    law, spec = Law(slope=-0.1, at_first=0.06), spec_of()
    found = transfer_of(spec, climbed(law, spec, scale=0.01)).answer
    best = law.best(64) * (1 + SCALE / 16) / (1 + SCALE / 128)
    assert found.interval[0] < best < found.interval[1]
    assert "disagree" in found.flags
    said = transfer_text(transfer_of(spec, climbed(law, spec, scale=0.01)))
    assert "or the rule for the batch misses here" in said


def test_it_says_what_was_measured_and_how_often_the_rule_misses():
    spec = spec_of()
    rows = climbed(Law(slope=-0.1), spec)
    text, document = (
        transfer_text(transfer_of(spec, rows)),
        transfer_document(transfer_of(spec, rows)),
    )
    (line,) = (line for line in text.splitlines() if line.startswith("batch 16 -> 128: "))
    assert "a gradient noise scale of 200 samples, measured in a run of 8 epochs" in line
    assert "gives lr x 5.27; the rule misses in about one case of ten" in line
    assert "batch 128 takes 8 times fewer steps in as many epochs, which costs loss" in text
    assert json.loads(json.dumps(document["batch"])) == {
        "short": 16,
        "long": 128,
        "noise_scale": SCALE,
        "factor": pytest.approx(5.268, rel=1e-3),
    }
    caption = figures.figure(Reported(transfer_of(spec, rows))).caption
    assert caption.endswith("of the short runs' batch, 16; the long runs have 128.")
    plan = plan_text(spec.name, ladder_of(spec), "epochs")
    assert "one more run of 8 epochs measures the gradient noise" in plan
    assert plan_document(spec)["cost"]["expected"]["runs"] == 27
    assert spec.name == "tiny-to-64-batch-128"


def test_before_the_long_runs_the_answer_is_a_guess_that_is_wider_by_a_step_each_way():
    law, spec, plain = Law(slope=-0.1), spec_of(), spec_of(batch_size=None)
    rows = [row for row in climbed(law, spec) if row.recipe["epochs"] < 64]
    midway = transfer_of(spec, rows).answer
    alone = transfer_of(plain, [row for row in rows if row.kind != NOISE_KIND]).answer
    assert midway.is_guess
    assert not midway.is_complete
    factor = measured_ladder(spec, rows).batch.factor
    low, high = alone.interval
    assert midway.interval == pytest.approx((low * factor / 2.25, high * factor * 2.25))


def test_a_rate_just_below_one_that_diverges_is_refused():
    law, spec = Law(slope=0.0, at_first=0.08, cliff=0.07), spec_of()
    rows = climbed(law, spec)
    assert {row.recipe["epochs"] for row in rows} == {1, 2, 4, 8}
    assert NOISE_KIND not in {row.kind for row in rows}
    found = transfer_of(spec, rows)
    assert found.answer.is_complete
    (line,) = found.refusal.splitlines()
    assert "is one step below one that diverges" in line
    assert "transfer without --batch-size" in line


def test_without_a_measurement_there_is_no_answer():
    spec = spec_of()
    rows = climbed(Law(slope=0.0), spec, scale=None)
    found = transfer_of(spec, rows)
    assert found.refusal == "the run that measures the gradient noise diverged or failed"
    assert found.answer.is_complete
    assert found.recipe is None


def own(program):
    fields = {
        "name": "mine",
        "epochs": 4,
        "budget": {"trials": 4},
        "space": {"optimizers": {"sgd": {}}, "schedules": ["constant"]},
        **program,
    }
    return StudySpec.from_dict(fields)


COMMAND = {
    "command": ["python", "train.py", "--lr={lr}", "--epochs={epochs}"],
    "report": {"val_loss": "loss (\\S+)"},
}


@pytest.mark.parametrize(
    ("recipe", "spec", "asked", "words"),
    [
        ({}, None, {"probes": 0}, "with probes = 0: only long runs can tell"),
        ({}, None, {"horizons": "1,2,4", "to": 8, "batch_size": 0}, "--batch-size 0: 1 to"),
        ({"batch_size": None}, None, {}, "its recipe has no batch_size"),
        ({"batch_size": 128}, None, {}, "is the batch of its recipe; leave batch_size out"),
        (
            {"optimizer": {"name": "adagrad", "lr": 0.1}},
            None,
            {},
            "no rule of lr and batch is known for adagrad",
        ),
        ({}, tiny_spec(transfer={"horizons": {"steps": [6, 12, 24]}}), {}, "horizons in steps"),
        ({}, own(COMMAND), {}, "it trains a command, whose gradients"),
        ({}, own({"train": "train.py:train"}), {}, "it trains a script of its own"),
    ],
)
def test_what_no_rule_is_known_for_is_refused_in_a_line(recipe, spec, asked, words):
    with pytest.raises(SpecError) as found:
        spec_of({**SGD, **recipe}, spec, **asked)
    assert words in str(found.value)
    assert len(str(found.value).splitlines()) == 1


@pytest.mark.both_databases
def test_a_worker_measures_the_noise_and_trains_the_long_runs_with_their_batch(database):
    spec = spec_of(to=8, batch_size=32)
    study = make_ladder(make_study(database), spec)
    work(study)
    with database.read() as connection:
        rows = trials.everything(connection, study.study_id)
        (measuring,) = (row for row in rows if row.kind == NOISE_KIND)
        curve = curves.of_trial(connection, measuring.id)
    scale = measuring.metrics[batch.SCALE]
    assert scale == batch.noise_scale(curve)[batch.SCALE]
    assert scale > 0
    assert sum(batch.NOISE in row.metrics for row in curve) >= 4
    assert {row.recipe["batch_size"] for row in rows if row.recipe["epochs"] == 8} == {32}
    assert {row.recipe["batch_size"] for row in rows if row.recipe["epochs"] < 8} == {16}
    report = report_of(study)
    assert report.state == "finished"
    assert report.transfer.ladder.batch.noise_scale == scale
    assert report.transfer.cost.total == sum(row.recipe["epochs"] for row in rows)


def test_a_batch_that_does_not_fit_in_an_epoch_is_refused_before_anything_is_trained(database):
    source = make_study(database)
    how = {"task_dir": TASKS, "progress": Silent()}
    with pytest.raises(TaskError, match="fewer than one batch of 4096"):
        climb(source, spec_of(to=8, batch_size=4096), Resources.parse(workers=1), **how)
