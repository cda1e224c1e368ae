"""The pictures of a report; the only package that imports matplotlib."""
