"""The answer of a study: one verdict for each case, its sentences, and what to do next."""

import html
import json
import re
import shlex
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from unittest.mock import create_autospec

import click
import pytest
from answer_cases import (
    ALIKE,
    CASES,
    LOWER,
    MINE,
    SIX,
    baseline,
    best,
    confirmed,
    first,
    rich_report,
)
from hypothesis import given, settings
from hypothesis import strategies as st
from made_reports import ACCURACY, BASELINE, made_report, runs_of, trial
from markupsafe import escape
from tiny_studies import make_study, tiny_task, work

import lrsearch
from lrsearch.api.study_fields import StudyFields
from lrsearch.cli import cli
from lrsearch.confirmation.lr_tolerance import LEAST_TRIALS
from lrsearch.confirmation.statistics import difference, verdict
from lrsearch.errors import StudyError
from lrsearch.report.answer.gain import gain_of
from lrsearch.report.answer.verdict import Verdict
from lrsearch.report.documents import reviewed_document, trial_documents
from lrsearch.report.load import report_of
from lrsearch.report.page import page as page_module
from lrsearch.report.page.page import write_report
from lrsearch.report.text.answer import answer_text, study_text
from lrsearch.report.text.format import amount, duration, learning_rate, mean, number, percent
from lrsearch.report.text.python_steps import PythonSteps
from lrsearch.report.text.result import answer
from lrsearch.spec.program import LIVE
from lrsearch.spec.study_spec import StudySpec
from lrsearch.study.confirmation import request
from lrsearch.study.prepare_database import open_database

cases = pytest.mark.parametrize("case", CASES)


@cases
def test_each_case_has_a_verdict_a_sentence_and_a_next_step(case):
    make, found, line, command = CASES[case]
    report = make()
    said = answer(report)
    assert (said.verdict, said.lines[0], said.next.command) == (found, line, command)
    assert said.lines[-1] == said.next.sentence
    assert said.lines[-1].endswith(f": {command}")


@cases
def test_each_next_step_is_a_command_that_lrsearch_takes(case):
    words = shlex.split(answer(CASES[case][0]()).next.command)
    assert words.pop(0) == "lrsearch"
    command = cli
    while isinstance(command, click.Group):
        command = command.get_command(click.Context(command), words.pop(0))
    context = click.Context(command)
    _, rest, _ = command.make_parser(context).parse_args(words)
    assert rest == []
    assert context.args == []


def in_python(report, name):
    """The same study, begun by `search` with a Task object."""
    return replace(
        report,
        spec=report.spec.model_copy(update={"task": LIVE, "name": name}),
        study=replace(report.study, name=name),
    )


@cases
@pytest.mark.parametrize("name", ["tiny", "search-0a1b2c3d"])
def test_each_next_step_in_python_is_a_call_that_lrsearch_takes(case, name):
    step = answer(in_python(CASES[case][0](), name)).next
    if step.language == "shell":  # changes or shows what is in the database
        assert re.match(r"lrsearch (status|study resume) ", step.command)
        return
    assert step.sentence.endswith(f", in Python: {step.command}")
    assert "FILE" not in step.command
    assert (name in step.command) == (name == "tiny")
    result = create_autospec(lrsearch.Result, instance=True, trials=[trial(0)])
    api = SimpleNamespace(
        search=create_autospec(lrsearch.search),
        open_study=create_autospec(lrsearch.open_study, return_value=result),
    )
    stand_for = {"task": None, "fields": {}, "space": {}, "budget": {}, "result": result}
    eval(step.command, {"lrsearch": api, **stand_for})
    if api.search.called:
        given = {key: v for key, v in api.search.call_args.kwargs.items() if key != "trials"}
        assert given.keys() <= StudyFields.__annotations__.keys()


def test_the_page_of_a_study_without_a_name_says_how_python_writes_its_files(monkeypatch, tmp_path):
    monkeypatch.setattr(page_module, "figures", lambda report: ())
    write_report(in_python(CASES["wins"][0](), "search-0a1b2c3d"), tmp_path)
    for file in ("report.html", "report.md"):
        text = html.unescape((tmp_path / file).read_text("utf-8"))
        assert 'result.export("yaml", "best.yaml")\nresult.export("torch", "best.py")' in text
        assert "lrsearch export" not in text


