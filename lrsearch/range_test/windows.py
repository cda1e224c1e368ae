"""What range tests tell a study: the windows of its sampler, the edges for its portfolio."""

from collections.abc import Mapping, Sequence

from lrsearch.catalog.domains import Domain, Range
from lrsearch.catalog.lookup import optimizer_info
from lrsearch.plain_data import Fields, Unchecked
from lrsearch.range_test.plan import values_of
from lrsearch.range_test.reading import beyond_edge
from lrsearch.space.portfolio.edges import Edge, shift_of
from lrsearch.space.sampling_units import equivalence, parameter_name
from lrsearch.space.search_space import SearchSpace
from lrsearch.user_input import is_number


def sampler_windows(
    space: SearchSpace, results: Sequence[Unchecked]
) -> dict[str, tuple[float, float]]:
    """The windows that range tests found, as the sampler's parameters and their bounds.

    A result without a window, or that is none of a range test of the space, is left out.
    """
    found = (_window_of(space, result) for result in results if isinstance(result, Mapping))
    return dict(window for window in found if window is not None)


def _window_of(space: SearchSpace, result: Fields) -> tuple[str, tuple[float, float]] | None:
    """The window of a stored result; None where it has none, or is not what a range test stored."""
    window, optimizer = result.get("window"), result.get("optimizer")
    size = result.get("batch_size")
    if not isinstance(window, list | tuple) or not isinstance(optimizer, Mapping):
        return None
    name = optimizer.get("name")
    numbers = [*window, optimizer.get("momentum", 0.0), size or 1]
    if name not in list(space.optimizers) or len(window) != 2 or not all(map(is_number, numbers)):
        return None
    return sampler_window(space.optimizers[name], optimizer, (window[0], window[1]), size)


def portfolio_edges(space: SearchSpace, results: Sequence[Unchecked]) -> dict[str, Edge]:
    """By optimizer of the space the edge that its range test found, for the portfolio.

    A result without an edge, or that is none of a range test of the space, is left out.
    """
    found: dict[str, Edge] = {}
    for result in results:
        if isinstance(result, Mapping) and (edge := _edge_of(space, result)) is not None:
            name, rate = edge
            # Without a window the loss had not fallen when it blew up: that is an upper bound.
            shift = 1.0 if result.get("window") is None else shift_of(name, rate)
            found[name] = Edge(highest=rate * beyond_edge(name), shift=shift)
    return found


def _edge_of(space: SearchSpace, result: Fields) -> tuple[str, float] | None:
    """Optimizer and edge of a stored result, in the sampler's unit; None where it has none."""
    spread = result.get("edge")
    if not isinstance(spread, Mapping) or not is_number(spread.get("median")):
        return None
    found = _window_of(space, {**result, "window": [spread["median"]] * 2})
    return None if found is None else (str(result["optimizer"]["name"]), found[1][1])


def sampler_window(
    domains: Mapping[str, Domain],
    optimizer: Fields,
    window: tuple[float, float],
    batch_size: int | None,
) -> tuple[str, tuple[float, float]]:
    """A window in torch's lr, found with `optimizer`, as the sampler's parameter and its bounds.

    `domains` are the optimizer's in the space, `batch_size` the test's, in samples of a
    step.
    """
    lr = domains["lr"]
    owner = optimizer["name"]
    info = optimizer_info(owner, "optimizer")
    momentum = float(info.taken(optimizer, "momentum"))
    tested = 1 - momentum
    low, high = 1.0, 1.0
    if isinstance(lr, Range) and lr.unit == "momentum_equivalent":
        low = high = equivalence(momentum, batch_size)
    elif info.accumulates and "momentum" in domains:
        # One window for every momentum.
        left = [1 - momentum for momentum in _momenta(domains["momentum"])]
        low, high = min(1.0, min(left) / tested), max(1.0, max(left) / tested)
    name = parameter_name(f"{owner}.lr", lr)
    return name, (window[0] * low, window[1] * high)


def _momenta(domain: Domain) -> list[float]:
    """The values of a domain of momenta, of a range its ends."""
    if isinstance(domain, Range) and domain.unit == "complement" and domain.in_unit:
        return [1 - domain.high, 1 - domain.low]
    return values_of(domain)
