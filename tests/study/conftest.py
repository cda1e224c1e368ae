from pathlib import Path

import pytest

HERE = Path(__file__).parent
#: Each case is told to a database as it is, or dies between two of its statements.
BOTH_WHOLE = {"test_hostile_rows.py", "test_open_study.py", "test_optuna_rows.py"}


@pytest.fixture(params=["private parts", "public API"])
def either_way(request, monkeypatch):
    """Optuna by its private parts, and by its public API alone."""
    if request.param == "public API":
        monkeypatch.setenv("LRSEARCH_OPTUNA", "public")


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items):
    """One case of a test that is marked `both_databases` runs on PostgreSQL too; others do with
    `-m slow`.

    Marked is what a database might do differently: who wins of several that write at once, what is
    left of one that dies between two statements, rows that SQL has written past lrsearch. What a
    study does besides is the same, and tests/storage runs each statement on both.
    """
    seen = set()
    for item in items:
        params = item.callspec.params.values() if hasattr(item, "callspec") else ()
        if item.path.parent != HERE or "postgresql" not in params:
            continue
        test = item.path, item.originalname
        again = test in seen and item.path.name not in BOTH_WHOLE
        if again or not item.get_closest_marker("both_databases"):
            item.add_marker(pytest.mark.slow)
        seen.add(test)
