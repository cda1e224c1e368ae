"""What a study is, in words: a search, one run of a given recipe, or the ladder of a longer run."""

from lrsearch.spec.one_run import is_one_run
from lrsearch.spec.study_spec import StudySpec


def subject(spec: StudySpec) -> str:
    """For titles, after the study's name."""
    if spec.ladder is not None:
        return f"learning rate for {spec.ladder.to} {spec.ladder.unit}"
    return "one training run" if is_one_run(spec) else "learning-rate search"


def ranked(spec: StudySpec, shown: int, complete: int) -> str:
    """What the first table of trials has: so many of those that are ranked."""
    if spec.ladder is not None:
        return (
            f"The best {shown} of {complete} complete runs of {spec.ladder.to} {spec.ladder.unit}"
        )
    if is_one_run(spec):
        return f"The run, on seed {spec.seed}"
    return f"The best {shown} of {complete} complete trials, each on the search's one seed"


def main_part(spec: StudySpec) -> str:
    """What its trials are together, beside range tests, audit and confirmation."""
    if spec.ladder is not None:
        return "short and long runs"
    return "the run" if is_one_run(spec) else "search"
