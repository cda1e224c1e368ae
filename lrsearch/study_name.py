"""Names of studies: `NAME` in the default project, `PROJECT/NAME` in another one."""

#: Letters, digits, '.', '-' and '_'; the first is a letter or a digit.
WORD = r"[A-Za-z0-9][A-Za-z0-9._-]*"
#: Of a whole name.
STUDY_NAME = rf"^{WORD}(/{WORD})?$"
#: The project of a study whose name and file name none.
DEFAULT_PROJECT = "default"
#: Longest name of a project, in characters.
LONGEST = 200
#: Between project and name where both are one part of a path; no name has it.
_BETWEEN = "@"


def project_of(name: str) -> str:
    """The project that a study's name begins with; empty if it begins with none."""
    return name.rpartition("/")[0]


def project_or_default(project: str) -> str:
    """A study's project as a database has it."""
    return project[:LONGEST] or DEFAULT_PROJECT


def path_part(name: str) -> str:
    """The name as one part of a path: `vision/digits` is `vision@digits`."""
    return name.replace("/", _BETWEEN)
