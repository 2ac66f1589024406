"""What the survey's systems are built of: residual trunks, pixel shuffle, padding to a pyramid."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F


def conv3x3(channels_in: int, channels_out: int, stride: int = 1) -> nn.Conv2d:
    """Return a 3×3 convolution that keeps the size, or halves it with stride 2."""
    return nn.Conv2d(channels_in, channels_out, 3, stride, 1)


def leaky(x: Tensor) -> Tensor:
    """Return the leaky rectifier of slope 0.1 that EDVR and its family use."""
    return F.leaky_relu(x, 0.1)


def upsample(x: Tensor, scale: int, mode: str = "bilinear") -> Tensor:
    """Return frames or features `scale` times larger, pixel centres aligned (not corners)."""
    return F.interpolate(x, scale_factor=scale, mode=mode, align_corners=False)


class ResidualBlock(nn.Module):
    """x + conv(relu(conv(x))), started at a tenth so that a deep trunk starts near identity.

    Source: EDSR, Lim et al., CVPRW 2017, figure 2c.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.conv1 = conv3x3(channels, channels)
        self.conv2 = conv3x3(channels, channels)
        start_small([self.conv1, self.conv2])

    def forward(self, x: Tensor) -> Tensor:
        """Return features of the same shape."""
        y: Tensor = self.conv2(F.relu(self.conv1(x)))
        return x + y


def start_small(convolutions: list[nn.Conv2d], factor: float = 0.1) -> None:
    """Draw Kaiming weights and shrink them by `factor`; biases start at zero."""
    for conv in convolutions:
        nn.init.kaiming_normal_(conv.weight)
        with torch.no_grad():
            conv.weight.mul_(factor)
        if conv.bias is not None:
            nn.init.zeros_(conv.bias)


def trunk(channels: int, blocks: int) -> nn.Sequential:
    """Return `blocks` residual blocks in a row."""
    return nn.Sequential(*(ResidualBlock(channels) for _ in range(blocks)))


class InputTrunk(nn.Module):
    """A convolution to `channels`, a leaky rectifier, then residual blocks."""

    def __init__(self, channels_in: int, channels: int, blocks: int) -> None:
        super().__init__()
        first = conv3x3(channels_in, channels)
        self.main = nn.Sequential(first, nn.LeakyReLU(0.1), trunk(channels, blocks))

    def forward(self, x: Tensor) -> Tensor:
        """Return (N, channels, H, W)."""
        y: Tensor = self.main(x)
        return y


class Upsampler4(nn.Module):
    """The ×4 tail of EDVR and BasicVSR: two pixel shuffles of 2, two convolutions at HR."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.upconv1 = conv3x3(channels, channels * 4)
        self.upconv2 = conv3x3(channels, 64 * 4)
        self.conv_hr = conv3x3(64, 64)
        self.conv_last = conv3x3(64, 3)

    def reconstruct(self, features: Tensor) -> Tensor:
        """Return the RGB residual (N, 3, 4H, 4W) of features (N, channels, H, W)."""
        x = leaky(F.pixel_shuffle(self.upconv1(features), 2))
        x = leaky(F.pixel_shuffle(self.upconv2(x), 2))
        y: Tensor = self.conv_last(leaky(self.conv_hr(x)))
        return y


def pad_to_multiple(clip: Tensor, multiple: int) -> Tensor:
    """Return a clip (N, T, C, H, W) whose sides a pyramid can divide.

    The bottom and right are mirrored, or repeat the border where the frame is too small to mirror.
    """
    n, t, c, height, width = clip.shape
    below, right = -height % multiple, -width % multiple
    if not below and not right:
        return clip
    mode = "reflect" if below < height and right < width else "replicate"
    padded = F.pad(clip.reshape(n * t, c, height, width), (0, right, 0, below), mode)
    return padded.view(n, t, c, height + below, width + right)
