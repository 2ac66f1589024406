"""The rms loss: every patch counts by the root of its own mean square."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from edgevsr.training.learner import Loss


def patches(*errors: float) -> Tensor:
    """Return patches (N, 1, 8, 8), each wrong by as much in its upper half alone."""
    sr = torch.zeros(len(errors), 1, 8, 8)
    for patch, error in zip(sr, errors, strict=True):
        patch[:, :4] = error
    return sr


def test_a_patch_counts_by_the_root_of_its_mean_square() -> None:
    sr = patches(0.1, 0.3)
    # Half of a patch wrong by e: the root of e² / 2.
    expected = (0.1 + 0.3) / 2 / 2**0.5
    assert Loss("rms")(sr, torch.zeros_like(sr)).item() == pytest.approx(expected, rel=1e-4)


def test_frames_of_clips_count_each_by_itself() -> None:
    sr = patches(0.1, 0.3, 0.2, 0.4)
    hr = torch.zeros_like(sr)
    clips = Loss("rms")(sr.view(2, 2, 1, 8, 8), hr.view(2, 2, 1, 8, 8))
    assert clips.item() == pytest.approx(Loss("rms")(sr, hr).item(), rel=1e-6)


def test_patches_of_large_and_small_errors_pull_alike() -> None:
    """Where L2 would have the first pull sixteen times as hard."""
    sr = patches(0.4, 0.1).requires_grad_()
    Loss("rms")(sr, torch.zeros_like(sr)).backward()  # type: ignore[no-untyped-call]
    assert sr.grad is not None
    large, small = sr.grad.flatten(1).norm(dim=1)
    assert float(large / small) == pytest.approx(1.0, abs=1e-3)


def test_a_perfect_patch_has_a_finite_gradient() -> None:
    sr = torch.zeros(2, 1, 8, 8, requires_grad=True)
    Loss("rms")(sr, torch.zeros(2, 1, 8, 8)).backward()  # type: ignore[no-untyped-call]
    assert sr.grad is not None
    assert torch.isfinite(sr.grad).all()
