"""Settings of other libraries, read by these libraries themselves: at every step their optimizer
has the learning rate that `Recipe.build` gives."""

import importlib.util
import itertools
import math
import random
import re
import sys
from types import ModuleType, SimpleNamespace

import pytest
import small
import torch
import yaml
from torch import nn

from lrsearch.catalog.optimizers import OPTIMIZERS
from lrsearch.catalog.schedules import SCHEDULES
from lrsearch.errors import SpecError
from lrsearch.export import TARGETS, export

PER_EPOCH = 5
EPOCHS = 8
#: Of the warm-up: two epochs.
WARMUP = 0.25
#: Of the peak. transformers begins a warm-up at 0, torch at 1e-8 of the peak.
SAME = 2e-8
TARGET = {target.format: target for target in TARGETS}
OPTIMIZER_FIELDS = {
    "sgd": [{}, {"momentum": 0.9, "nesterov": True, "weight_decay": 1e-3}, {"momentum": 0.8}],
    "adam": [{"betas": [0.8, 0.99]}],
    "adamw": [{"weight_decay": 0.2, "eps": 1e-7}, {"weight_decay": 0.0}],
    "rmsprop": [{"alpha": 0.95, "momentum": 0.5, "centered": True}, {}],
    "adagrad": [{"lr_decay": 0.01, "eps": 1e-9}],
    "nadam": [{"decoupled_weight_decay": True, "weight_decay": 0.1}],
    "adadelta": [{"rho": 0.8}],
}
SCHEDULE_FIELDS = {
    "step": [{"step_size": 0.3, "gamma": 0.5}],
    "multistep": [{"milestones": [0.3, 0.6, 0.8], "gamma": 0.3}],
    "cosine": [{}, {"eta_min": 0.1}],
    "cosine_restarts": [{"T_0": 0.5}],
    "linear": [{}, {"end_factor": 0.2}],
    "polynomial": [{"power": 2.0}, {"power": 0.5}],
    "wsd": [{"decay": 0.3, "shape": shape} for shape in ("1-sqrt", "linear", "cosine")],
    "inverse_sqrt": [{"timescale": 0.13}],
    "cyclic": [{"base_factor": 0.2, "step_size_up": 0.1}],
    "one_cycle": [{"pct_start": 0.3}],
    "plateau": [{"patience": 0.0, "factor": 0.3}],
}


def recipe_of(optimizer, schedule, warmup=0.0, **changes):
    name, fields = optimizer
    kind, settings = schedule
    given = {
        "optimizer": {"name": name, "lr": 0.03, **fields},
        "schedule": {"name": kind, **settings},
        "warmup": warmup,
        "epochs": EPOCHS,
        "batch_size": 16,
    }
    return small.make_recipe(**{**given, **changes})


def recipes(target):
    """Optimizers and schedules of the target: each with each other's first, and warm-up."""
    optimizers = [(n, f) for n in target.optimizers for f in OPTIMIZER_FIELDS.get(n, [{}])]
    schedules = [(n, f) for n in target.schedules for f in SCHEDULE_FIELDS.get(n, [{}])]
    sgd = next(pair for pair in optimizers if pair[0] == "sgd")
    for optimizer in optimizers:
        if OPTIMIZERS[optimizer[0]].constant_only is None:
            yield recipe_of(optimizer, ("cosine", {}))
    for schedule, warmup in itertools.product(schedules, (0.0, WARMUP)):
        if not warmup or schedule[0] in target.warmable:
            yield recipe_of(sgd, schedule, warmup)
    if "cosine" in target.warmable:
        yield recipe_of(sgd, ("cosine", {}), warmup_steps=PER_EPOCH)


def cases(format):
    return [pytest.param(recipe, id=recipe.title()) for recipe in recipes(TARGET[format])]


