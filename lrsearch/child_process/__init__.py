"""Processes that a worker starts and ends with everything that they started.

`Supervisor` (`supervisor`) is the worker's handle. It stands for a small process of its own
(`serve`), which forks a watcher for each child (`watcher`); the watcher forks the child (`become`).
On Linux the watcher adopts whatever the child's processes leave behind, so that none escapes.

`ForkServer` (`fork_server`) forks processes that end in order by themselves; its own is
`serve_forks`.

It may import `plain_data` and `errors`, and of libraries the standard one alone.
"""
