"""Workers and their leases, checkpoints, events; the order in which trials ended."""

import sqlalchemy as sa
from alembic import op

revision = "004"
down_revision = "003"

HELD = ("lr_trial", "lr_confirm", "lr_range_test")


def _study() -> "sa.Column[int]":
    study = sa.ForeignKey("studies.study_id", ondelete="CASCADE")
    return sa.Column("study_id", sa.Integer, study, nullable=False, index=True)


def _count(name: str) -> "sa.Column[int]":
    return sa.Column(name, sa.Integer, nullable=False, server_default="0")


def upgrade() -> None:
    op.add_column("lr_study", _count("trials_ended"))
    op.add_column("lr_trial", sa.Column("ended", sa.Integer))
    op.create_index("ix_lr_trial_ended", "lr_trial", ["study_id", "ended"])
    for table in HELD:
        op.add_column(table, _count("deaths"))
        # Workers of the last version hold no lease, and none of them may work during an upgrade.
        op.execute(f"UPDATE {table} SET worker = NULL WHERE state = 'running'")
    _number_the_ended()
    _end_in_optuna()
    op.create_table(
        "lr_worker",
        sa.Column("id", sa.Integer, primary_key=True),
        _study(),
        sa.Column("name", sa.String(200), nullable=False),
        sa.Column("device", sa.String(32), nullable=False),
        sa.Column("version", sa.String(32), nullable=False),
        sa.Column("doing", sa.String(200)),
        sa.Column("started_at", sa.Float, nullable=False),
        sa.Column("seen_at", sa.Float, nullable=False),
        sa.Column("ended_at", sa.Float),
        sa.UniqueConstraint("study_id", "name", name="uq_lr_worker_name"),
    )
    op.create_table(
        "lr_lease",
        sa.Column("kind", sa.String(16), primary_key=True),
        sa.Column("item", sa.Integer, primary_key=True),
        _study(),
        sa.Column("worker", sa.String(200), nullable=False),
        sa.Column("attempt", sa.Integer, nullable=False),
        sa.Column("expires_at", sa.Float),
        sa.Column("stop", sa.Boolean, nullable=False),
    )
    op.create_table(
        "lr_checkpoint",
        sa.Column("kind", sa.String(16), primary_key=True),
        sa.Column("item", sa.Integer, primary_key=True),
        sa.Column("slot", sa.Integer, primary_key=True),
        _study(),
        sa.Column("attempt", sa.Integer, nullable=False),
        sa.Column("step", sa.Integer, nullable=False),
        sa.Column("file", sa.String(400), nullable=False),
        sa.Column("sha256", sa.String(64), nullable=False),
        sa.Column("bytes", sa.BigInteger, nullable=False),
        sa.Column("saved_at", sa.Float, nullable=False),
    )
    op.create_table(
        "lr_event",
        sa.Column("id", sa.Integer, primary_key=True),
        _study(),
        sa.Column("at", sa.Float, nullable=False),
        sa.Column("worker", sa.String(200), nullable=False),
        sa.Column("what", sa.Text, nullable=False),
    )


def _number_the_ended() -> None:
    """Trials that ended before have an order too: that of their tickets."""
    op.execute(
        "UPDATE lr_trial SET ended = (SELECT count(*) FROM lr_trial AS earlier"
        " WHERE earlier.study_id = lr_trial.study_id AND earlier.state <> 'running'"
        " AND earlier.ticket <= lr_trial.ticket) WHERE state <> 'running'"
    )
    op.execute(
        "UPDATE lr_study SET trials_ended = (SELECT count(*) FROM lr_trial"
        " WHERE lr_trial.study_id = lr_study.study_id AND lr_trial.state <> 'running')"
    )


def _end_in_optuna() -> None:
    """Optuna's trials that a dying worker left running: ended here, or never linked to one of ours.

    What ended here ends there as it would have: with its value, or pruned with its last report;
    what diverged or ran out of memory is infeasible. From now on both halves change in one
    transaction.
    """
    untold = "trials.state = 'RUNNING' AND trials.trial_id = lr_trial.trial_id"
    complete = "lr_trial.state = 'complete' AND lr_trial.value IS NOT NULL"
    infeasible = "(lr_trial.state = 'diverged' OR lr_trial.reason = 'oom')"
    told = "lr_trial.state <> 'running'"
    violation = f"CASE WHEN {infeasible} THEN '2.0' ELSE '0.0' END"
    op.execute(
        "INSERT INTO trial_system_attributes (trial_id, key, value_json)"
        f" SELECT trials.trial_id, 'constraints:diverged', {violation} FROM lr_trial, trials"
        f" WHERE {untold} AND {told} ON CONFLICT DO NOTHING"
    )
    op.execute(
        "INSERT INTO trial_values (trial_id, objective, value, value_type)"
        " SELECT trials.trial_id, 0, lr_trial.value, 'FINITE' FROM lr_trial, trials"
        f" WHERE {untold} AND {complete} ON CONFLICT DO NOTHING"
    )
    op.execute(
        "INSERT INTO trial_values (trial_id, objective, value, value_type)"
        " SELECT trials.trial_id, 0, report.intermediate_value, 'FINITE'"
        " FROM lr_trial, trials, trial_intermediate_values AS report"
        f" WHERE {untold} AND lr_trial.state = 'pruned' AND report.trial_id = trials.trial_id"
        " AND report.intermediate_value_type = 'FINITE' AND report.step = (SELECT max(step)"
        " FROM trial_intermediate_values AS other WHERE other.trial_id = trials.trial_id)"
        " ON CONFLICT DO NOTHING"
    )
    ends = {"COMPLETE": complete, "PRUNED": f"(lr_trial.state = 'pruned' OR {infeasible})"}
    for state, condition in {**ends, "FAIL": told}.items():
        op.execute(
            f"UPDATE trials SET state = '{state}', datetime_complete = {_ended_at()}"
            f" FROM lr_trial WHERE {untold} AND {condition}"
        )
    op.execute(
        "UPDATE trials SET state = 'FAIL', datetime_complete = datetime_start"
        " WHERE state = 'RUNNING' AND study_id IN (SELECT study_id FROM lr_study)"
        " AND trial_id NOT IN (SELECT trial_id FROM lr_trial"
        " WHERE state = 'running' AND trial_id IS NOT NULL)"
    )


def _ended_at() -> str:
    """When our trial ended, as Optuna writes it: UTC without a time zone."""
    if op.get_bind().dialect.name == "postgresql":
        return "timezone('utc', to_timestamp(lr_trial.ended_at))"
    return "strftime('%Y-%m-%d %H:%M:%f', lr_trial.ended_at, 'unixepoch') || '000'"
