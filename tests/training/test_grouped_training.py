"""A trial with parameter groups equals torch's own optimizer with the same groups over the module's
tensors; alone, resumed, and in a cohort whose trials have different groups."""

import pytest
import reference
import torch
from reference import LR
from small import (
    BATCH_SIZE,
    CLASSES,
    EPOCHS,
    FEATURES,
    TRAIN,
    VALIDATION,
    make_model,
    make_recipe,
    make_task,
    make_training,
    run,
)
from test_exactness import OPTIMIZERS, SCHEDULES, SEED, assert_same_bits, run_interrupted
from torch import nn
from torch.nn.functional import cross_entropy
from torch.optim import AdamW, Muon
from trained_together import alone, difference, doubled, drive, make_cohort

from lrsearch.recipe.parameter_groups import recipe_lr
from lrsearch.spec.initial_weights import InitialWeights
from lrsearch.storage.checkpoint_store import CheckpointStore
from lrsearch.training import checkpoint_state
from lrsearch.training.initial_weights import find_weights

#: Of the small model: 0 and 4 are linear, 1 is a batch norm.
GROUPS = [{"match": "^4", "lr_scale": 0.1}, {"kind": "norm", "lr_scale": 2.0}]
NAMES = [name for name, _ in make_model().named_parameters()]


def by_name(parameters):
    """The groups of GROUPS, as a torch user writes them."""
    named = dict(zip(NAMES, parameters, strict=True))
    return [
        [p for name, p in named.items() if name.startswith("0")],
        [p for name, p in named.items() if name.startswith("4")],
        [p for name, p in named.items() if name.startswith("1")],
    ]


def grouped(make):
    """The optimizer of a user's script: that of `reference`, over three groups."""

    def optimizer(parameters):
        rest, head, norm = by_name(list(parameters))
        plain = make(rest)
        return type(plain)(
            [
                {"params": rest},
                {"params": head, "lr": plain.defaults["lr"] * 0.1},
                {"params": norm, "lr": plain.defaults["lr"] * 2.0},
            ],
            **{k: v for k, v in plain.defaults.items() if k not in not_given(plain)},
        )

    return optimizer


def not_given(optimizer):
    """What is in an optimizer's defaults, and no argument that a user gives."""
    own = {"foreach", "differentiable", "capturable", "maximize", "fused"}
    return own | ({"decoupled_weight_decay"} if isinstance(optimizer, AdamW) else set())


ELEMENTWISE = [n for n in OPTIMIZERS if not n.startswith(("muon", "adafactor", "adamw und"))]


def recipe_of(optimizer, schedule="cosine", **fields):
    own = {"lr": LR, **OPTIMIZERS[optimizer]}
    fields = {"groups": GROUPS, "seed": SEED, **fields}
    schedule = "constant" if optimizer == "rprop" else schedule
    given = {k: v for k, v in SCHEDULES[schedule].items() if k != "eta_min"}
    return make_recipe(optimizer=own, schedule={"name": schedule, **given}, **fields)


def plain(make_optimizer, schedule="cosine", make_model=make_model):
    def scheduler(optimizer, steps):
        if schedule == "cosine":
            return torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, T_max=steps)
        return reference.PLAIN_SCHEDULERS[schedule](optimizer, steps)

    return reference.train(
        make_model,
        TRAIN,
        VALIDATION,
        cross_entropy,
        make_optimizer=make_optimizer,
        make_scheduler=scheduler,
        seed=SEED,
        epochs=EPOCHS,
        batch_size=BATCH_SIZE,
    )


@pytest.fixture
def store(tmp_path):
    return CheckpointStore(str(tmp_path / "checkpoints"), "tiny")


@pytest.mark.parametrize("optimizer", ELEMENTWISE)
def test_it_equals_torch_with_the_same_groups_resumed_too(optimizer, store):
    schedule = "constant" if optimizer == "rprop" else "cosine"
    weights, val_losses, lrs = plain(grouped(reference.PLAIN_OPTIMIZERS[optimizer]), schedule)
    training, rows = run_interrupted(lambda: make_training(recipe_of(optimizer)), [7], store)
    assert training.is_flat
    assert [row.val_loss for row in rows] == val_losses
    assert [row.lr for row in rows] == [lrs[row.step - 1] for row in rows]
    assert_same_bits(training.model.state_dict(), weights)


