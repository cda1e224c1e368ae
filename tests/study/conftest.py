import pytest


@pytest.fixture(params=["private parts", "public API"])
def either_way(request, monkeypatch):
    """Optuna by its private parts, and by its public API alone."""
    if request.param == "public API":
        monkeypatch.setenv("LRSEARCH_OPTUNA", "public")
