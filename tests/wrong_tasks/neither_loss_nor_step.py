from good import make_task

task = make_task(loss=None)