def test_undecayed_vectors_are_so_in_every_group(store):
    def optimizer(parameters):
        halves = [
            {
                "params": [p for p in group if (p.ndim > 1) == matrix],
                "lr": lr,
                "weight_decay": decay,
            }
            for group, lr in zip(by_name(list(parameters)), (LR, LR * 0.1, LR * 2.0), strict=True)
            for matrix, decay in ((True, 0.1), (False, 0.0))
        ]
        return AdamW([half for half in halves if half["params"]])

    weights, val_losses, _ = plain(optimizer)
    recipe = recipe_of("adamw undecayed vectors")
    training, rows = run_interrupted(lambda: make_training(recipe), [7, 8], store)
    assert training.is_flat
    assert [row.val_loss for row in rows] == val_losses
    assert_same_bits(training.model.state_dict(), weights)


def test_muon_has_both_of_its_parts_in_every_group(store):
    def optimizers(parameters):
        rest, head, norm = by_name(list(parameters))
        matrices = [
            {"params": [p for p in group if p.ndim == 2], "lr": lr}
            for group, lr in ((rest, LR), (head, LR * 0.1))
        ]
        others = [
            {"params": [p for p in group if p.ndim != 2], "lr": lr}
            for group, lr in ((rest, LR), (head, LR * 0.1), (norm, LR * 2.0))
        ]
        muon = Muon(matrices, lr=LR, momentum=0.9, adjust_lr_fn="match_rms_adamw")
        return [muon, AdamW(others, lr=LR, weight_decay=0.1)]

    weights, val_losses, _ = plain(optimizers)
    training, rows = run_interrupted(lambda: make_training(recipe_of("muon")), [7], store)
    assert [row.val_loss for row in rows] == val_losses
    assert_same_bits(training.model.state_dict(), weights)


def test_adafactor_is_as_in_torch():
    weights, val_losses, _ = plain(grouped(reference.PLAIN_OPTIMIZERS["adafactor"]))
    training = make_training(recipe_of("adafactor"))
    assert [row.val_loss for row in run(training)] == val_losses
    assert_same_bits(training.model.state_dict(), weights)


@pytest.mark.parametrize("optimizer", ["sgd momentum", "adamw"])
def test_groups_tell_themselves_apart(optimizer):
    ended = {
        str(groups): run(make_training(recipe_of(optimizer, groups=groups)))[-1].val_loss
        for groups in (None, GROUPS, GROUPS[:1], GROUPS[1:])
    }
    assert len(set(ended.values())) == 4


def test_a_function_is_the_same_as_its_rules():
    def groups(model):
        rest, head, norm = by_name(list(model.parameters()))
        return [
            {"params": rest},
            {"params": head, "lr_scale": 0.1},
            {"params": norm, "lr_scale": 2.0},
        ]

    by_rules = make_training(recipe_of("adamw"))
    rows = run(by_rules)
    by_function = make_training(recipe_of("adamw", groups="task"), make_task(groups=groups))
    assert [row.val_loss for row in run(by_function)] == [row.val_loss for row in rows]
    assert_same_bits(by_function.model.state_dict(), by_rules.model.state_dict())


def test_a_frozen_trunk_is_not_trained_and_the_rest_is():
    def frozen():
        model = make_model()
        model[0].requires_grad_(False)
        return model

    rule = {"match": "^4", "lr_scale": 0.5}
    training = make_training(recipe_of("adamw", groups=[rule]), make_task(model=frozen))
    before = {name: p.detach().clone() for name, p in training.model.named_parameters()}
    run(training)
    after = dict(training.model.named_parameters())
    moved = {name for name in before if not torch.equal(before[name], after[name])}
    assert moved == set(NAMES) - {"0.weight", "0.bias"}


