"""Whole trainings with an exported recipe by the library that it is for: the loss of every batch is
that of a plain loop around `Recipe.build`, from the same weights on the same batches."""

import importlib.util

import pytest
import small
import torch
from torch import nn
from torch.nn.functional import cross_entropy
from torch.utils.data import DataLoader, Dataset

from lrsearch.export import export

EPOCHS, BATCHES, SIZE = 2, 6, 8
SGD = {"name": "sgd", "lr": 0.3, "momentum": 0.9, "nesterov": True}
ADAMW = {"name": "adamw", "lr": 0.1, "weight_decay": 0.1, "weight_decay_exclude_1d": True}


class Samples(Dataset):
    """Three classes that overlap; a sample is a mapping, as a Trainer wants it."""

    inputs, labels = small.make_tensors(BATCHES * SIZE, seed=4)

    def __len__(self):
        return len(self.labels)

    def __getitem__(self, index):
        return {"x": self.inputs[index], "labels": self.labels[index]}


class Model(nn.Module):
    """It keeps the loss of every batch that it was trained on."""

    def __init__(self):
        super().__init__()
        generator = torch.Generator().manual_seed(7)
        self.net = nn.Sequential(nn.Linear(small.FEATURES, 8), nn.Tanh(), nn.Linear(8, 3))
        for parameter in self.net.parameters():
            parameter.data.normal_(0, 0.5, generator=generator)
        self.losses = []

    def forward(self, x, labels):
        loss = cross_entropy(self.net(x), labels)
        if self.training:
            self.losses.append(loss.item())
        return {"loss": loss}


def recipe_of(**changes):
    given = {"optimizer": SGD, "epochs": EPOCHS, "batch_size": SIZE, "schedule": "cosine"}
    return small.make_recipe(**{**given, **changes})


#: The last is not to the bit: transformers begins a warm-up at 0, torch at 1e-8 of the peak.
RECIPES = {
    "sgd": recipe_of(),
    "clipped": recipe_of(clip_norm=0.3, schedule="linear"),
    "accumulated": recipe_of(accumulate=2, clip_norm=0.5),
    "adamw": recipe_of(optimizer=ADAMW, schedule={"name": "inverse_sqrt"}),
    "warmed up": recipe_of(optimizer=ADAMW, warmup=0.25),
}


def losses_of_a_plain_loop(recipe):
    model, loader = Model(), DataLoader(Samples(), batch_size=SIZE)
    optimizer, scheduler = recipe.build(model, steps_per_epoch=BATCHES // recipe.accumulate)
    for _ in range(EPOCHS):
        for number, batch in enumerate(loader, 1):
            (model(**batch)["loss"] / recipe.accumulate).backward()
            if number % recipe.accumulate:
                continue
            if recipe.clip_norm is not None:
                nn.utils.clip_grad_norm_(model.parameters(), recipe.clip_norm)
            optimizer.step()
            scheduler.step()
            optimizer.zero_grad()
    return model.losses


def exported(recipe, format, tmp_path):
    text = export(
        recipe,
        format,
        study="small",
        trial_number=0,
        steps_per_epoch=BATCHES // recipe.accumulate,
        value=0.5,
        metric="val_loss",
        versions={},
    ).text
    path = tmp_path / "exported.py"
    path.write_text(text, encoding="utf-8")
    spec = importlib.util.spec_from_file_location("exported", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def assert_same_trace(found, recipe):
    expected = losses_of_a_plain_loop(recipe)
    assert len(found) == len(expected) == EPOCHS * BATCHES
    assert sum(expected[BATCHES:]) < 0.9 * sum(expected[:BATCHES])  # on the same batches
    assert found == pytest.approx(expected, rel=1e-5 if recipe.warmup else 0, abs=0)


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("recipe", RECIPES.values(), ids=RECIPES.keys())
def test_lightning_trains_to_the_losses_of_the_recipe(recipe, tmp_path):
    lightning = pytest.importorskip("lightning.pytorch")
    module = exported(recipe, "lightning", tmp_path)

    class Trained(module.OfRecipe, lightning.LightningModule):
        def __init__(self):
            super().__init__()
            self.model = Model()

        def training_step(self, batch, index):
            return self.model(**batch)["loss"]

    trainer = lightning.Trainer(
        **module.TRAINER,
        accelerator="cpu",
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        default_root_dir=tmp_path,
    )
    made = Trained()
    trainer.fit(made, DataLoader(Samples(), batch_size=module.BATCH_SIZE))
    assert_same_trace(made.model.losses, recipe)


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("recipe", RECIPES.values(), ids=RECIPES.keys())
def test_a_trainer_trains_to_the_losses_of_the_recipe(recipe, tmp_path):
    transformers = pytest.importorskip("transformers")
    arguments = exported(recipe, "transformers", tmp_path).training_arguments(
        tmp_path / "out",
        use_cpu=True,
        report_to="none",
        save_strategy="no",
        disable_tqdm=True,
        train_sampling_strategy="sequential",
    )
    model = Model()
    transformers.Trainer(model, arguments, train_dataset=Samples()).train()
    assert_same_trace(model.losses, recipe)