def write(recipe, format, **changes):
    arguments = {
        "study": "digits",
        "trial_number": 17,
        "steps_per_epoch": PER_EPOCH,
        "value": 0.0612,
        "metric": "val_loss",
        "versions": {"lrsearch": "0.1.0", "torch": "2.13.0"},
    }
    return export(recipe, format, **{**arguments, **changes})


def module_of(text, tmp_path):
    path = tmp_path / "exported.py"
    path.write_text(text, encoding="utf-8")
    spec = importlib.util.spec_from_file_location("exported", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def losses():
    """Validation losses, an epoch each, that a plateau schedule finds two plateaus in."""
    return [1.0, 0.9, 0.95, 0.8, 0.8, 0.7, 0.6, 0.5]


def sequence(optimizer, step, plateau=None):
    """The learning rate of each optimizer step; `step(n)` is called after the nth."""
    lrs = []
    for number in range(1, EPOCHS * PER_EPOCH + 1):
        lrs.append([float(group["lr"]) for group in optimizer.param_groups])
        optimizer.step()
        step(number)
        if plateau is not None and number % PER_EPOCH == 0:
            plateau(losses()[number // PER_EPOCH - 1])
    return lrs


def expected(recipe):
    """The optimizer as it begins and the learning rates, by the recipe itself."""
    optimizer, scheduler = recipe.build(model(), steps_per_epoch=PER_EPOCH)
    plateau = scheduler.step if recipe.schedule_name == "plateau" else None
    lrs = sequence(optimizer, lambda _: scheduler.step() if plateau is None else None, plateau)
    return optimizer, [row[0] for row in lrs]


def model():
    return nn.Sequential(nn.Linear(3, 4), nn.LayerNorm(4), nn.Linear(4, 2))


def assert_same(recipe, optimizer, lrs):
    theirs, mine = optimizer, expected(recipe)
    assert type(theirs).__name__ == type(mine[0]).__name__ or recipe.optimizer_name == "adam"
    for row in lrs:
        assert len(set(row)) == 1
    assert [row[0] for row in lrs] == pytest.approx(mine[1], rel=1e-9, abs=SAME * recipe.lr)
    same = mine[0].param_groups[0]
    for key, value in same.items():
        if key not in ("params", "lr", "initial_lr", "weight_decay", "foreach", "fused"):
            if key in ("momentum", "betas") and recipe.schedule_name == "one_cycle":
                continue
            if key == "decoupled_weight_decay":  # AdamW without weight decay stands for Adam
                continue
            got = theirs.param_groups[0][key]
            assert (tuple(got) if isinstance(got, list) else got) == value, key


def undecayed(optimizer):
    """Sizes of the parameters without weight decay."""
    groups = [group for group in optimizer.param_groups if not group["weight_decay"]]
    return sorted(p.numel() for group in groups for p in group["params"])


# --- Hydra


@pytest.mark.parametrize("recipe", cases("hydra"))
def test_hydra_makes_the_learning_rates_of_the_recipe(recipe):
    from hydra.utils import instantiate
    from omegaconf import OmegaConf
    from torch.optim.lr_scheduler import SequentialLR

    group = OmegaConf.create(write(recipe, "hydra").text)
    optimizer = instantiate(group.optimizer)(model().parameters())
    if group.warmup_steps:
        parts = [instantiate(group.warmup)(optimizer), instantiate(group.scheduler)(optimizer)]
        scheduler = SequentialLR(optimizer, parts, milestones=[group.warmup_steps])
    else:
        scheduler = instantiate(group.scheduler)(optimizer)
    plateau = scheduler.step if recipe.schedule_name == "plateau" else None
    lrs = sequence(optimizer, lambda _: scheduler.step() if plateau is None else None, plateau)
    assert_same(recipe, optimizer, lrs)
    assert group.total_steps == EPOCHS * PER_EPOCH
    if "weight_decay" in recipe.optimizer:
        assert optimizer.param_groups[0]["weight_decay"] == recipe.optimizer["weight_decay"]


# --- transformers


@pytest.mark.parametrize("recipe", cases("transformers"))
def test_a_trainer_makes_the_learning_rates_of_the_recipe(recipe, tmp_path):
    import transformers

    exported = module_of(write(recipe, "transformers").text, tmp_path)
    arguments = exported.training_arguments(tmp_path / "out", use_cpu=True, report_to="none")
    trainer = transformers.Trainer(model(), arguments)
    trainer.create_optimizer_and_scheduler(EPOCHS * PER_EPOCH)
    optimizer, scheduler = trainer.optimizer, trainer.lr_scheduler
    lrs = sequence(optimizer, lambda _: scheduler.step())
    assert_same(recipe, optimizer, lrs)
    assert arguments.num_train_epochs == EPOCHS
    assert arguments.per_device_train_batch_size == 16
    decay = recipe.optimizer.get("weight_decay", 0.01 if recipe.optimizer_name == "adamw" else 0)
    assert max(group["weight_decay"] for group in optimizer.param_groups) == decay


def test_a_trainer_takes_clipping_precision_and_accumulation(tmp_path):
    changes = {"clip_norm": 0.3, "accumulate": 4, "precision": "bf16", "seed": 5}
    recipe = recipe_of(("adamw", {"fused": True}), ("linear", {}), WARMUP, **changes)
    exported = module_of(write(recipe, "transformers").text, tmp_path)
    arguments = exported.training_arguments(tmp_path / "out", use_cpu=True)
    assert arguments.max_grad_norm == 0.3
    assert arguments.gradient_accumulation_steps == 4
    assert arguments.max_steps == EPOCHS * PER_EPOCH
    assert (arguments.bf16, arguments.fp16, arguments.seed) == (True, False, 5)
    assert arguments.optim == "adamw_torch_fused"


def test_the_notes_say_what_a_trainer_does_not_decay():
    decayed = write(recipe_of(("adamw", {"weight_decay": 0.1}), ("cosine", {})), "transformers")
    assert "leaves biases and the weights of norms without weight decay" in decayed.notes[0]
    assert "leaves biases" in " ".join(decayed.text.split())
    fields = {"weight_decay": 0.1, "weight_decay_exclude_1d": True}
    assert write(recipe_of(("adamw", fields), ("cosine", {})), "transformers").notes == ()


# --- timm


@pytest.fixture(scope="module")
def timm():
    """Its optimizers and schedulers without its models, which need torchvision."""
    found = importlib.util.find_spec("timm")
    if found is None:
        pytest.skip("timm is not installed (pip install --no-deps timm)")
    with pytest.MonkeyPatch.context() as patch:
        package = ModuleType("timm")
        package.__path__ = found.submodule_search_locations
        models = ModuleType("timm.models")
        models.group_parameters = None  # of layer decay, which no recipe here has
        patch.setitem(sys.modules, "timm", package)
        patch.setitem(sys.modules, "timm.models", models)
        importlib.import_module("timm.optim")
        importlib.import_module("timm.scheduler")
        yield package


def built_by_timm(timm, text):
    """What timm's train.py builds of its `--config`: parsers' defaults and these values."""
    args = SimpleNamespace(**yaml.safe_load(text))
    optimizer = timm.optim.create_optimizer_v2(
        model(), **timm.optim.optimizer_kwargs(cfg=args), **args.opt_kwargs
    )
    scheduler, epochs = timm.scheduler.create_scheduler_v2(
        optimizer, **timm.scheduler.scheduler_kwargs(args), updates_per_epoch=PER_EPOCH
    )
    scheduler.step_update(num_updates=0)
    return optimizer, scheduler, epochs


@pytest.mark.parametrize("recipe", cases("timm"))
def test_timm_makes_the_learning_rates_of_the_recipe(recipe, timm):
    text = write(recipe, "timm").text
    optimizer, scheduler, epochs = built_by_timm(timm, text)
    lrs = sequence(optimizer, lambda number: scheduler.step_update(num_updates=number))
    assert_same(recipe, optimizer, lrs)
    assert list(range(epochs)) == list(range(EPOCHS))  # a whole number, as train.py needs it
    decay = recipe.optimizer.get("weight_decay", 0.01 if recipe.optimizer_name == "adamw" else 0)
    assert {group["weight_decay"] for group in optimizer.param_groups} == {decay}


def test_timm_leaves_out_weight_decay_as_the_recipe_does(timm):
    fields = {"weight_decay": 0.1, "weight_decay_exclude_1d": True}
    recipe = recipe_of(("adamw", fields), ("cosine", {}))
    optimizer, _, _ = built_by_timm(timm, write(recipe, "timm").text)
    assert undecayed(optimizer) == undecayed(recipe.build(model(), steps_per_epoch=5)[0])


def test_timm_takes_clipping_precision_and_accumulation():
    changes = {"clip_norm": 0.3, "accumulate": 4, "precision": "bf16", "seed": 5}
    args = yaml.safe_load(write(recipe_of(("sgd", {}), ("linear", {}), **changes), "timm").text)
    assert (args["clip_grad"], args["clip_mode"], args["grad_accum_steps"]) == (0.3, "norm", 4)
    assert (args["amp"], args["amp_dtype"], args["seed"]) == (True, "bfloat16", 5)


# --- Lightning


@pytest.fixture(scope="module")
def lightning():
    return pytest.importorskip("lightning.pytorch")


class Seen:
    """Learning rates of a Lightning module's steps."""

    def training_step(self, batch, index):
        self.seen.append([group["lr"] for group in self.optimizers().param_groups])
        return self.net(batch[0]).square().mean()

    def validation_step(self, batch, index):
        self.log("val_loss", torch.tensor(losses()[self.trainer.current_epoch]))


def trained_by_lightning(lightning, exported, tmp_path):
    class Module(exported.OfRecipe, Seen, lightning.LightningModule):
        def __init__(self):
            super().__init__()
            self.net, self.seen = model(), []

        def parameters(self, recurse=True):
            return self.net.parameters(recurse)

    data = torch.utils.data.TensorDataset(torch.randn(16 * PER_EPOCH, 3))
    loader = torch.utils.data.DataLoader(data, batch_size=16)
    trainer = lightning.Trainer(
        **exported.TRAINER,
        accelerator="cpu",
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        num_sanity_val_steps=0,
        default_root_dir=tmp_path,
    )
    made = Module()
    trainer.fit(made, loader, torch.utils.data.DataLoader(data, batch_size=80))
    return made


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize(
    "recipe",
    random.Random(1).sample(cases("lightning"), 12)
    + [
        pytest.param(recipe_of(("sgd", {}), (name, fields[0])), id=name)
        for name, fields in SCHEDULE_FIELDS.items()
    ],
)
def test_lightning_makes_the_learning_rates_of_the_recipe(recipe, lightning, tmp_path):
    exported = module_of(write(recipe, "lightning").text, tmp_path)
    made = trained_by_lightning(lightning, exported, tmp_path)
    if recipe.optimizer_name != "muon":
        assert_same(recipe, made.trainer.optimizers[0], made.seen)
    assert [row[0] for row in made.seen] == expected(recipe)[1]


@pytest.mark.parametrize("recipe", cases("lightning"))
def test_the_build_of_lightning_is_that_of_torch(recipe):
    texts = [write(recipe, format).text for format in ("lightning", "torch")]
    build = re.compile(r"^def build\(.*?^    return optimizer, scheduler$", re.S | re.M)
    first, second = (build.search(text)[0] for text in texts)
    assert first == second


# --- what is refused


@pytest.mark.parametrize("target", TARGETS, ids=lambda target: target.format)
def test_what_a_target_lacks_is_refused_with_what_it_has(target):
    for name in sorted(OPTIMIZERS.keys() - set(target.optimizers)):
        schedule = "constant" if OPTIMIZERS[name].constant_only else "cosine"
        with pytest.raises(SpecError, match=f"optimizer {name}; use --format torch, or one of"):
            write(recipe_of((name, {}), (schedule, {})), target.format)
    for name in sorted(SCHEDULES.keys() - set(target.schedules)):
        with pytest.raises(SpecError, match=f"schedule {name}; use --format torch, or one of"):
            write(recipe_of(("sgd", {}), (name, {})), target.format)


REFUSED = [
    ("transformers", {"groups": [{"match": "bias", "lr_scale": 2.0}]}, "parameter groups"),
    ("timm", {"groups": [{"match": "bias", "lr_scale": 2.0}]}, "parameter groups"),
    ("hydra", {"groups": [{"match": "bias", "lr_scale": 2.0}]}, "parameter groups"),
    ("lightning", {"groups": "task"}, "task's own function"),
    ("lightning", {"precision": "fp16"}, "precision fp16; .* or precision fp32 or bf16"),
    ("lightning", {"weights": "ema"}, "averaged weights"),
    ("timm", {"weights": "ema"}, "averaged weights"),
    ("transformers", {"weights": "ema"}, "averaged weights"),
    ("hydra", {"optimizer": {"name": "sgd", "lr": 1, "weight_decay_exclude_1d": True}}, "1d"),
    ("timm", {"schedule": {"name": "wsd", "decay": 0.21}}, "8.4 steps"),
    ("transformers", {"schedule": {"name": "wsd", "decay": 0.21}}, "8.4 steps"),
    ("timm", {"schedule": {"name": "cosine_restarts", "T_0": 0.3}}, "fill the run"),
    ("transformers", {"schedule": {"name": "cosine_restarts", "T_mult": 2}}, "T_mult above 1"),
    ("timm", {"schedule": "cosine", "warmup": 0.1}, "4 steps .* whole epochs"),
    ("timm", {"epochs": None, "steps": 11}, "whole epochs; .* give --epochs"),
    ("transformers", {"optimizer": {"name": "adam", "lr": 1, "weight_decay": 0.1}}, "or adamw"),
    ("transformers", {"optimizer": {"name": "adamw", "lr": 1, "amsgrad": True}}, "amsgrad"),
]


@pytest.mark.parametrize(("format", "changes", "match"), REFUSED)
def test_a_recipe_that_a_target_cannot_express_is_refused_in_one_line(format, changes, match):
    given = {"optimizer": {"name": "sgd", "lr": 0.1}, "epochs": EPOCHS, "batch_size": 16}
    recipe = small.make_recipe(**{**given, **changes})
    with pytest.raises(SpecError, match=match) as raised:
        write(recipe, format)
    assert "\n" not in str(raised.value)
    assert "use --format torch" in str(raised.value)


def test_restarts_come_at_their_steps_however_the_run_divides():
    for steps in range(3, 60):
        for share in (0.25, 1 / 3, 0.4):
            changes = {"epochs": None, "steps": steps}
            recipe = recipe_of(("sgd", {}), ("cosine_restarts", {"T_0": share}), **changes)
            text = write(recipe, "transformers").text
            cycles = float(re.search(r'"num_cycles": ([\d.]+)', text)[1])
            first = max(1, math.ceil(share * steps - 1e-9))
            for restart in range(first, steps, first):
                factor = 0.5 * (1 + math.cos(math.pi * ((cycles * (restart / steps)) % 1.0)))
                assert factor > 0.99, (steps, share)


def test_no_exporter_imports_its_library():
    text = "import sys; import lrsearch.export; print(*sys.modules)"
    import subprocess

    loaded = subprocess.run([sys.executable, "-c", text], capture_output=True, text=True).stdout
    assert not {"torch", "transformers", "timm", "lightning", "hydra"} & set(loaded.split())
