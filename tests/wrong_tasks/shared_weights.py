from good import make_task, nn

body = nn.Linear(4, 8)
task = make_task(model=lambda: nn.Sequential(body, nn.ReLU(), nn.Linear(8, 3)))
