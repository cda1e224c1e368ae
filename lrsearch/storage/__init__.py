"""SQL tables and checkpoint files: one function per question.

The only package with SQL statements and tables. It may import `trial` and `errors`.
"""
