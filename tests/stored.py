"""Records as the database gives them, without a database."""

from lrsearch.storage.records import ConfirmationRecord, CurveRecord, TrialRecord


def trial_record(**changes):
    """A complete search trial with these fields changed."""
    fields = {
        "id": 1,
        "study_id": 1,
        "ticket": 1,
        "trial_id": 1,
        "number": 0,
        "kind": "sampled",
        "recipe": None,
        "state": "complete",
        "worker": "host:1:1",
        "attempt": 1,
        "value": None,
        "best_validation": None,
        "metrics": None,
        "reason": None,
        "epochs": 4.0,
        "seconds": 1.0,
        "started_at": 0.0,
        "ended_at": 1.0,
        "ended": 1,
        "audited_at": None,
        "audit_from": None,
        "deaths": 0,
    }
    return TrialRecord(**{**fields, **changes})


def confirmation_record(**changes):
    """A complete confirmation run with these fields changed."""
    fields = {
        "id": 1,
        "study_id": 1,
        "round": "choose",
        "role": "candidate",
        "number": 0,
        "seed": 1,
        "state": "complete",
        "worker": "host:1:1",
        "attempt": 1,
        "value": None,
        "metrics": None,
        "test": None,
        "reason": None,
        "epochs": 4.0,
        "seconds": 1.0,
        "deaths": 0,
    }
    return ConfirmationRecord(**{**fields, **changes})


def curve_record(**changes):
    """A stored validation with these fields changed."""
    fields = {
        "trial": 1,
        "attempt": 1,
        "validation": 1,
        "step": 1,
        "epoch": 1.0,
        "lr": 0.1,
        "train_loss": 1.0,
        "val_loss": 1.0,
        "val_loss_ema": None,
        "metrics": {},
        "metrics_ema": None,
        "grad_norm": 1.0,
        "seconds": 1.0,
    }
    return CurveRecord(**{**fields, **changes})
