"""Many processes meet an empty database at the same moment."""

import json

import pytest
from processes import Command
from sqlalchemy import inspect, text
from tiny_studies import TASKS, opened

from lrsearch.storage import schema, studies
from lrsearch.study.optuna.storage import optuna_storage

PROCESSES, CREATORS = 8, 4


def test_eight_processes_make_one_schema(storage_url, tmp_path):
    commands = [
        Command("db", "init", folder=tmp_path / "work", LRSEARCH_STORAGE=storage_url)
        for _ in range(PROCESSES)
    ]
    outputs = [command.succeed() for command in commands]
    made = [f"schema {schema.HEAD}: made" in output for output in outputs]
    assert sorted(made) == [False] * (PROCESSES - 1) + [True]
    assert [command.err for command in commands] == [""] * PROCESSES
    with opened(storage_url) as database:
        with database.read() as connection:
            assert schema.is_current(connection)
            tables = inspect(connection).get_table_names()
            # One row each, however many made them.
            for name in ("alembic_version", "lr_alembic_version", "version_info"):
                rows = connection.execute(text(f"SELECT count(*) FROM {name}")).scalar_one()
                assert (name, rows) == (name, 1)
        assert len(tables) == len(set(tables))
        optuna_storage(database).get_all_studies()  # Optuna finds its schema current too
    leftovers = {path.name for path in tmp_path.iterdir() if ".lock" in path.name}
    assert leftovers == set()


def create(storage_url, folder, *options):
    return Command(
        *("study", "create", TASKS / "tiny.yaml", *options),
        folder=folder,
        LRSEARCH_STORAGE=storage_url,
    )


@pytest.mark.parametrize("prepared", [False, True], ids=["empty", "with tables"])
def test_four_processes_create_one_study(tmp_path, storage_url, prepared):
    if prepared:
        Command("db", "init", folder=tmp_path / "work", LRSEARCH_STORAGE=storage_url).succeed()
    commands = [create(storage_url, tmp_path / "work", "--exist-ok") for _ in range(CREATORS)]
    outputs = [command.succeed() for command in commands]
    assert sum("study tiny created" in output for output in outputs) == 1
    assert sum("study tiny exists" in output for output in outputs) == CREATORS - 1
    with opened(storage_url) as database, database.read() as connection:
        assert [row.name for row in studies.everything(connection)] == ["tiny"]
        (names,) = connection.execute(text("SELECT count(*) FROM studies")).one()
    assert names == 1


def test_of_four_that_do_not_expect_the_study_one_creates_it(prepared_url, tmp_path):
    commands = [create(prepared_url, tmp_path / "work") for _ in range(CREATORS)]
    codes = sorted(command.wait() for command in commands)
    assert codes == [0, 1, 1, 1]
    for command in commands:
        if command.wait():
            assert command.err.startswith("Error: study 'tiny' exists already; add --exist-ok")
            assert len(command.err.splitlines()) == 1


def test_a_study_of_another_spec_is_refused_even_when_both_start_at_once(prepared_url, tmp_path):
    """Whoever comes second is compared with the first."""
    folder = tmp_path / "files"
    folder.mkdir()
    (folder / "tiny.py").write_text((TASKS / "tiny.py").read_text())
    commands = []
    for seed in range(CREATORS):
        study = (TASKS / "tiny.yaml").read_text().replace("seed: 3", f"seed: {seed}")
        (folder / f"{seed}.yaml").write_text(study)
        commands.append(
            Command(
                *("study", "create", folder / f"{seed}.yaml", "--exist-ok"),
                folder=tmp_path / "work",
                LRSEARCH_STORAGE=prepared_url,
            )
        )
    codes = [command.wait() for command in commands]
    assert sorted(codes) == [0, 1, 1, 1]
    winner = codes.index(0)
    for seed, command in enumerate(commands):
        if seed != winner:
            assert f"seed: {winner} -> {seed}" in command.err
    show = Command(
        *("study", "show", "tiny", "--json"),
        folder=tmp_path / "work",
        LRSEARCH_STORAGE=prepared_url,
    )
    assert json.loads(show.succeed())["name"] == "tiny"
