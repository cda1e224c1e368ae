"""What a machine offers and lacks: versions, devices, database, disk, limits, optional parts.

Nothing is changed. It may import `storage`, `errors`, `plain_data` and `version`.
"""
