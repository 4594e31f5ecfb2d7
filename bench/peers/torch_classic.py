"""The 2018 network at 64 px in PyTorch: time of a whole training step (two persons, L1, Adam).

torch_classic.py BATCH f32|bf16 ROUNDS [--compile]

Prints one JSON object: seconds of every round, the first two steps left out. `bf16` is autocast;
weights and Adam stay in 32 bits. `--compile` compiles networks and loss (torch.compile, needs a C++
compiler) before the clock starts. Layers are as in docs of `classic` in stockpot-model, but for the
padding of the stride-2 convolutions, which costs the same. Run it by `compare.py`.
"""
import json
import sys
import time

import torch
from torch import nn
from torch.nn import functional

batch, precision, rounds = int(sys.argv[1]), sys.argv[2], int(sys.argv[3])
compiled = "--compile" in sys.argv[4:]
torch.manual_seed(0)


def down(inputs, outputs):
    return nn.Sequential(nn.Conv2d(inputs, outputs, 5, 2, padding=2), nn.LeakyReLU(0.1))


def up(inputs, outputs):
    return nn.Sequential(
        nn.Conv2d(inputs, 4 * outputs, 3, padding=1), nn.LeakyReLU(0.1), nn.PixelShuffle(2)
    )


class Encoder(nn.Module):
    def __init__(self):
        super().__init__()
        self.downs = nn.Sequential(down(3, 128), down(128, 256), down(256, 512), down(512, 1024))
        self.code = nn.Linear(16384, 1024)
        self.wide = nn.Linear(1024, 16384)
        self.up = up(1024, 512)

    def forward(self, x):
        x = self.wide(self.code(self.downs(x).flatten(1)))
        return self.up(x.view(-1, 1024, 4, 4))


def decoder():
    return nn.Sequential(
        up(512, 256), up(256, 128), up(128, 64), nn.Conv2d(64, 3, 5, padding=2), nn.Sigmoid()
    )


encoder, decoders = Encoder(), [decoder(), decoder()]
optimisers = [
    torch.optim.Adam(
        [*encoder.parameters(), *d.parameters()], lr=5e-5, betas=(0.5, 0.999), fused=True
    )
    for d in decoders
]
faces = torch.rand(batch, 3, 64, 64)
wanted = torch.rand(batch, 3, 64, 64)


def distance(decoder):
    with torch.autocast("cpu", torch.bfloat16, enabled=precision == "bf16"):
        drawn = decoder(encoder(faces))
    return functional.l1_loss(drawn.float(), wanted)


if compiled:
    distance = torch.compile(distance)


def step():
    for d, optimiser in zip(decoders, optimisers):
        loss = distance(d)
        optimiser.zero_grad(set_to_none=True)
        loss.backward()
        optimiser.step()


for _ in range(2):
    step()
secs = []
for _ in range(rounds):
    begun = time.perf_counter()
    step()
    secs.append(time.perf_counter() - begun)
how = " compiled" if compiled else ""
version = f"PyTorch {torch.__version__}{how}, {torch.get_num_threads()} threads"
print(json.dumps({"what": version, "secs": secs}))
