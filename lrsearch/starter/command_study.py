"""A study file for a script that takes its learning rate as an argument: nothing is changed."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from lrsearch.command.arguments import flow_list
from lrsearch.command.template import placeholders
from lrsearch.starter.arguments import Argument
from lrsearch.starter.metrics import Metric
from lrsearch.starter.new_files import name_of_script
from lrsearch.starter.ranges import lr_range, written
from lrsearch.starter.roles import NAMES, Role, plain
from lrsearch.user_input import is_number

#: Fields that are searched beside `lr`, with their ranges where the script has an argument.
SEARCHED = {
    "weight_decay": "{low: 1e-6, high: 0.1, log: true}",
    "momentum": "{low: 0.5, high: 0.99}",
}
#: Arguments for the step at which a schedule ends: the same as the last.
DECAYS = frozenset({"lrdecayiters", "lrdecaysteps", "decaysteps", "scheduletotalsteps"})
#: What a study trains for where the script does not say.
EPOCHS, STEPS = 10, 2000
#: Full trainings.
RUNS = 20
#: Longer trainings than these are cut for the search, and the file says so.
MOST_EPOCHS, MOST_STEPS = 100, 5000


@dataclass(frozen=True, kw_only=True)
class Look:
    """What was seen in a script."""

    path: Path
    roles: dict[Role, Argument]
    arguments: Sequence[Argument]
    #: The likeliest first.
    metrics: Sequence[Metric]
    #: Subcommand that trains; empty for none.
    subcommand: str
    #: Words that the user gives the script besides.
    given: Sequence[str]
    #: Files that it writes under a fixed name, each with its line.
    fixed_files: Sequence[tuple[str, int]]


@dataclass(frozen=True, kw_only=True)
class Made:
    """A study file, and what to tell about it."""

    text: str
    #: What was found, and what has to be looked after; a line each.
    lines: tuple[str, ...]


def command_study(look: Look, study: Path) -> Made:
    """The study file of a command, with comments on what was not found."""
    words = command_words(look)
    horizon, horizon_note = _horizon(look)
    metric = look.metrics[0] if look.metrics else None
    name = metric.name if metric else "val_loss"
    direction = metric.direction if metric else "minimize"
    seeded = "seed" in look.roles or "seed" in placeholders(words)
    lines = [
        f"# {look.path} as it is, by `lrsearch init`. Look through it, then:",
        f"#   lrsearch check {study}      runs the command for one report, and says what it found",
        f"#   lrsearch run {study}",
        f"name: {name_of_script(look.path)}",
        "",
        "# A list of words; no shell reads it. What stands in braces is filled in for each trial.",
        f"command: {flow_list(words)}",
        *(f"# {line}" for line in _unfilled(look)),
        "",
        *(f"# {line}" for line in _about_metric(look)),
        f"report: {{{name}: {quoted(_with_step(metric, horizon))}}}",
        f"objective: {{metric: {name}, direction: {direction}}}",
        "",
        horizon_note,
        f"budget: {{runs: {RUNS}}}      # the study may train as much as {RUNS} full trainings",
        *([] if seeded else [_NO_SEED, "confirm: none"]),
        "",
        *_space(look),
        *_resume(look),
        *(f"# {line}" for line in _files(look)),
    ]
    return Made(text="\n".join(lines).rstrip() + "\n", lines=tuple(_told(look, metric)))


_NO_SEED = "# The script takes no seed, so the best recipes cannot be confirmed with fresh ones."


def quoted(pattern: str) -> str:
    """A regular expression between single quotes, as YAML wants it."""
    return "'{}'".format(pattern.replace("'", "''"))


def _with_step(metric: Metric | None, horizon: str) -> str:
    if metric is None:
        return r"valid loss +(\S+)"
    return (
        f"{metric.step}.*{metric.pattern}" if metric.step and horizon == "steps" else metric.pattern
    )


def command_words(look: Look) -> list[str]:
    """The words that start the script, with placeholders where it has arguments for them."""
    words = ["python", "-u", str(look.path), *([look.subcommand] if look.subcommand else [])]
    words += look.given  # first: the last value of an argument counts, and files of values too
    filled: dict[Role, str] = {
        "lr": "{lr}",
        **({role: f"{{{role}}}" for role in look.roles if role in SEARCHED}),
        "seed": "{seed}",
        ("epochs" if _horizon(look)[0] == "epochs" else "steps"): f"{{{_horizon(look)[0]}}}",
        "dir": "{dir}",
    }
    for role, value in filled.items():
        if role in look.roles:
            words += look.roles[role].filled(value)
    if _horizon(look)[0] == "steps":
        decays = (argument for argument in look.arguments if plain(argument.name) in DECAYS)
        words += [word for argument in decays for word in argument.filled("{steps}")]
    if "save" in look.roles and "dir" not in look.roles:
        words += look.roles["save"].filled("{dir}/model.pt")
    return words


def _horizon(look: Look) -> tuple[str, str]:
    """`epochs` or `steps`, and the line that says how many."""
    role: Role = "epochs" if "epochs" in look.roles or "steps" not in look.roles else "steps"
    default, most = (EPOCHS, MOST_EPOCHS) if role == "epochs" else (STEPS, MOST_STEPS)
    argument = look.roles.get(role)
    if argument is None:
        note = "the script has no argument for it: write how many it trains"
        return role, f"{role}: {default}      # {note}, or leave this line out"
    given = argument.default
    count = int(given) if is_number(given) and given >= 1 else default
    said = f"length of one full training; the script's own: {given}"
    if count > most:
        return role, f"{role}: {most}      # {said}; shorter trials find the learning rate too"
    return role, f"{role}: {count}      # {said}"


def _about_metric(look: Look) -> Iterator[str]:
    yield "Where the metric is: a regular expression over the lines of the output, with one group."
    if not look.metrics:
        yield "No line of the script was found that prints one: WRITE YOURS."
        yield "Others: {json_lines: stdout}, {csv: '{dir}/log.csv'}, {tensorboard: '{dir}'}."
        return
    best, *others = look.metrics
    yield f"Line {best.number} prints it: {best.source}"
    if not best.is_sure:
        yield "That is a guess: no printed line says that it is of a validation. LOOK AT IT."
    elif best.on == "test":
        yield "The script calls these its test data. A search on them uses them up as a test:"
        yield "hold a part of the training data back, if you need an honest last figure."
    for other in others[:3]:
        if other.score > 1:
            yield f"or, of line {other.number}: {{{other.name}: {quoted(other.pattern)}}}"


def _space(look: Look) -> Iterator[str]:
    lr = look.roles["lr"]
    low, high = map(written, lr_range(lr.default))
    around = f" # around the script's own {lr.default}" if is_number(lr.default) else ""
    yield "# What is searched. `script` stands for the optimizer and the schedule of the script."
    yield "space:"
    yield "  optimizers:"
    yield "    script:"
    yield f"      lr: {{low: {low}, high: {high}, log: true}}{around}"
    fields = {"lr": lr.default}
    for role in look.roles:
        if role in SEARCHED:
            own = look.roles[role].default
            yield f"      {role}: {SEARCHED[role]} # the script's own: {own}"
            fields[role] = own
    yield "  schedules: [script]"
    if all(is_number(value) for value in fields.values()):
        own = ", ".join(f"{name}: {written(float(str(v)))}" for name, v in fields.items())
        yield "# What the script uses by itself. It is trained too, so the answer says the gain."
        yield f"baseline: {{optimizer: {{name: script, {own}}}, schedule: {{name: script}}}}"
    for role, line in _OTHERS.items():
        if role in look.roles:
            words = " ".join(look.roles[role].filled(f"{{{_WORDS[role]}}}"))
            yield f"# {line.format(words=words)}"


_OTHERS: dict[Role, str] = {
    "optimizer": "Its optimizer too: add {words} to the command; name optimizers in the space.",
    "schedule": "Its schedule too: add {words} to the command; name schedules in the space.",
    "batch_size": "Its batch size too: add {words} to the command, and to the space "
    "params: {{batch: {{choices: [32, 64, 128]}}}}",
}
_WORDS: dict[Role, str] = {"optimizer": "optimizer", "schedule": "schedule", "batch_size": "batch"}


def _resume(look: Look) -> Iterator[str]:
    resume = look.roles.get("resume")
    yield ""
    if resume is None:
        yield "# The script has no argument to go on from a file: an interrupted trial begins anew."
        return
    words = flow_list(resume.filled("{dir}/last.pt"))
    yield "# If the script writes a checkpoint into {dir}, an interrupted trial can go on from it:"
    yield f"#resume_args: {words}"


def _unfilled(look: Look) -> Iterator[str]:
    """Arguments that the script needs, and that have no value yet."""
    known = {word.partition("=")[0] for word in command_words(look)}
    for argument in look.arguments:
        if argument.required and not any(
            word.partition("=")[0] in known for word in argument.words
        ):
            if argument.subcommand == look.subcommand and argument.words != ("{}",):
                yield f"The script needs {argument.words[0]} too: ADD IT, with its value."
            elif argument.words == ("{}",) and not look.given:
                yield f"The script needs {argument.name} too, without a flag: ADD IT."


def _files(look: Look) -> Iterator[str]:
    for name, number in look.fixed_files:
        yield f"Line {number} writes {name!r}: trials that run at once overwrite each other's file."


def _told(look: Look, metric: Metric | None) -> Iterator[str]:
    for role in NAMES:
        if role in look.roles:
            yield f"{role}: {' '.join(look.roles[role].words).replace('{}', '...')}"
    if metric is None:
        yield "metric: not found; write its pattern under report"
    else:
        sure = "" if metric.is_sure else " (a guess: look at it)"
        yield f"metric: {metric.name} from line {metric.number}, {metric.pattern}{sure}"
    yield from _unfilled(look)
    yield from _files(look)
