from good import make_task, x, y

task = make_task(validation=(x[:64], y[:64]))
