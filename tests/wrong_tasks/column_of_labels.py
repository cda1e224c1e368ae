from good import make_task, pairs, x, y

task = make_task(**pairs(x, y[:, None]))