def test_the_next_steps_of_a_task_object_can_be_taken(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("LRSEARCH_STORAGE", f"sqlite:///{tmp_path}/study.db")
    fields = {"confirm": "none", "range_test": "none", "pruning": None, "portfolio": 0, "epochs": 1}
    fields["fuse"] = "off"
    space = {"optimizers": {"sgd": {}}}
    task = tiny_task().make({})
    first = lrsearch.search(task, name="mine", trials=8, space=space, **fields)
    steps = PythonSteps(first._report)
    names = {"lrsearch": lrsearch, "task": task, "fields": {**fields, "space": space}}

    def take(step, **more):
        return eval(step.command, {**names, **more})

    assert take(steps.confirm(2)).confirmed_runs == 2
    assert len(take(steps.more_budget()).trials) == 16
    take(steps.use())
    assert "torch.optim.SGD" in Path("best.py").read_text("utf-8")
    wider = {"optimizers": {"sgd": {"lr": {"low": 1e-6, "high": 1.0, "log": True}}}}
    assert take(steps.widen("search"), fields={**fields, "trials": 4}, space=wider).name == "mine-2"


def test_as_many_confirmation_runs_as_are_proposed_are_granted(tmp_path):
    database = open_database(f"sqlite:///{tmp_path}/study.db", create=True)
    search = make_study(database, confirm="none", range_test="none", pruning=None)
    work(search)
    command = answer(report_of(search)).next.command
    runs = int(command.removeprefix("lrsearch confirm tiny --runs "))
    with pytest.raises(StudyError, match=f"allows at most {runs} runs"):
        request(search, top=None, runs=runs + 1)
    request(search, top=None, runs=runs)
    assert report_of(search).spec.confirm.runs == runs
    database.close()


def test_every_verdict_has_a_case():
    assert {found for _, found, _, _ in CASES.values()} == set(Verdict)


def test_every_verdict_and_field_is_in_the_reference():
    text = (Path(__file__).parents[2] / "docs/reference/answer.md").read_text("utf-8")
    named = set(re.findall(r"`(\w+)`", text))
    document = reviewed_document(rich_report())["answer"]
    assert {*Verdict, *document, *document["gain"], *document["safe_lr"]} <= named
    assert {*document["run_cost"], *document["cost"], *document["next"]} <= named


@cases
def test_terminal_and_json_have_the_same_sentences(case, tmp_path):
    report = CASES[case][0]()
    sentences = reviewed_document(report)["answer"]["sentences"]
    for text in (study_text(report), answer_text(report, folder=tmp_path, wall_seconds=1.0)):
        assert "\n".join(sentences) in text
    assert all("\n" not in line for line in sentences)
    assert not re.search(r"\bnan\b|None|\{|\}| {2}", "\n".join(sentences))


def leaves(value):
    """Every number of a document."""
    if isinstance(value, bool) or value is None:
        return []
    if isinstance(value, int | float):
        return [value]
    if isinstance(value, str):
        return []
    items = value.values() if isinstance(value, dict) else value
    return [leaf for item in items for leaf in leaves(item)]


NUMBER = re.compile(r"(?<![\w.])-?\d+(?:\.\d+)?(?:e[+-]\d+)?")


def numbers(text):
    return set(NUMBER.findall(text))


def written(document):
    """How the numbers of a document are written in sentences; their lists as counts."""
    found = {"95", "0", "1"}  # of `95 % interval`; a part without a value
    for value in leaves(document):
        texts = [number(value), number(value, 3), number(value, 6), number(100 * value), str(value)]
        texts.append(f"{100 * value:.0f}")
        texts += [number(-value, 3), amount(value), duration(value), percent(value)]
        found |= numbers(" ".join(texts))
    for entry in document["confirmed"]:
        found |= numbers(mean(entry["mean"], entry["ci95"] and tuple(entry["ci95"])))
        optimism = entry["optimism"]
        if optimism and optimism["percent"] is not None:
            found.add(f"{abs(optimism['percent']):.0f}")
    for warning in document["advice"]["warnings"]:
        found |= numbers(f"{number(warning['edge'], 2)} {warning.get('line')}")
    return found | set(map(str, range(1 + sum(document["counts"].values()))))  # counts of trials


@pytest.mark.parametrize("make", [*(case[0] for case in CASES.values()), rich_report])
def test_every_number_of_the_answer_is_one_of_the_document(make):
    report = make()
    document = reviewed_document(report)
    spoken = document["answer"]["sentences"] + document["answer"]["details"]
    unknown = numbers("\n".join(spoken)) - written(document)
    # What names a command's budget, a trial's reason, or the trials that it takes, is none of it.
    others = f"{document['answer']['next']['command']} step 4 {LEAST_TRIALS}"
    assert unknown <= numbers(others), unknown


@pytest.fixture(scope="module")
def rich(tmp_path_factory):
    """The report with all sentences, written: it, its page and its markdown."""
    report = rich_report()
    page = write_report(report, tmp_path_factory.mktemp("rich"))
    return report, page.read_text("utf-8"), (page.parent / "report.md").read_text("utf-8")


def test_page_and_markdown_have_the_sentences_of_the_terminal(rich):
    report, page, markdown = rich
    found = answer(report)
    assert f"<h2>{found.heading}</h2>" in page
    places = [page.index(str(escape(line))) for line in (found.recipe, *found.lines)]
    assert places == sorted(places)
    assert all(line in markdown for line in (found.heading, found.recipe, *found.lines))
    assert all(line in markdown and str(escape(line)) in page for line in found.details)


def test_every_number_of_the_pages_answer_is_one_of_the_document(rich):
    report, page, markdown = rich
    known = written(reviewed_document(report)) | numbers(answer(report).next.command)
    (section,) = re.findall(r'<section class="answer" id="answer">(.*?)</section>', page, re.S)
    assert numbers(re.sub(r"<[^>]*>", " ", section).replace("&#39;", "'")) <= known
    section = markdown.split("\n## ")[1]
    assert numbers(section) <= known


def test_the_numbers_of_a_gain_are_those_of_the_document_rounded(rich):
    report, _, markdown = rich
    document = reviewed_document(report)["answer"]
    gain = document["gain"]
    pattern = (
        r"(\S+) better val_loss than your baseline \(95 % interval (\S+) to (\S+)\), confirmed on "
        r"(\d+) fresh seeds\."
    )
    value, low, high, seeds = re.search(pattern, markdown).groups()
    assert (value, low, high) == tuple(number(v, 3) for v in (gain["value"], *gain["ci95"]))
    assert (int(seeds), gain["against"], gain["trial"]) == (gain["n"], "baseline", 0)
    assert (document["verdict"], gain["of"], document["trial"]) == ("better", 10, 10)
    epochs, seconds = re.search(r"is (\S+) epochs and takes (\S+) s\.", markdown).groups()
    cost = document["run_cost"]
    assert (epochs, f"{seconds} s") == (amount(cost["epochs"]), duration(cost["seconds"]))
    low, high = re.search(r"rates of sgd: (\S+) to (\S+) within 1 % of", markdown).groups()
    near = document["safe_lr"]["percent_1"]
    assert (low, high) == (learning_rate(near["low"]), learning_rate(near["high"]))
    assert "Training with sgd diverges from 3 on: 3 trials did." in markdown
    assert document["tied"] == []


# The gain, by its parts


@pytest.mark.parametrize("objective", ["val_loss", ACCURACY])
def test_a_gain_is_the_mean_difference_on_shared_seeds(objective):
    mine, theirs = [0.5, 0.7, None, 0.6], [0.45, None, 0.4, 0.5]
    gain = gain_of(confirmed(mine, theirs, objective=objective))
    sign = 1 if objective is ACCURACY else -1
    assert (gain.n, gain.seeds) == (2, "fresh")
    assert gain.value == pytest.approx(sign * (0.05 + 0.1) / 2)
    paired = difference({3: 0.5, 6: 0.6}, {3: 0.45, 6: 0.5})
    low, high = sorted(sign * end for end in paired.ci95)
    assert gain.ci95 == pytest.approx((low, high))


def test_seeds_that_move_both_recipes_alike_leave_the_gain_exact():
    """Unpaired, the interval of these would be 30 times as wide as the gain."""
    mine = [1.0, 9.0, 5.0, 2.0, 7.0, 3.0]
    gain = gain_of(confirmed(mine, [value + 0.1 + 0.001 * i for i, value in enumerate(mine)]))
    assert gain.value == pytest.approx(0.1025)
    assert gain.ci95[1] - gain.ci95[0] < 0.01


def test_a_gain_within_the_tolerance_is_none():
    report = confirmed(LOWER, SIX, tolerance=0.3)
    assert answer(report).verdict == Verdict.NO_BETTER
    assert verdict(gain_of(report).losses, 0.3) == "tied"


def test_equal_values_are_neither_better_nor_worse():
    report = made_report([best(0.5), first(2, 0.5)], confirm=None)
    assert (
        answer(report).lines[0].startswith("Neither better nor worse val_loss than trial 2, the po")
    )


def test_a_pruned_recipe_that_was_confirmed_has_no_gain_on_the_search_seed():
    trials = [best(0.6, state="pruned"), first()]
    said = answer(made_report(trials, runs_of(1, SIX)))
    assert (said.verdict, said.gain) == (Verdict.ONE_SEED, None)
    assert said.lines[0] == "It has no seed in common with what it would be compared with."


VALUES = st.floats(1e-6, 1e6) | st.floats(-1e6, -1e-6) | st.just(0.0)
STATES = st.sampled_from(["complete", "pruned", "diverged", "failed", "running"])


@st.composite
def any_report(draw):
    """Any study: trials in any state, runs that confirm some of those that have a value."""
    trials = []
    for i in range(draw(st.integers(0, 6))):
        state = draw(STATES)
        value = draw(VALUES) if state in ("complete", "pruned") else None
        kind = draw(st.sampled_from(["sampled", "portfolio", "textbook"])) if i else "baseline"
        lr, reason = 10.0 ** -draw(st.integers(1, 5)), "lost" if state == "failed" else None
        trials.append(trial(i, value, state, kind=kind, lr=lr, reason=reason))
    valued = [each.number for each in trials if each.value is not None]
    runs = []
    if valued and draw(st.booleans()):
        seeds = draw(st.integers(1, 7))
        for role, number in zip(("winner", "rival"), draw(st.permutations(valued)), strict=False):
            runs += runs_of(number, draw(st.lists(st.none() | VALUES, min_size=seeds)), role)
    objective = draw(st.sampled_from(["val_loss", ACCURACY]))
    finished, own = draw(st.booleans()), draw(st.sampled_from([BASELINE, None]))
    return made_report(trials, runs, finished=finished, objective=objective, baseline=own)


@settings(max_examples=80, deadline=None)
@given(any_report())
def test_any_study_has_an_answer_of_its_own_numbers(report):
    document = reviewed_document(report)
    json.dumps(document, allow_nan=False)
    sentences = document["answer"]["sentences"]
    assert document["answer"]["verdict"] in set(Verdict)
    assert all(line and line[0] != " " and "\n" not in line for line in sentences)
    own_words = [line for line in sentences if "space.optimizers" not in line]
    assert not re.search(r"\bnan\b|\binf\b|None|\{|\}| {2}|\.\.|-0 ", "\n".join(own_words))
    own = {**document, "trials": trial_documents(report)}  # where all diverged, the lowest lr
    known = written(own) | numbers(f"{sentences[-1]} {LEAST_TRIALS}")
    assert numbers("\n".join(sentences)) <= known


@settings(max_examples=30, deadline=None)
@given(st.lists(st.tuples(VALUES, VALUES), min_size=1, max_size=7))
def test_a_gain_does_not_depend_on_the_direction_of_the_objective(values):
    mine, theirs = ([pair[i] for pair in values] for i in (0, 1))
    lower = gain_of(confirmed(mine, theirs))
    higher = gain_of(confirmed([-v for v in mine], [-v for v in theirs], objective=ACCURACY))
    assert lower == higher


# Scripts of the user's own


def of_script(*words, **changes):
    """The report of a command with these arguments, whose best trial has lr 0.25."""
    fields = {
        "name": "mine",
        "command": ["python", "train.py", *words],
        "report": {"val_loss": r"loss (\S+)"},
        "budget": {"trials": 12},
        **changes,
    }
    spec = StudySpec.from_dict(fields)
    recipe = {"optimizer": {"name": "script", "lr": 0.25}, "schedule": {"name": "script"}}
    found = trial(1, 0.2, recipe=recipe, epochs=1.0)
    return made_report([found], runs_of(1, SIX) if spec.confirm else (), spec=spec)


@pytest.mark.parametrize(
    ("words", "verdict", "command"),
    [
        (["{lr}", "{seed}"], "no_reference", "python train.py 0.25 0"),
        (["{recipe}"], "no_reference", "lrsearch export mine --format command"),
        (["{lr}"], "unconfirmed", "python train.py 0.25"),  # no fresh seed would reach it
    ],
)
def test_the_recipe_of_a_command_is_used_by_running_it(words, verdict, command):
    report = of_script(*words, **({"confirm": "auto"} if words == ["{recipe}"] else {}))
    said = answer(report)
    assert (said.verdict, said.next.command) == (verdict, command)
    assert "One training with this recipe takes 1 s." in said.lines  # of unknown length
    assert any(line.startswith("Cost in runs: search 1") for line in said.lines)
    assert "the script's own optimizer" in said.recipe


def test_a_failed_script_is_looked_at_by_its_output():
    report = of_script("{lr}", "{seed}")
    failed = trial(0, None, "failed", reason="exit code 1")
    said = answer(replace(report, trials=(failed,), runs=()))
    assert (said.verdict, said.next.command) == ("all_failed", "lrsearch trial log mine 0")


# What stands behind the answer


def test_details_say_how_the_recipe_was_chosen(rich):
    report, _, _ = rich
    shown = study_text(report, verbose=True)
    for line in (
        "In the search, on one seed, trial 10 had 0.2, the search's best, ",
        "Recommended: better than trial 9, the runner-up, on fresh seeds.",
        "Your baseline is adamw lr 0.001 · constant: val_loss 0.300 ± 0.015 on 6 fresh seeds.",
    ):
        assert line in shown
        assert line not in study_text(report)


def test_tied_trials_are_named_once():
    trials = [baseline(), best(), trial(2, 0.25)]
    runs = runs_of(1, LOWER) + runs_of(2, [LOWER[1], *LOWER[:1], *LOWER[2:]], "rival")
    report = made_report(trials, runs + runs_of(0, SIX, "baseline"), **MINE)
    said = answer(report)
    assert said.tied == (2,)
    tie = "Tied with trial 2: on the seeds that trained both they differ by no more than noise."
    assert tie in said.lines
    tied = answer(confirmed(SIX, ALIKE))
    assert tied.tied == (0,)
    assert not any(line.startswith("Tied") for line in tied.lines)  # the gain says it


def test_a_range_edge_is_warned_of_and_asks_for_a_wider_space():
    space = {"optimizers": {"sgd": {"lr": {"low": 1e-3, "high": 0.11, "log": True}}}}
    report = made_report([best()], runs_of(1, SIX), space=space)
    said = answer(report)
    (line,) = (line for line in said.lines if line.startswith("Warning: "))
    assert "lies at the upper end of the range that was searched, 0.11" in line
    assert said.next.command == "lrsearch study extend tiny FILE"


def test_one_run_with_a_fresh_seed_has_no_interval():
    said = answer(made_report([best()], [*runs_of(1, [0.3, None])]))
    assert said.lines[1] == (
        "val_loss 0.3, mae 0.2: one run with a fresh seed, so without an interval. 1 more run gave "
        "no value."
    )


def test_other_metrics_stand_beside_the_objective():
    metrics = {"val_loss": 9.0, "accuracy": 0.5, "odd": None}
    said = answer(made_report([best(metrics=metrics)], confirm=None))
    assert said.lines[1] == "val_loss 0.2, accuracy 0.5 in trial 1, on the search's one seed."


def test_many_trials_tell_the_learning_rates_that_lose_little():
    told = [trial(i, 0.2 * (1 + (i / 30 - 1) ** 2), lr=0.03 * 10 ** (i / 30)) for i in range(60)]
    said = answer(made_report(told, confirm=None))
    small, large = said.safe_lr.percent_1, said.safe_lr.percent_5
    (low_1, high_1), (low_5, high_5) = ((rates.low, rates.high) for rates in (small, large))
    assert 0.03 <= low_5 < low_1 < 0.3 < high_1 < high_5 < 3.0
    shown = [learning_rate(lr) for lr in (low_1, high_1, low_5, high_5)]
    factor = said.safe_lr.factor
    low, high = number(factor.low, 2), number(factor.high, 2)
    factor = f"{number(factor.value, 2)} (95 % interval {low} to {high})"
    assert (
        f"Safe learning rates of sgd: {shown[0]} to {shown[1]} within 1 % of the best, {shown[2]} "
        f"to {shown[3]} within 5 %. The range within 5 % spans a factor of {factor}. No trial of "
        f"it diverged." in said.lines
    )
    assert said.safe_lr.factor.value == pytest.approx(high_5 / low_5)


@pytest.mark.parametrize(("lr", "side"), [(0.05, "below"), (1.8, "above")])
def test_a_recipe_beside_the_safe_learning_rates_is_said_to_be(lr, side):
    """A lucky schedule at an odd rate: the basin of all trials lies elsewhere."""
    told = [trial(i, 0.2 * (1 + (i / 30 - 1) ** 2), lr=0.03 * 10 ** (i / 30)) for i in range(60)]
    said = answer(made_report([*told, trial(60, 0.19, lr=lr)], confirm=None))
    assert said.trial == 60
    [line] = [line for line in said.lines if "Safe learning rates" in line]
    assert f"The recipe's own, {learning_rate(lr)}, lies {side} it: this recipe did better" in line
    assert "lies" not in " ".join(answer(made_report(told, confirm=None)).lines)


def falling(turn=1):
    """Sixty trials whose value falls to one end of the learning rates that they have."""
    lrs = [0.03 * 10 ** (turn * i / 30) for i in range(60)]
    return made_report([trial(i, 0.9 - 0.01 * i, lr=lr) for i, lr in enumerate(lrs)], confirm=None)


def test_an_end_of_the_safe_rates_that_no_trial_lies_beyond_is_said_to_be_open():
    for turn, words in (
        (1, "and above within 5 % (no upper"),
        (-1, "and below within 5 % (no low"),
    ):
        said = answer(falling(turn))
        (line,) = (line for line in said.lines if line.startswith("Safe learning rates"))
        assert words in line
        assert "spans a factor" not in line
        assert said.safe_lr.factor is None
        assert (said.safe_lr.percent_5.open_high, said.safe_lr.percent_5.open_low) == (
            turn > 0,
            turn < 0,
        )


def test_where_training_diverges_the_safe_rates_are_not_open():
    report = falling()
    beyond = tuple(trial(60 + i, None, "diverged", lr=3.0 + i) for i in range(3))
    said = answer(replace(report, trials=report.trials + beyond))
    assert not said.safe_lr.percent_5.open_high
    (line,) = (line for line in said.lines if line.startswith("Safe learning rates"))
    assert "no upper end" not in line
    assert line.endswith("Training with sgd diverges from 3 on: 3 trials did.")


def test_safe_rates_by_the_noise_of_seeds_say_which_end_no_trial_lies_beyond():
    trials = [trial(i, 0.2 if i > 4 else 0.9, lr=10 ** (-4 + i / 4)) for i in range(1, 13)]
    said = answer(made_report(trials, runs_of(8, SIX)))
    assert (said.safe_lr.noise.open_low, said.safe_lr.noise.open_high) == (False, True)
    (line,) = (line for line in said.lines if line.startswith("Safe learning rates"))
    low, high = learning_rate(said.safe_lr.noise.low), learning_rate(said.safe_lr.noise.high)
    assert f"{low} and above do as well (no upper end was seen up to {high}), as far as" in line


def test_few_trials_do_not_tell_which_learning_rates_are_safe():
    said = answer(made_report([best(), trial(2, 0.3)], confirm=None))
    assert said.safe_lr is None
    unknown = "Which learning rates are safe is not known: that takes 8 trials of sgd"
    assert f"{unknown}, and there are 2." in said.lines
