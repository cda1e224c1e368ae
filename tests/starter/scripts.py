"""Training scripts in the shapes that people write them, none of which is ever run here."""

#: A word model with a list of arguments; the validation is printed by `format`.
WORDS = """
import argparse, math, time, torch
parser = argparse.ArgumentParser()
parser.add_argument('--data', type=str, default='./data')
parser.add_argument('--lr', type=float, default=20, help='initial learning rate')
parser.add_argument('--epochs', type=int, default=40)
parser.add_argument('--batch_size', type=int, default=20, metavar='N')
parser.add_argument('--seed', type=int, default=1111)
parser.add_argument('--cuda', action='store_true')
parser.add_argument('--save', type=str, default='model.pt')
args = parser.parse_args()
torch.manual_seed(args.seed)

def train():
    for batch, i in enumerate(range(10)):
        loss.backward()
        if batch % 5 == 0:
            print('| epoch {:3d} | {:5d}/{:5d} batches | lr {:02.2f} | ms/batch {:5.2f} | '
                  'loss {:5.2f} | ppl {:8.2f}'.format(epoch, batch, 10, lr, 1.0, cur, ppl))

for epoch in range(1, args.epochs + 1):
    train()
    val_loss = evaluate(val_data)
    print('-' * 89)
    print('| end of epoch {:3d} | time: {:5.2f}s | valid loss {:5.2f} | '
          'valid ppl {:8.2f}'.format(epoch, (time.time() - start), val_loss, math.exp(val_loss)))
with open(args.save, 'rb') as f:
    model = torch.load(f)
test_loss = evaluate(test_data)
print('| End of training | test loss {:5.2f} | test ppl {:8.2f}'.format(test_loss, ppl))
"""

#: A digits network: a function tests, another trains, and neither says "validation".
DIGITS = r"""
import argparse
import torch.optim as optim

def train(args, model, device, train_loader, optimizer, epoch):
    for batch_idx, (data, target) in enumerate(train_loader):
        loss.backward()
        optimizer.step()
        if batch_idx % args.log_interval == 0:
            print('Train Epoch: {} [{}/{} ({:.0f}%)]\tLoss: {:.6f}'.format(
                epoch, batch_idx * len(data), len(train_loader.dataset),
                100. * batch_idx / len(train_loader), loss.item()))

def test(model, device, test_loader):
    print('\nTest set: Average loss: {:.4f}, Accuracy: {}/{} ({:.0f}%)\n'.format(
        test_loss, correct, len(test_loader.dataset), 100. * correct / len(test_loader.dataset)))

def main():
    parser = argparse.ArgumentParser()
    parser.add_argument('--batch-size', type=int, default=64)
    parser.add_argument('--epochs', type=int, default=14)
    parser.add_argument('--lr', type=float, default=1.0)
    parser.add_argument('--seed', type=int, default=1)
    args = parser.parse_args()
    torch.manual_seed(args.seed)
    optimizer = optim.Adadelta(model.parameters(), lr=args.lr)
    scheduler = StepLR(optimizer, step_size=1, gamma=0.7)
    for epoch in range(1, args.epochs + 1):
        train(args, model, device, train_loader, optimizer, epoch)
        test(model, device, test_loader)
        scheduler.step()
    if args.save_model:
        torch.save(model.state_dict(), "digits.pt")

if __name__ == '__main__':
    main()
"""

#: The learning rate is in the code.
AUTOENCODER = """
from __future__ import print_function
import argparse
import torch
from torch import optim

parser = argparse.ArgumentParser()
parser.add_argument('--epochs', type=int, default=10)
parser.add_argument('--seed', type=int, default=1)
args = parser.parse_args()
torch.manual_seed(args.seed)
optimizer = optim.Adam(model.parameters(), lr=1e-3)

def train(epoch):
    for batch_idx, (data, _) in enumerate(train_loader):
        loss.backward()
        optimizer.step()
    print('====> Epoch: {} Average loss: {:.4f}'.format(epoch, train_loss / len(train_set)))

def test(epoch):
    print('====> Test set loss: {:.4f}'.format(test_loss))

if __name__ == "__main__":
    for epoch in range(1, args.epochs + 1):
        train(epoch)
        test(epoch)
"""

