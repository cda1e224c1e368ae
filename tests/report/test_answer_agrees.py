"""The answer of one study is the same in text, page, markdown and JSON: each fact of the document,
written as sentences write it, stands in all of them, and the verdict's sentence alone."""

import html
import re

import pytest
from answer_cases import CASES, MINE, SIX, confirmed, rich_report
from made_reports import ACCURACY, made_report, runs_of, trial

from lrsearch.report.answer.verdict import Verdict
from lrsearch.report.documents import reviewed_document
from lrsearch.report.page import page as page_module
from lrsearch.report.text.answer import study_text
from lrsearch.report.text.format import amount, duration, learning_rate, mean, number

FORMS = ("text", "page", "markdown", "json")


def tied_report():
    """A recipe that is tied with another one, and not with the baseline."""
    better = [value - 0.2 for value in SIX]
    near = [better[1], better[0], *better[2:]]
    runs = runs_of(1, better) + runs_of(2, near, "rival") + runs_of(0, SIX, "baseline")
    baseline = trial(0, 0.8, kind="baseline", name="adamw", lr=1e-3)
    return made_report([baseline, trial(1, 0.2), trial(2, 0.25)], runs, **MINE)


def wide_report():
    """Sixty trials of one optimizer, from which a basin is fitted."""
    told = [trial(i, 0.2 * (1 + (i / 30 - 1) ** 2), lr=0.03 * 10 ** (i / 30)) for i in range(60)]
    return made_report(told, runs_of(30, SIX))


def ranked_report():
    """Two optimizers that are told apart, one with two schedules that are not, and a rare one."""
    losses = [0.2 + 0.01 * ((7 * i) % 11) for i in range(24)]
    names = ["sgd" if i < 12 else "adamw" for i in range(24)]
    told = [
        trial(i, loss + (i < 12), name=name, schedule=("constant", "cosine")[i % 2])
        for i, (loss, name) in enumerate(zip(losses, names, strict=True))
    ]
    return made_report([*told, trial(24, 0.3, name="rmsprop")])


REPORTS = {
    **{name: case[0] for name, case in CASES.items()},
    "rich": rich_report,
    "tied with another": tied_report,
    "many trials": wide_report,
    "several optimizers": ranked_report,
    "better upwards": lambda: confirmed(SIX, [v - 0.2 for v in SIX], objective=ACCURACY),
}

#: What the first sentence of each verdict says, and that of no other.
FIRST = {
    Verdict.BETTER: r"better .* than .*, confirmed on \d+ fresh seeds\.$",
    Verdict.NO_BETTER: r"^(No better than|Not shown to be better than) ",
    Verdict.WORSE: r"more runs? of .* gave no value, so trial \d+ is recommended\.$",
    Verdict.KEEP_BASELINE: r"(: keep yours\.$|^No recipe of the search is shown .* keep yours\.)",
    Verdict.PORTFOLIO: r"^The portfolio's first recipe is ",
    Verdict.ONE_SEED: r"(One seed cannot tell|^One fresh seed confirmed it|^It has no seed)",
    Verdict.BASELINE_WITHOUT_VALUE: r"^Your baseline (diverged|has no value|gave no value)",
    Verdict.NO_REFERENCE: r"compare it with\.$",
    Verdict.UNCONFIRMED: r" Not confirmed: ",
    Verdict.RUNNING: r" The study is (not over|paused), and ",
    Verdict.NOT_STARTED: r"^No trial has started yet\.$",
    Verdict.NONE_ENDED: r"^No trial has ended yet; ",
    Verdict.NONE_COMPLETE: r"^No trial was trained to its end: ",
    Verdict.ALL_DIVERGED: r"diverged(\.|: the learning rates|, also)",
    Verdict.NOT_FINITE: r"diverged:.* the loss was not finite on the first batch",
    Verdict.ALL_FAILED: r" failed(,| with:)",
}


def told(report, folder, monkeypatch):
    """The answer's part of each form as plain text."""
    monkeypatch.setattr(page_module, "figures", lambda report: ())  # they are no part of it
    page = page_module.write_report(report, folder)
    (section,) = re.findall(
        r'<section class="answer" id="answer">(.*?)</section>', page.read_text("utf-8"), re.S
    )
    document = reviewed_document(report)["answer"]
    return {
        "text": study_text(report, verbose=True),
        "page": html.unescape(re.sub(r"<[^>]*>", "\n", section)),
        "markdown": (folder / "report.md").read_text("utf-8").split("\n## ")[1],
        "json": "\n".join([*document["sentences"], *document["details"]]),
    }


def gain_facts(gain, verdict):
    size = number(abs(gain["value"]), 3)
    seeds = "the search's one seed"
    if gain["seeds"] == "fresh":
        seeds = f"{gain['n']} fresh seed{'' if gain['n'] == 1 else 's'}"
    way = "better" if gain["value"] > 0 else "worse"
    if verdict in (Verdict.KEEP_BASELINE, Verdict.PORTFOLIO, Verdict.WORSE) and gain["ci95"]:
        yield f" is {size} better in "
        yield f"trial {gain['of']}, the best that the search found"
        yield f", on {seeds})"
        low, high = sorted(-end for end in gain["ci95"])
    elif verdict in (Verdict.NO_BETTER, Verdict.KEEP_BASELINE):
        yield f"On {seeds} trial {gain['of']} is {size} {way} in "
        if gain["ci95"]:
            ends = [f"{number(abs(e), 3)} {'better' if e > 0 else 'worse'}" for e in gain["ci95"]]
            yield f"the 95 % interval goes from {ends[0]} to {ends[1]}"
        return
    else:
        yield f"{size} {way} "
        who = "your baseline" if gain["against"] == "baseline" else f"trial {gain['trial']}, the "
        yield f"than {who}"
        yield f" on {seeds}."
        low, high = gain["ci95"] or (None, None)
    if low is not None and verdict != Verdict.ONE_SEED:
        yield f"95 % interval {number(low, 3)} to {number(high, 3)}"


