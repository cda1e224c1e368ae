"""The version of this package, also that of the tables in a study's database."""

__version__ = "0.1.0"
