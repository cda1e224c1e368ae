"""The report of a study: data (study to plain tables), plots (tables to pictures), page (files)."""