def span_facts(span, does):
    low, high = learning_rate(span["low"]), learning_rate(span["high"])
    if span["open_high"] or span["open_low"]:
        yield from (low, high)
    else:
        yield f"{low} to {high} {does}"


def ranking_facts(ranking, metric):
    first, *others = ranking["options"]
    yield f"The best of {ranking['k']} trials is expected to reach {metric} "
    for option in (first, others[0], others[-1]):
        low, high = number(option["low"], 3), number(option["high"], 3)
        yield f"(95 % interval {low} to {high}, {option['trials']} trials)"
        yield number(option["expected"], 3)
    worse = [option["name"] for option in others if option["is_worse"]]
    if worse:
        yield f"{first['name']} is better than {worse[0]}"
    else:
        yield f"{first['name']} leads by no more than chance explains"
    yield from ranking["left_out"]


def facts(document, metric):
    """What the document's answer holds, as the sentences write it."""
    said = document["answer"]
    if said["recipe"] is not None:
        yield f"lr {said['recipe']['optimizer']['lr']:.3g}"
    if said["gain"] is not None:
        kept = said["verdict"] in (Verdict.KEEP_BASELINE, Verdict.PORTFOLIO)
        if kept or said["gain"]["of"] == said["trial"]:
            yield from gain_facts(said["gain"], said["verdict"])
    confirmed_ones = document["confirmed"]
    if confirmed_ones:
        winner = confirmed_ones[0]
        assert winner["trial"] == said["trial"]
        yield f"{metric} {mean(winner['mean'], winner['ci95'] and tuple(winner['ci95']))}"
        runs = winner["n"]
        yield "one run with a fresh seed" if runs == 1 else f"of {runs} runs with fresh seeds"
    elif said["recipe"] is not None:
        yield f"{metric} {number(document['best']['value'])}"
        yield f"in trial {said['trial']}, on the search's one seed"
    if said["run_cost"] is not None:
        yield f"takes {duration(said['run_cost']['seconds'])}"
        if said["run_cost"]["epochs"] is not None:
            yield f"is {amount(said['run_cost']['epochs'])} epochs"
    safe = said["safe_lr"]
    if safe is not None:
        if safe["percent_5"] is not None:
            yield from span_facts(safe["percent_1"], "within 1 %")
            yield from span_facts(safe["percent_5"], "within 5 %")
        elif safe["noise"] is not None:
            yield from span_facts(safe["noise"], "do as well")
        if safe["factor"] is not None and safe["percent_5"] is not None:
            low, high = number(safe["factor"]["low"], 2), number(safe["factor"]["high"], 2)
            factor = number(safe["factor"]["value"], 2)
            yield f"spans a factor of {factor} (95 % interval {low} to {high})."
        if safe["edge"] is not None and safe["diverged"]:
            are = f"{safe['diverged']} trial{'' if safe['diverged'] == 1 else 's'} did"
            yield f"diverges from {learning_rate(safe['edge'])} on: {are}."
    others = [n for n in said["tied"] if said["gain"] is None or n != said["gain"]["trial"]]
    if others:
        yield f"Tied with trial{'' if len(others) == 1 else 's'} {' and '.join(map(str, others))}:"
    for ranking in (said["optimizers"], said["schedules"]):
        yield from () if ranking is None else ranking_facts(ranking, metric)
    cost = said["cost"]
    for part, name in (("search", "search"), ("confirm", "confirmation")):
        most = cost["planned"][part]
        if most:
            yield f"{name} {amount(cost['spent'][part])} of at most {amount(most)}"
    yield f"training time {duration(cost['seconds'])}."
    yield said["next"]["command"]


@pytest.mark.parametrize("name", REPORTS)
def test_every_fact_of_the_document_stands_in_every_form(name, tmp_path, monkeypatch):
    report = REPORTS[name]()
    document = reviewed_document(report)
    forms = told(report, tmp_path, monkeypatch)
    assert forms.keys() == set(FORMS)
    for fact in facts(document, report.metric):
        assert {form for form in FORMS if fact in forms[form]} == set(FORMS), fact


@pytest.mark.parametrize("name", REPORTS)
def test_every_form_has_the_sentence_of_the_verdict_and_of_no_other(name, tmp_path, monkeypatch):
    report = REPORTS[name]()
    answer = reviewed_document(report)["answer"]
    heading, first = answer["sentences"][:2]
    matching = {verdict for verdict, words in FIRST.items() if re.search(words, first)}
    assert matching == {answer["verdict"]}
    recipe = heading.partition(": ")
    for form, text in told(report, tmp_path, monkeypatch).items():
        for line in (*answer["sentences"][1:], *answer["details"], recipe[0], recipe[2]):
            assert line in text, form


def test_every_verdict_is_among_them():
    found = {reviewed_document(make())["answer"]["verdict"] for make in REPORTS.values()}
    assert found == FIRST.keys() == set(Verdict)
