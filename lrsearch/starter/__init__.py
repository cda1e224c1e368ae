"""Study files to begin with: an example that runs, or one for a script that is looked at.

Scripts are parsed and never run. It may import `catalog`, `command`, `user_input`,
`errors` and `plain_data`.
"""
