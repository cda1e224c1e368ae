"""What a confirmation says of the recommended recipe, in sentences."""

from collections.abc import Iterator, Mapping
from typing import Any


def sentences(first: Mapping[str, Any]) -> list[str]:
    """Why it is recommended, who is tied with it, what the search promised, and its test score."""
    return list(_sentences(first))


def _sentences(first: Mapping[str, Any]) -> Iterator[str]:
    if first.get("why"):
        yield f"Recommended: {first['why']}."
    if first.get("runner_up"):
        yield _compared(first["runner_up"])
    optimism = first.get("optimism")
    if optimism is not None and optimism["percent"] is not None:
        percent = optimism["percent"]
        size, word = f"{abs(percent):.0f} %", "better" if percent > 0 else "worse"
        by = "within 1 % of" if size == "0 %" else f"{size} {word} than"
        yield f"Its value in the search, {optimism['search']:.4g}, was {by} the mean of these runs."
    if first.get("basin"):
        yield (
            f"Over {first['basin']:g} decades of learning rate around it, the best trials do as "
            f"well to within the noise of seeds."
        )
    if first.get("test"):
        yield f"On the test set, in one more run: {_scores(first['test'])}."


def _compared(runner_up: Mapping[str, Any]) -> str:
    found = runner_up["difference"]
    seeds = "fresh seeds" if runner_up["round"] == "report" else "seeds that chose"
    text = f"Runner-up, trial {runner_up['trial']}: "
    if found is None:
        return f"{text}no seed in common."
    text += f"{found['mean']:+.3g}"
    if found["ci95"] is not None:
        low, high = found["ci95"]
        text += f" (95 % CI {low:+.3g} .. {high:+.3g})"
    if found["p"] is not None:
        text += f", Wilcoxon p = {found['p']:.2g}"
    verdict = "tied" if runner_up["tied"] else "told apart"
    return f"{text} on {found['n']} {seeds}; {verdict}."


def _scores(test: Mapping[str, Any]) -> str:
    flat = {**test, **test["metrics"]} if isinstance(test.get("metrics"), Mapping) else test
    numbers = {name: value for name, value in flat.items() if isinstance(value, int | float)}
    return ", ".join(f"{name} {value:.4g}" for name, value in numbers.items())
