"""One trial in words, as `lrsearch trial show` prints it."""

from lrsearch.report.groups import group_rows
from lrsearch.report.one_trial import TrialDetails
from lrsearch.report.text.format import amount, counted, duration, number
from lrsearch.storage.column_types import one_line
from lrsearch.trial.states import TrialState


def details_text(study: str, found: TrialDetails) -> str:
    """State, recipe, scores, worker and checkpoints."""
    trial, last = found.trial, found.last
    loss = None if last is None else last.val_loss
    lines = [
        f"trial {trial.number} of {study}: {trial.state}",
        f"  {found.why}",
        "  no recipe yet" if trial.parsed is None else f"  {trial.parsed.title()}",
        f"  value {number(trial.value)}, last validation loss {number(loss)}",
        f"  {amount(found.epochs)} epochs, {counted(len(found.curve), 'validation')}, "
        f"attempt {trial.attempt}",
    ]
    if trial.parsed is not None:
        lines += [f"  {name}: {title}" for name, title in group_rows(trial.parsed)]
    if trial.deaths:
        lines.append(f"  {counted(trial.deaths, 'worker')} lost with it since its last checkpoint")
    if trial.worker:
        left = f", lease ends in {duration(found.lease_left)}" if found.lease_left else ""
        lines.append(f"  worker {one_line(trial.worker)}{left}")
    elif trial.state == TrialState.RUNNING:
        lines.append("  no worker trains it; the next free one takes it over")
    for item in found.checkpoints:
        lines.append(f"  checkpoint at step {item.step}, {item.bytes / 1e6:.1f} MB")
    return "\n".join(lines)
