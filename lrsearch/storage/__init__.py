"""The shared SQL database: where it is, its schema, and one function per question asked of it."""
