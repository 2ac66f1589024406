"""Fits the cost model's few constants to measured latencies, and says how far to trust the fit.

Three rates are fitted by non-negative least squares on relative errors: seconds an operation of the
MAC array, seconds an element of the element-wise unit, and a launch. What is discrete (the channels
that the array pads to, what stays on the chip, from how few operations a byte a layer is held up by
memory) is tried out of `settings()`, and the setting of least error is taken. There is no term of
any one network. Whoever leaves a network out leaves out all its files, and every choice is made
again without them.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import combinations, product

import numpy as np
from numpy.typing import NDArray

from edgevsr.errors import DataError
from edgevsr.graph.ir import Graph
from edgevsr.profiling.counts import MAC_OPS, count_graph
from edgevsr.profiling.work import Structure, Work, layer_work, ride_along

Floats = NDArray[np.float64]

MIN_FILES, MIN_NETWORKS = 8, 4
#: A scale is fitted alone, and asked for another, when this many files have it.
MIN_FILES_A_SCALE = 6

_CHANNELS = (4, 8, 16, 32)
_RESIDENT_BYTES = (0, 256 << 10, 512 << 10, 1 << 20, 2 << 20)
#: Operations a byte below which the array waits for memory; 0: it never does.
_RIDGES = (0.0, 64.0, 128.0, 256.0, 512.0)
_TIE = 1 + 1e-6


@dataclass(frozen=True)
class Sample:
    """A file with the latency measured of it; `network` is the same at all its scales."""

    file: str
    network: str
    latency_ms: float
    graph: Graph
    size: tuple[int, int]


@dataclass(frozen=True)
class Setting:
    """The discrete part of a fit. `ridge` is in operations a byte, 0 where memory never limits."""

    structure: Structure
    ridge: float


@dataclass(frozen=True)
class Fitted:
    """A fitted device: a setting, and rates that are None where nothing measured needs them."""

    setting: Setting
    launch_ms: float
    ops_per_s: float
    elements_per_s: float | None

    @property
    def bytes_per_s(self) -> float | None:
        """The memory's rate, None where no layer waited for it."""
        return self.ops_per_s / self.setting.ridge if self.setting.ridge else None


@dataclass(frozen=True)
class LeftOut:
    """What fits predict of files they have not seen: ms in the order of the samples, each from a
    fit without its network; and the mean relative error from one scale to another."""

    predicted_ms: tuple[float, ...]
    cross_scale_mape: dict[str, float]


def settings() -> Iterator[Setting]:
    """Yield every setting that is tried, the plainer ones first."""
    for per_hr, ridge, resident, wide_in, wide_out in product(
        (False, True), _RIDGES, _RESIDENT_BYTES, _CHANNELS, _CHANNELS
    ):
        structure = Structure(
            in_multiple=wide_in,
            out_multiple=wide_out,
            resident_bytes=resident,
            deconvolution_per_hr_pixel=per_hr,
        )
        yield Setting(structure, ridge)


