"""A training loop of the user's own, whose faults its argument `fault` names."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import torch
from torch import nn


def train(run, fault="none"):
    torch.manual_seed(run.seed)
    made = torch.Generator().manual_seed(1)
    x = torch.randn(160, 4, generator=made)
    y = x.sum(1, keepdim=True) + 0.1 * torch.randn(160, 1, generator=made)
    loader = torch.utils.data.DataLoader(
        torch.utils.data.TensorDataset(x[:128], y[:128]), batch_size=16, shuffle=True
    )
    model = nn.Sequential(nn.Linear(4, 8), nn.Tanh(), nn.Dropout(0.1), nn.Linear(8, 1))
    optimizer = run.build(model, steps_per_epoch=len(loader))
    if fault == "forks":
        subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
        subprocess.Popen(["sleep", "600"], start_new_session=True)
    if fault == "ignores SIGTERM":
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
    for epoch in run.epochs():
        while epoch == 3 and Path("hold").exists():
            Path("pid").write_text(str(os.getpid()))
            time.sleep(0.05)
        for inputs, targets in loader:
            optimizer.zero_grad()
            loss = nn.functional.mse_loss(model(inputs), targets)
            loss.backward()
            run.loss(loss)
            optimizer.step()
        model.eval()
        with torch.no_grad():
            value = nn.functional.mse_loss(model(x[128:]), y[128:]).item()
        model.train()
        report(run, value, fault)
        if fault == "segfault" and epoch == 1:
            os.kill(os.getpid(), signal.SIGSEGV)
        if fault == "os._exit" and epoch == 1:
            os._exit(0)


def report(run, value, fault):
    if fault == "except Exception":
        try:
            run.report(val_loss=value)
        except Exception:
            pass
    elif fault == "bare except":
        try:
            run.report(val_loss=value)
        except:  # noqa: E722
            while True:
                time.sleep(0.1)
    elif fault == "ignores SIGTERM":
        try:
            run.report(val_loss=value)
        finally:
            while run.epoch > 1 and run.lr == 0:
                time.sleep(0.1)
    else:
        run.report(val_loss=value)
