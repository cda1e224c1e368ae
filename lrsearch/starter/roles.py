"""What scripts call the learning rate, the epochs, and the like."""

import re
from collections.abc import Mapping, Sequence
from typing import Literal

Role = Literal[
    "lr",
    "weight_decay",
    "momentum",
    "optimizer.beta1",
    "optimizer.beta2",
    "epochs",
    "steps",
    "seed",
    "batch_size",
    "optimizer",
    "schedule",
    "dir",
    "save",
    "resume",
]

#: Names in lower case without marks, the likeliest first. Counted in pytorch/examples, timm,
#: nanoGPT, accelerate, transformers, fairseq and Lightning's examples.
NAMES: Mapping[Role, Sequence[str]] = {
    "lr": (
        "lr",
        "learningrate",
        "baselr",
        "initlr",
        "lrinit",
        "initiallr",
        "peaklr",
        "maxlr",
        "blr",
        "lrbase",
        "initiallearningrate",
        "baselearningrate",
    ),
    "weight_decay": ("weightdecay", "wd", "decay", "l2"),
    "momentum": ("momentum", "mom"),
    "optimizer.beta1": ("beta1", "adambeta1", "b1"),
    "optimizer.beta2": ("beta2", "adambeta2", "b2"),
    "epochs": (
        "epochs",
        "numepochs",
        "maxepochs",
        "nepochs",
        "numtrainepochs",
        "nepoch",
        "totalepochs",
        "trainepochs",
        "epoch",
        "niter",
    ),
    "steps": (
        "maxsteps",
        "maxiters",
        "numsteps",
        "maxtrainsteps",
        "totalsteps",
        "trainsteps",
        "nsteps",
        "numiterations",
        "iterations",
        "iters",
        "steps",
    ),
    "seed": ("seed", "manualseed", "randomseed", "rngseed"),
    "batch_size": (
        "batchsize",
        "trainbatchsize",
        "perdevicetrainbatchsize",
        "bs",
        "microbatchsize",
    ),
    "optimizer": ("optimizer", "optim", "opt", "optimizername"),
    "schedule": ("scheduler", "lrscheduler", "schedule", "sched", "lrschedulertype", "lrschedule"),
    "dir": (
        "outdir",
        "outputdir",
        "savedir",
        "outf",
        "output",
        "checkpointdir",
        "ckptdir",
        "logdir",
        "workdir",
        "rundir",
        "expdir",
        "savemodeldir",
    ),
    "save": ("save", "savepath", "checkpointpath", "modelpath", "outputfile"),
    "resume": ("resume", "resumefrom", "resumefromcheckpoint", "ckpt", "checkpoint"),
}


def plain(name: str) -> str:
    """A name in lower case, without dashes, dots and underscores."""
    return re.sub(r"[^a-z0-9]", "", name.lower())


def words_in(text: str) -> list[str]:
    """The words of names and sentences, in lower case: `valLoss_1` is val, loss, 1."""
    spaced = re.sub(r"(?<=[a-z0-9])(?=[A-Z])", " ", text)
    return re.findall(r"[a-z]+|\d+", spaced.lower())
