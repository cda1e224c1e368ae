from good import make_task

task = make_task(batch_size=128)
