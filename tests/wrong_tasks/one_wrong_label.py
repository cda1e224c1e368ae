from good import make_task, pairs, x, y

labels = y.clone()
labels[50] = 7  # in no batch that is looked at first
task = make_task(**pairs(x, labels))
