from good import F, make_task

task = make_task(loss=lambda output, target: F.cross_entropy(output.detach(), target))
