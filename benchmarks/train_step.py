"""Times a training step of SESR-M5 ×2: collapsed forward against expanded, in one run.

    python benchmarks/train_step.py [--threads N] [--rounds N] [--json]

The two forms take turns on the same patches; times are CPU seconds of the process and medians, so
that other work on the machine changes neither the order nor much of the ratio.
"""

from __future__ import annotations

import argparse
import json
import statistics
import time

import torch
from torch.nn import functional as F

from edgevsr.nets.blocks import Form
from edgevsr.nets.registry import build, net_spec

FORMS: tuple[Form, Form] = ("collapsed", "expanded")
BATCH, PATCH = 16, 48


def step_seconds(form: Form, steps: int) -> float:
    """Return the CPU seconds of one forward, backward and Adam step."""
    torch.manual_seed(0)
    net = build(net_spec("sesr-m5", 2)).set_form(form)
    optimizer = torch.optim.Adam(net.parameters(), fused=True)
    lr, hr = torch.rand(BATCH, 1, PATCH, PATCH), torch.rand(BATCH, 1, 2 * PATCH, 2 * PATCH)

    def step() -> None:
        optimizer.zero_grad()
        F.l1_loss(net(lr), hr).backward()
        optimizer.step()

    step()
    start = time.process_time()
    for _ in range(steps):
        step()
    return (time.process_time() - start) / steps


def main() -> None:
    """Print both times and their ratio."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--json", action="store_true")
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    times: dict[str, list[float]] = {form: [] for form in FORMS}
    for _ in range(arguments.rounds):
        for form, steps in zip(FORMS, (10, 2), strict=True):
            times[form].append(step_seconds(form, steps))
    collapsed, expanded = (statistics.median(times[form]) * 1e3 for form in FORMS)
    result = {
        "patches": f"{BATCH} of {PATCH}x{PATCH}",
        "threads": arguments.threads,
        "collapsed_ms": round(collapsed, 1),
        "expanded_ms": round(expanded, 1),
        "ratio": round(expanded / collapsed, 1),
    }
    if arguments.json:
        print(json.dumps(result))
    else:
        print("\n".join(f"{key:14}{value}" for key, value in result.items()))


if __name__ == "__main__":
    main()
