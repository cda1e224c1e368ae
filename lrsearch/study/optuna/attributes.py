"""The attributes that lrsearch gives to Optuna's trials."""

#: User attribute that ties a trial to its ticket.
TICKET = "lrsearch:ticket"
#: User attribute of every trial: its recipe, in torch's names and units.
RECIPE = "recipe"
#: User attribute of a trial that another study ran: which study, which trial.
FROM = "lrsearch:from"
#: System attribute of every ended trial, as Optuna and optuna-dashboard read it: one number, how
#: far beyond the stable the trial was. Above 0, the trial is infeasible.
CONSTRAINTS = "constraints"
#: Prefix of the system attributes that say what the sampler takes a stored parameter for.
UNIT = "lrsearch:unit:"
#: Violation of a trial that diverged at its start; it falls to 1 for one that diverges at its end.
START_VIOLATION = 2.0
