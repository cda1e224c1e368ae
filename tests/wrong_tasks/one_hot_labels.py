from good import F, make_task, pairs, x, y

task = make_task(**pairs(x, F.one_hot(y)))
