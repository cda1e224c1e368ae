"""Databases on the server are used again by tests; none of them sees what another one did."""

from tiny_studies import make_study, opened, work


def everything(postgres, name):
    """The rows of all tables, and where the sequences stand."""
    tables = postgres.execute(
        "SELECT tablename FROM pg_tables WHERE schemaname = 'lrsearch'", database=name
    )
    rows = {t: postgres.execute(f"SELECT * FROM lrsearch.{t}", database=name) for (t,) in tables}
    query = "SELECT sequencename, last_value FROM pg_sequences ORDER BY 1"
    return rows, postgres.execute(query, database=name)


def test_a_used_database_is_as_good_as_new(postgres, postgres_copies):
    name = postgres_copies.lend()
    new = everything(postgres, name)
    with opened(postgres.url(name)) as database:
        work(make_study(database, budget={"trials": 2}))
        postgres_copies.take_back(name)  # whoever is connected loses it
    again = postgres_copies.lend()
    assert again != name
    assert everything(postgres, again) == new
    postgres_copies.take_back(again)


def test_one_whose_tables_were_changed_is_not_lent_again(postgres, postgres_copies):
    name = postgres_copies.lend()
    for change in (
        "ALTER TABLE lr_event ADD COLUMN more integer",
        "ALTER TABLE lr_event DROP more",
    ):
        postgres.execute(f"SET search_path TO lrsearch; {change}", database=name)
    postgres_copies.take_back(name)
    again = postgres_copies.lend()
    found = postgres.execute(
        "SELECT attname FROM pg_attribute WHERE attrelid = 'lrsearch.lr_event'::regclass"
        " AND attisdropped",
        database=again,
    )
    assert found == []
    postgres_copies.take_back(again)
