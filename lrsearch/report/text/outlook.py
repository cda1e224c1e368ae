"""What more recipes are expected to bring, in words."""

from lrsearch.advice.outlook import Outlook
from lrsearch.report.text.format import counted

#: What is trained, by `Outlook.of`.
NOUNS = {"portfolio": "recipe", "draws": "draw"}
PLACES = {"portfolio": "portfolio", "draws": "default space"}


def outlook_sentence(found: Outlook) -> str:
    """How far the first is from the best known recipe, and the later ones; without a full stop."""
    first, *later = found.gaps
    after = [f"after {gap.recipes} {'it was ' * (not i)}" for i, gap in enumerate(later)]
    more = [f"{text}{_percent(gap.median)}" for text, gap in zip(after, later, strict=True)]
    return (
        f"on {found.tasks} recorded tasks the loss after "
        f"{counted(first.recipes, NOUNS[found.of])} of the {PLACES[found.of]} was "
        f"{_percent(first.median)} above that of the best known recipe (median; over "
        f"{_percent(first.upper)} on a quarter of the tasks){'; ' * bool(more)}{', '.join(more)}"
    )


def apart_words(found: Outlook) -> str:
    """How much the choice among the portfolio's matters; "" of draws."""
    if found.of != "portfolio":
        return ""
    return f"; of two recipes of the portfolio the worse one was {_percent(found.apart)} worse"


def _percent(share: float) -> str:
    return f"{100 * share:.2g} %" if share < 1 else f"{100 * share:.0f} %"