class Deep(nn.Module):
    """A stem, three layers, a head."""

    def __init__(self):
        super().__init__()
        self.stem = nn.Linear(FEATURES, 8)
        self.layers = nn.ModuleList(nn.Linear(8, 8) for _ in range(3))
        self.norm = nn.LayerNorm(8)
        self.head = nn.Linear(8, CLASSES)

    def forward(self, x):
        x = self.stem(x).relu()
        for layer in self.layers:
            x = x + layer(x).relu()
        return self.head(self.norm(x))


def pretrained(path):
    """A model to fine-tune: trained weights, the stem frozen."""
    model = Deep()
    model.load_state_dict(torch.load(path))
    model.stem.requires_grad_(False)
    return model


def test_a_fine_tune_equals_the_plain_loop(tmp_path, store):
    """Trained weights, a frozen stem, layer-wise decay, no weight decay on norms and biases."""
    path = tmp_path / "trunk.pt"
    torch.manual_seed(99)
    torch.save(Deep().state_dict(), path)

    def optimizer(parameters):
        model_names = [name for name, _ in Deep().named_parameters()]
        named = dict(zip(model_names, parameters, strict=True))
        scale = {"layers.2": 1.0, "layers.1": 0.8, "layers.0": 0.8**2}
        groups = [
            {"params": [p], "lr": LR * scale.get(name[:8], 1.0), "weight_decay": 0.1 * (p.ndim > 1)}
            for name, p in named.items()
            if p.requires_grad
        ]
        return AdamW(groups)

    def frozen():
        model = Deep()
        model.stem.requires_grad_(False)
        return model

    weights, val_losses, _ = plain(optimizer, make_model=lambda: pretrained(path))
    found = find_weights(InitialWeights(file="trunk.pt"), [tmp_path])
    task = found.prepare(make_task(model=frozen))
    rules = [{"match": r"layers\.(\d+)\.", "layer_decay": 0.8}]
    recipe = recipe_of("adamw undecayed vectors", groups=rules)
    training, rows = run_interrupted(lambda: make_training(recipe, task), [5, 14], store)
    assert [row.val_loss for row in rows] == val_losses
    assert_same_bits(training.model.state_dict(), weights)


# In a cohort.

#: Trials of one cohort: no groups, three groups, two, vectors apart in all of them.
COHORT = [
    {"groups": None},
    {"groups": [{"match": "^3", "lr_scale": 0.1}, {"kind": "norm", "lr_scale": 2.0}]},
    {"groups": [{"match": ["^0", "bias"], "lr_scale": 0.3, "weight_decay": 0.2}]},
    {"groups": [{"match": "^3", "lr_scale": 3.0}]},
]


@pytest.mark.parametrize("optimizer", ["sgd momentum", "adamw", "adamw undecayed vectors", "muon"])
def test_a_cohort_of_different_groups_equals_each_alone(optimizer):
    recipes = [recipe_of(optimizer, **fields) for fields in COHORT]
    task = doubled()
    together = drive(make_cohort(4, task, recipes[0]), recipes)
    apart = alone(recipes, task)
    for (fused, rows), (solo, expected) in zip(together, apart, strict=True):
        assert difference(fused.kept, solo.kept) < 1e-10
        assert [row.val_loss for row in rows] == pytest.approx(
            [row.val_loss for row in expected], rel=1e-10
        )
        assert [row.lr for row in rows] == [row.lr for row in expected]


def test_a_state_goes_from_rows_to_tensors_and_back():
    recipe = recipe_of("adamw undecayed vectors")
    training, spread = make_training(recipe), make_training(recipe)
    run(training, until=5)
    saved = checkpoint_state.pack(training)
    spread.spread()  # as where a parameter has no gradient
    assert checkpoint_state.unpack(spread, saved) == []
    assert not spread.is_flat
    rows = run(spread)
    assert checkpoint_state.unpack(training, saved) == []
    assert [row.val_loss for row in run(training)] == [row.val_loss for row in rows]
    assert_same_bits(spread.model.state_dict(), training.model.state_dict())
    assert recipe_lr(spread.optimizer) == recipe_lr(training.optimizer)
