"""SQL tables and checkpoint files: one function per question, answered in records.

The only package with SQL statements and tables. It may import `trial`, `plain_data` and `errors`.
"""
