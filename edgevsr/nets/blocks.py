"""The collapsible linear block: trained wide, the same function as one narrow convolution."""

from __future__ import annotations

import math
from functools import partial
from typing import Any, Literal

import torch
from torch import Tensor, nn
from torch.nn import functional as F

Form = Literal["collapsed", "expanded"]

#: What `FixedFilters` filters with: nothing, Sobel along x and along y, Laplace.
_FILTERS = (
    ((0.0, 0.0, 0.0), (0.0, 1.0, 0.0), (0.0, 0.0, 0.0)),
    ((1.0, 0.0, -1.0), (2.0, 0.0, -2.0), (1.0, 0.0, -1.0)),
    ((1.0, 2.0, 1.0), (0.0, 0.0, 0.0), (-1.0, -2.0, -1.0)),
    ((0.0, 1.0, 0.0), (1.0, -4.0, 1.0), (0.0, 1.0, 0.0)),
)


class CollapsibleConv(nn.Module):
    """A k×k convolution to `expansion` channels, then a 1×1 to `out_channels`, nothing between.

    Input and output are (N, C, H, W). With `residual` the input is added to the output, which
    collapses into the kernel's centre; with `filtered` what `FixedFilters` make of it is added too.
    Of several `groups` of channels each has its part of `expansion` to itself. `form` picks how
    `forward` computes: through the narrow kernel (gradients still reach the wide weights) or
    through all wide convolutions.

    Source: SESR, Bhardwaj et al., MLSys 2022, section 3.
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: int,
        expansion: int = 256,
        residual: bool = False,
        gain: float = 1.0 / 3.0,
        groups: int = 1,
        filtered: bool = False,
    ) -> None:
        super().__init__()
        if residual and in_channels != out_channels:
            raise ValueError("a short residual needs as many channels out as in")
        if filtered and (kernel_size != 3 or groups != 1):
            raise ValueError("the fixed filters are 3×3 over all channels, as the kernel must be")
        wide, padding = groups * max(expansion // groups, 1), kernel_size // 2
        self.expand = nn.Conv2d(in_channels, wide, kernel_size, padding=padding, groups=groups)
        self.project = nn.Conv2d(wide, out_channels, 1, groups=groups)
        _initialise(self.expand, self.project, in_channels * kernel_size**2 / groups, gain)
        self.filtered = FixedFilters(in_channels, out_channels) if filtered else None
        self.residual = residual
        self.form: Form = "collapsed"
        self._held: tuple[Tensor, Tensor] | None = None
        self.passing = 0

    def __setstate__(self, state: dict[str, Any]) -> None:
        """Restore a copy: tensors' hooks are not copied."""
        super().__setstate__(state)  # type: ignore[no-untyped-call]
        self._keep_passing()

    def pass_on(self, colours: int, copies: int) -> None:
        """Make the first outputs copies of the first `colours` inputs, now and through training.

        Each has a wide channel of its own; the other outputs start with no say in it and may learn
        one.
        """
        self.passing = passing = colours * copies
        with torch.no_grad():
            for value in (*self.expand.parameters(), *self.project.parameters()):
                value[:passing] = 0.0
            self.project.weight[:, :passing] = 0.0
            centre = self.expand.weight.shape[-1] // 2
            for channel in range(passing):
                self.expand.weight[channel, channel % colours, centre, centre] = 1.0
                self.project.weight[channel, channel] = 1.0
        self._keep_passing()

    def _keep_passing(self) -> None:
        if self.passing:
            for value in (*self.expand.parameters(), *self.project.parameters()):
                hold = partial(_without_first, count=self.passing)
                value.register_hook(hold)  # type: ignore[no-untyped-call]

    def hold(self) -> None:
        """Collapse now and use that until `release`: a recurrent net runs each block many times."""
        self._held = self._narrow()

    def release(self) -> None:
        """Collapse at every call again."""
        self._held = None

    def collapsed(self, exact: bool = False, identity: bool = True) -> tuple[Tensor, Tensor]:
        """Return the narrow kernel (O, I / groups, k, k) and bias (O): differentiable in the wide
        weights.

        The bias travels beside the kernel; sending it through as an impulse response would leak
        it into every tap. `exact` sums in float64 and rounds once, as the narrow graph is made;
        without `identity` the residual is left out.
        """
        dtype = torch.float64 if exact else self.project.weight.dtype
        wide = self.expand.weight.to(dtype)
        kernel = _projected(self.project, wide.flatten(1)).view(-1, *wide.shape[1:])
        if self.filtered is not None:
            kernel = kernel + self.filtered.kernel(dtype)
        if self.residual and identity:
            kernel = kernel + _centre_identity(kernel)
        bias = _narrow_bias(self.expand, self.project, dtype)
        return kernel.to(self.project.weight.dtype), bias

    def forward(self, x: Tensor) -> Tensor:
        """Return the block's output, the same in either form up to rounding."""
        if self.form == "collapsed":
            kernel, bias = self._held or self._narrow()
            padding, groups = kernel.shape[-1] // 2, self.expand.groups
            y: Tensor = F.conv2d(x, kernel, bias, padding=padding, groups=groups)
            return y + x if self.residual and _rounds_kernels() else y
        y = self.project(self.expand(x))
        if self.filtered is not None:
            y = y + self.filtered(x)
        return y + x if self.residual else y

    def _narrow(self) -> tuple[Tensor, Tensor]:
        """Return kernel and bias for a forward: in 16 bits the residual is added beside them,
        because a kernel near one would be rounded to steps of 1/128."""
        return self.collapsed(identity=not _rounds_kernels())