class Calibration:
    """Measured files ready to be fitted, in whole or in part.

    Raises:
        DataError: too few files or networks, or int8 and float files together.
    """

    def __init__(self, samples: Sequence[Sample]) -> None:
        networks = {sample.network for sample in samples}
        if len(samples) < MIN_FILES or len(networks) < MIN_NETWORKS:
            raise DataError(
                f"{len(samples)} measured files of {len(networks)} networks: a calibration needs "
                f"at least {MIN_FILES} files of {MIN_NETWORKS} networks"
            )
        if len({sample.graph.quantized for sample in samples}) > 1:
            raise DataError("int8 and float files together: calibrate each number type by itself")
        self.samples = tuple(samples)
        self._settings = tuple(settings())
        self._features = _features(self.samples, self._settings)
        self._ms = np.array([sample.latency_ms for sample in samples])

    def fit(self) -> Fitted:
        """Return the fit to every file.

        Raises:
            DataError: the files' latencies do not depend on their operations.
        """
        index, (per_operation, per_element, launch) = self._fit(np.ones(len(self._ms), bool))
        if per_operation <= 0:
            raise DataError(
                "the latencies do not grow with the networks' operations; are the files, the "
                "column and its unit (ms) the right ones?"
            )
        return Fitted(
            self._settings[index],
            float(launch),
            1e3 / float(per_operation),
            1e3 / float(per_element) if per_element > 0 else None,
        )

    def leave_out(self) -> LeftOut:
        """Return what fits predict of files they have not seen, settings chosen without them."""
        networks = np.array([sample.network for sample in self.samples])
        scales = np.array([sample.graph.scale for sample in self.samples])
        predicted = np.zeros(len(self._ms))
        for network in np.unique(networks):
            predicted[networks == network] = self._predict(networks != network, networks == network)
        enough = [int(s) for s in np.unique(scales) if (scales == s).sum() >= MIN_FILES_A_SCALE]
        across = {}
        for seen, asked in ((a, b) for a in enough for b in enough if a != b):
            found = self._predict(scales == seen, scales == asked)
            error = np.abs(found / self._ms[scales == asked] - 1)
            across[f"{seen}->{asked}"] = float(error.mean())
        return LeftOut(tuple(map(float, predicted)), across)

    def _fit(self, seen: NDArray[np.bool_]) -> tuple[int, Floats]:
        constants, loss = fit_each(self._features[:, seen], self._ms[seen])
        index = self._choose(np.flatnonzero(loss <= loss.min() * _TIE))
        return index, constants[index]

    def _choose(self, tied: NDArray[np.intp]) -> int:
        """Return one of the settings that fit equally well.

        Files of one scale cannot tell how much of a tensor stays on the chip: all their SR frames
        are of one size, and what is spared of each looks like a shorter launch. Neither end of
        what is possible is likelier, so the middle is taken; of the rest, the plainest.
        """
        resident = [self._settings[index].structure.resident_bytes for index in tied]
        middle = sorted(set(resident))[len(set(resident)) // 2]
        return next(int(i) for i, kept in zip(tied, resident, strict=True) if kept == middle)

    def _predict(self, seen: NDArray[np.bool_], asked: NDArray[np.bool_]) -> Floats:
        index, constants = self._fit(seen)
        found: Floats = self._features[index][asked] @ constants
        return found


def fit_each(features: Floats, target: Floats) -> tuple[Floats, Floats]:
    """Return, for each setting, the non-negative constants of least squared relative error.

    `features` is (settings, files, terms), `target` (files); the constants are (settings, terms),
    the loss (settings). With so few terms every set of non-zero ones is solved and the best
    feasible kept, which is exact.
    """
    relative = features / target[None, :, None]
    count, _, terms = features.shape
    # Terms of one size keep the normal equations well conditioned.
    size = np.sqrt((relative**2).sum(1)) + 1e-300
    relative = relative / size[:, None]
    gram = relative.transpose(0, 2, 1) @ relative
    moment = relative.sum(1)
    best, constants = np.full(count, np.inf), np.zeros((count, terms))
    for used in (c for k in range(1, terms + 1) for c in combinations(range(terms), k)):
        part = np.ix_(range(count), used, used)
        ridge = 1e-10 * np.eye(len(used))
        solved = np.zeros((count, terms))
        solved[:, used] = np.linalg.solve(gram[part] + ridge, moment[:, used, None])[..., 0]
        residual = (relative @ solved[..., None])[..., 0] - 1
        loss = np.where((solved < 0).any(1), np.inf, (residual**2).sum(1))
        better = loss < best * (1 - 1e-12)
        best[better], constants[better] = loss[better], solved[better]
    return constants / size, best


def spearman(first: Sequence[float], second: Sequence[float]) -> float:
    """Return Spearman's rank correlation; equal values share their mean rank."""
    a, b = (_ranks(np.asarray(values, float)) for values in (first, second))
    if a.std() == 0 or b.std() == 0:
        return 0.0
    return float(np.corrcoef(a, b)[0, 1])


def _ranks(values: Floats) -> Floats:
    ordered = np.sort(values)
    lower = np.searchsorted(ordered, values, "left")
    upper = np.searchsorted(ordered, values, "right")
    found: Floats = (lower + upper - 1) / 2
    return found


def _features(samples: Sequence[Sample], tried: Sequence[Setting]) -> Floats:
    """Return (settings, files, 3): operations, elements and one launch of each file."""
    layers = [count_graph(ride_along(sample.graph), sample.size).layers for sample in samples]
    nothing: frozenset[str] = frozenset()
    known: dict[Structure, list[list[tuple[bool, Work]]]] = {}
    found = np.ones((len(tried), len(samples), 3))
    for row, setting in enumerate(tried):
        if setting.structure not in known:
            known[setting.structure] = [
                [
                    (layer.node.op in MAC_OPS, layer_work(layer, setting.structure, nothing))
                    for layer in each
                ]
                for each in layers
            ]
        for column, work in enumerate(known[setting.structure]):
            found[row, column, 0] = sum(
                max(each.operations, setting.ridge * each.bytes) for array, each in work if array
            )
            found[row, column, 1] = sum(each.elements for array, each in work if not array)
    return found
