"""Our Alembic history; its version table is `lr_alembic_version`, apart from Optuna's."""
