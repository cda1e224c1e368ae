"""What the shells complete: commands, shipped studies and files, and names in an SQLite file."""

import pytest
from command import run_command

from lrsearch.storage.study_names import names_in_file

SHELLS = ("bash", "zsh", "fish")


def completed(folder, *words, **environment):
    """What bash is offered for the last word."""
    line = " ".join(["lrsearch", *words])
    ended = run_command(
        folder=folder,
        COMP_WORDS=line,
        COMP_CWORD=str(len(words)),
        _LRSEARCH_COMPLETE="bash_complete",
        **environment,
    )
    assert ended.err == ""
    return ended.out.split()


@pytest.mark.parametrize("shell", SHELLS)
def test_each_shell_gets_its_script(shell, tmp_path):
    ended = run_command(folder=tmp_path, _LRSEARCH_COMPLETE=f"{shell}_source")
    assert "_LRSEARCH_COMPLETE" in ended.out


def test_a_file_is_completed_by_the_shipped_names_and_by_the_shell(tmp_path):
    assert completed(tmp_path, "run", "dig") == ["plain,digits", "file,dig"]
    assert completed(tmp_path, "study", "extend", "any", "fash") == [
        "plain,fashion_mnist",
        "file,fash",
    ]


def test_a_name_is_completed_from_the_database(finished):
    assert completed(finished, "study", "show", "ti") == ["plain,tiny"]
    assert completed(finished, "report", "") == ["plain,tiny"]
    assert completed(finished, "study", "show", "x") == []
    url = f"sqlite:///{finished}/lrsearch.db"
    elsewhere = finished.parent
    assert completed(elsewhere, "worker", "--storage", url, "") == ["plain,tiny"]


def test_nothing_is_said_and_nothing_made_where_names_are_not_at_hand(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "text.db").write_text("no database" * 1000)
    for url in (
        None,
        "sqlite:///text.db",
        "sqlite:///nothing.db",
        "postgresql://nobody@127.0.0.1:1/none",
        "mysql://host/name",
    ):
        assert names_in_file(url, "") == []
    assert [path.name for path in tmp_path.iterdir()] == ["text.db"]


def test_a_mark_of_sql_in_a_beginning_is_a_character(sqlite_url):
    assert names_in_file(sqlite_url, "%") == []
