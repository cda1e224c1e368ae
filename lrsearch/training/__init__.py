"""Training one trial or several with real torch optimizers and schedulers.

The only package, beside the builders of `recipe`, that imports torch. It may import `task`,
`trial`, `range_test`, `fusing`, `spec` and below, never `storage` or `study`.
"""
