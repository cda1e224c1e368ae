"""A study of one training: a recipe that was given, and nothing that is searched."""

from lrsearch.spec.study_spec import StudySpec


def is_one_run(spec: StudySpec) -> bool:
    """Whether the study trains one given recipe once, as `lrsearch train` makes it."""
    given = len(spec.enqueue) == 1 and spec.baseline is None and not spec.warm_start
    return (
        given
        and spec.budget.trials == 1
        and spec.portfolio == 0
        and spec.pruning is None
        and spec.confirm is None
    )
