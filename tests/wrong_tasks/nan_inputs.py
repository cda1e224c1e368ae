from good import make_task, pairs, x, y

inputs = x.clone()
inputs[40, 2] = float("nan")
task = make_task(**pairs(inputs, y))