#: Variables at the top, which a file that is executed overrides.
TRANSFORMER = """
import torch
out_dir = 'out'
eval_only = False
batch_size = 12
learning_rate = 6e-4 # max learning rate
max_iters = 600000
lr_decay_iters = 600000
weight_decay = 1e-1
beta1 = 0.9
decay_lr = True
config_keys = [k for k, v in globals().items() if not k.startswith('_')]
exec(open('configurator.py').read())
iter_num = 0
while True:
    if iter_num % 100 == 0:
        losses = estimate_loss()
        print(f"step {iter_num}: train loss {losses['train']:.4f}, val loss {losses['val']:.4f}")
        wandb.log({"val/loss": losses['val']})
        torch.save(checkpoint, os.path.join(out_dir, 'ckpt.pt'))
    print(f"iter {iter_num}: loss {lossf:.4f}, time {dt*1000:.2f}ms")
    iter_num += 1
"""

#: Two optimizers, and no number that says how good the pictures are.
PICTURES = """
import argparse
parser = argparse.ArgumentParser()
parser.add_argument('--dataset', required=True, help='cifar10 | lsun')
parser.add_argument('--niter', type=int, default=25)
parser.add_argument('--lr', type=float, default=0.0002)
parser.add_argument('--manualSeed', type=int)
parser.add_argument('--outf', default='.')
opt = parser.parse_args()
optimizerD = optim.Adam(netD.parameters(), lr=opt.lr, betas=(opt.beta1, 0.999))
optimizerG = optim.Adam(netG.parameters(), lr=opt.lr, betas=(opt.beta1, 0.999))
for epoch in range(opt.niter):
    for i, data in enumerate(dataloader, 0):
        errD_real.backward()
        print('[%d/%d][%d/%d] Loss_D: %.4f Loss_G: %.4f' % (epoch, opt.niter, i, 9, errD, errG))
"""

#: A fine-tune that logs a mapping of metrics.
FINE_TUNE = """
import argparse, logging
logger = logging.getLogger(__name__)
def parse_args():
    parser = argparse.ArgumentParser()
    parser.add_argument("--model_name_or_path", type=str, required=True)
    parser.add_argument("--learning_rate", type=float, default=5e-5)
    parser.add_argument("--weight_decay", type=float, default=0.0)
    parser.add_argument("--num_train_epochs", type=int, default=3)
    parser.add_argument("--output_dir", type=str, default=None)
    parser.add_argument("--seed", type=int, default=None)
    return parser.parse_args()
def main():
    args = parse_args()
    for epoch in range(args.num_train_epochs):
        eval_metric = metric.compute()
        logger.info(f"epoch {epoch}: {eval_metric}")
"""

CLICK = """
import click
@click.command()
@click.option("--learning-rate", default=0.1, help="rate")
@click.option("--n-epochs", "epochs", default=5)
@click.option("--amp/--no-amp", default=False)
@click.option("--verbose", is_flag=True)
@click.option("--wd", type=float)
def main(learning_rate, epochs, amp, verbose, wd):
    for epoch in range(epochs):
        click.echo(f"epoch {epoch} val_acc={accuracy:.3f} val_loss={loss:.3f}")
"""

TYPER = """
import typer
from typing import Annotated
app = typer.Typer()
@app.command()
def train(data: str, lr: float = 0.01, batch_size: Annotated[int, typer.Option()] = 32,
          max_epochs: int = typer.Option(20, "--epochs"), amp: bool = False):
    pass
"""

FIRE = """
import fire
def train(lr=0.1, num_epochs=7, momentum=0.9):
    for epoch in range(num_epochs):
        print("epoch", epoch, "valid_acc", acc)
fire.Fire(train)
"""

ABSL = """
from absl import flags
flags.DEFINE_float("learning_rate", 0.1, "rate")
flags.DEFINE_boolean("amp", False, "amp")
flags.DEFINE_integer("seed", 0, "seed")
"""

HYDRA = """
import hydra
@hydra.main(version_base=None, config_path="conf", config_name="config")
def main(cfg):
    for epoch in range(cfg.trainer.epochs):
        logging.info("epoch %d: validation loss %.4f", epoch, loss)
"""

ARGUMENT_CLASSES = """
from transformers import HfArgumentParser, TrainingArguments
parser = HfArgumentParser((ModelArguments, TrainingArguments))
"""