class FixedFilters(nn.Module):
    """Parallel branches, summed: 1×1 convolutions, each through one fixed 3×3 filter and scaled.

    One of the filters passes its input on, the others find edges. There is no bias within: the
    filters' zero padding would cut it off at borders, which no one kernel does. All scales start
    at zero, so that a net without these branches can go on as one with them.

    Source: the block of ECBSR, Zhang et al., ACM MM 2021.
    """

    filters: Tensor

    def __init__(self, in_channels: int, out_channels: int) -> None:
        super().__init__()
        self.register_buffer("filters", torch.tensor(_FILTERS))
        count = len(_FILTERS)
        self.mix = nn.Parameter(torch.randn(count, out_channels, in_channels) / in_channels**0.5)
        self.scale = nn.Parameter(torch.zeros(count, out_channels))

    def kernel(self, dtype: torch.dtype) -> Tensor:
        """Return the kernel (O, I, 3, 3) that all branches are."""
        mix = self.scale[..., None].to(dtype) * self.mix.to(dtype)
        taps = mix.flatten(1).T @ self.filters.flatten(1).to(dtype)
        return taps.view(*mix.shape[1:], *self.filters.shape[1:])

    def forward(self, x: Tensor) -> Tensor:
        """Return the sum of what each branch makes of (N, I, H, W), each computed by itself."""
        branches, channels = self.scale.shape
        mixed = F.conv2d(x, self.mix.flatten(0, 1)[..., None, None])
        taps = (self.scale[..., None, None] * self.filters[:, None]).flatten(0, 1)[:, None]
        found = F.conv2d(mixed, taps, padding=1, groups=branches * channels)
        return found.view(-1, branches, channels, *found.shape[2:]).sum(1)


class SeparableConv(nn.Module):
    """A depthwise k×k block, then a 1×1 block, each with a short residual: two narrow layers.

    With f channels they have k²·f + f² weights, where the one k×k convolution has k²·f².

    Source: MobileNets, Howard et al., 2017, with nothing between the two.
    """

    def __init__(self, channels: int, kernel_size: int, expansion: int = 256) -> None:
        super().__init__()
        self.depthwise = CollapsibleConv(
            channels, channels, kernel_size, expansion, residual=True, groups=channels
        )
        self.pointwise = CollapsibleConv(channels, channels, 1, expansion, residual=True)


