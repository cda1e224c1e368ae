"""What of a script spoils its trials, said once, with the line to change."""

from collections.abc import Mapping

import torch

from lrsearch.own_loop import script_lines
from lrsearch.own_loop.frames import place
from lrsearch.own_loop.role import Role
from lrsearch.own_loop.session import Session

#: A given `steps_per_epoch` is wrong that is further from the counted steps than this share and
#: two steps: a loss scaler skips a few at the start.
STEPS_SHARE, STEPS_APART = 0.02, 2


class Hints:
    """Looks at a run where the script calls it."""

    def __init__(self, session: Session) -> None:
        self._session = session
        #: Roles whose lr the script is known to change.
        self._changed: set[str] = set()

    def place(self) -> str:
        """The line of the script that is running."""
        return place()

    def before_step(self, role: Role) -> None:
        """Whether somebody else has set the learning rate since the schedule did."""
        if role.name in self._changed or role.lrs() == role.set_lrs:
            return
        self._changed.add(role.name)
        lr = role.lrs()[0]
        begin = f"lr is {lr:.4g} before step {role.step + 1}, but the recipe's schedule set "
        begin += f"{role.set_lrs[0]:.4g}: "
        if steps := script_lines.scheduler_steps(role.optimizer, role.schedule):
            text = f"{begin}the script steps a scheduler of its own ({steps}); take it out, "
            text += "for run.build's optimizer advances the recipe's schedule by itself"
        else:
            where = script_lines.lr_writes() or place()
            text = f"{begin}the script writes param_group['lr'] ({where}); take that out, "
            text += "for run.build's optimizer follows the recipe's schedule by itself"
        self._session.hint(f"lr of {role.name}", text)

    def at_start(self) -> None:
        """Whether the script has seeded torch with another seed than the run's."""
        session = self._session
        if session.alone or torch.initial_seed() == session.seed:
            return
        where, with_ours = script_lines.seed_calls()
        if not with_ours:
            self._session.hint(
                "seed",
                f"the script seeded torch with {torch.initial_seed()}{_at(where)}, and not with "
                f"run.seed: runs that confirm a recipe with fresh seeds would repeat one run; "
                f"write torch.manual_seed(run.seed)",
            )

    def at_report(self, roles: Mapping[str, Role], reports: int) -> None:
        """Whether the optimizer has stepped before a validation."""
        if not roles:
            self._session.hint(
                "no build",
                f"{place()}: run.report came, but run.build was not called, so that the recipe's "
                f"optimizer and schedule are not used; write optimizer = run.build(model, "
                f"steps_per_epoch=...)",
            )
        elif next(iter(roles.values())).step == 0 and reports == 1:
            self._session.hint(
                "early validation",
                f"{place()}: run.report came before the first optimizer step; validate after it, "
                f"for each trial and range test pays for it",
            )
        elif next(iter(roles.values())).step == 0:
            self._session.hint(
                "no step",
                f"{place()}: run.report came {reports} times, but the optimizer of run.build was "
                f"never stepped, so neither was the schedule; call its step()",
            )

    def at_epoch(self, role: Role, steps: int) -> None:
        """Whether an epoch had as many optimizer steps as `run.build` was told."""
        given = role.horizon.steps_per_epoch
        if steps and abs(steps - given) > max(STEPS_APART, STEPS_SHARE * given):
            self._session.hint(
                "steps per epoch",
                f"an epoch had {steps} optimizer steps, but run.build got steps_per_epoch={given}, "
                f"so that the schedule has another length than the run; give {steps}",
            )

    def at_end(self, roles: Mapping[str, Role]) -> None:
        """Whether each optimizer has stepped at all."""
        for role in roles.values():
            if role.step == 0:
                self._session.hint(
                    "no step",
                    f"the optimizer that run.build made for role {role.name!r} was never stepped; "
                    f"call its step()",
                )


def _at(where: str) -> str:
    return f" ({where})" if where else ""