class CollapsibleDeconv(nn.Module):
    """A transposed k×k convolution to `expansion` channels, then a 1×1 to `out_channels`.

    Input (N, C, H, W), output (N, O, H·stride, W·stride). The collapsed form runs as the equal
    sub-pixel convolution, which is several times faster than a transposed one.

    Source: FSRCNN, Dong et al., ECCV 2016; collapsed as in SESR.
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: int,
        stride: int,
        expansion: int = 256,
        gain: float = 1.0,
    ) -> None:
        super().__init__()
        self.stride = stride
        self.padding = kernel_size // 2
        self.expand = nn.ConvTranspose2d(
            in_channels,
            expansion,
            kernel_size,
            stride,
            padding=self.padding,
            output_padding=stride - 1,
        )
        self.project = nn.Conv2d(expansion, out_channels, 1)
        _initialise(self.expand, self.project, in_channels * kernel_size**2 / stride**2, gain)
        self.form: Form = "collapsed"

    def collapsed(self, exact: bool = False) -> tuple[Tensor, Tensor]:
        """Return the narrow transposed kernel (I, O, k, k) and bias (O), as CollapsibleConv."""
        dtype = torch.float64 if exact else self.project.weight.dtype
        project, wide = self.project.weight.flatten(1).to(dtype), self.expand.weight.to(dtype)
        kernel = torch.einsum("op,ipyx->ioyx", project, wide)
        bias = _narrow_bias(self.expand, self.project, dtype)
        return kernel.to(self.project.weight.dtype), bias

    def forward(self, x: Tensor) -> Tensor:
        """Return the upscaled features, the same in either form up to rounding."""
        if self.form == "expanded":
            y: Tensor = self.project(self.expand(x))
            return y
        kernel, bias = self.collapsed()
        narrow = subpixel_kernel(kernel, self.stride, self.padding)
        y = F.conv2d(x, narrow, padding=narrow.shape[-1] // 2)
        return F.pixel_shuffle(y, self.stride) + bias[:, None, None]


def subpixel_kernel(kernel: Tensor, stride: int, padding: int) -> Tensor:
    """Return the SAME convolution kernel (O·stride², I, k', k') whose pixel shuffle is the deconv.

    `kernel` is transposed, (I, O, k, k). Output pixel s·y + p gathers input y + t through tap
    p + padding − s·t; channels come in pixel-shuffle order, o·s² + py·s + px.
    """
    channels_in, channels_out, size, _ = kernel.shape
    reach = max((stride - 1 + padding) // stride, (size - 1 - padding) // stride)
    width = 2 * reach + 1
    before = stride * reach - padding
    padded_size = stride * width
    after = padded_size - before - size
    if before < 0 or after < 0:
        raise ValueError(f"deconvolution {size}/{stride} with padding {padding} is not supported")
    # Laid out so that reshaping to (width, stride) separates offset and phase.
    padded = F.pad(kernel, (before, after, before, after))
    split = padded.view(channels_in, channels_out, width, stride, width, stride)
    # tap index = phase + padding − s·t  ⇒  block index (reach − t) from the top, so t is flipped.
    split = split.flip(2, 4)
    out = split.permute(1, 3, 5, 0, 2, 4)
    return out.reshape(channels_out * stride * stride, channels_in, width, width)


def _without_first(gradient: Tensor, count: int) -> Tensor:
    gradient = gradient.clone()
    gradient[:count] = 0.0
    return gradient


def carry(block: CollapsibleDeconv, taps: Tensor, colours: int, copies: int) -> None:
    """Make the outputs start as the mean of the `copies` of a picture among the inputs.

    There are `colours` channels of each; `taps` (k, k) filter them. One wide channel carries each
    output, the others start with no say in it.
    """
    with torch.no_grad():
        for colour in range(colours):
            sources = [copy * colours + colour for copy in range(copies)]
            block.project.weight[colour] = 0.0
            block.project.weight[:, colour] = 0.0
            block.project.weight[colour, colour] = 1.0
            block.expand.weight[:, colour] = 0.0
            block.expand.weight[sources, colour] = taps / copies


def _rounds_kernels() -> bool:
    return torch.is_autocast_enabled("cpu") or torch.is_autocast_enabled("cuda")


def _centre_identity(kernel: Tensor) -> Tensor:
    identity = torch.zeros_like(kernel)
    channels = torch.arange(kernel.shape[0], device=kernel.device)
    identity[channels, channels % kernel.shape[1], kernel.shape[2] // 2, kernel.shape[3] // 2] = 1.0
    return identity


def _initialise(
    expand: nn.Conv2d | nn.ConvTranspose2d, project: nn.Conv2d, fan_in: float, gain: float
) -> None:
    """Draw weights whose collapsed kernel has standard deviation gain / sqrt(fan_in)."""
    # Both factors near one size: a lopsided pair makes Adam's steps in the kernel larger.
    nn.init.normal_(expand.weight, std=gain * math.sqrt(3.0 / fan_in))
    nn.init.normal_(project.weight, std=1.0 / math.sqrt(3.0 * project.weight[0].numel()))
    for conv in (expand, project):
        assert conv.bias is not None
        nn.init.zeros_(conv.bias)


def _narrow_bias(
    expand: nn.Conv2d | nn.ConvTranspose2d, project: nn.Conv2d, dtype: torch.dtype
) -> Tensor:
    bias, wide = project.bias, expand.bias
    assert bias is not None
    assert wide is not None
    narrow = bias.to(dtype) + _projected(project, wide.to(dtype)[:, None])[:, 0]
    return narrow.to(bias.dtype)


def _projected(project: nn.Conv2d, wide: Tensor) -> Tensor:
    """Return what a 1×1 convolution makes of the wide channels (p, n): (O, n), in their dtype."""
    factors, groups = project.weight.flatten(1).to(wide.dtype), project.groups
    if groups == 1:
        return factors @ wide
    parts = factors.view(groups, -1, factors.shape[1]) @ wide.view(groups, -1, wide.shape[1])
    return parts.flatten(0, 1)


class Slope(nn.Module):
    """A leaky rectifier with one learned slope for the whole layer."""

    def __init__(self, initial: float = 0.25) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.full((1,), initial))

    def forward(self, x: Tensor) -> Tensor:
        """Return x where positive, slope · x elsewhere."""
        return F.prelu(x, self.weight)


def activation(kind: str, channels: int) -> nn.Module:
    """Return the activation module of this kind for `channels` channels."""
    modules: dict[str, nn.Module] = {
        "prelu": nn.PReLU(channels),
        "leaky": Slope(),
        "relu": nn.ReLU(),
    }
    return modules[kind]
