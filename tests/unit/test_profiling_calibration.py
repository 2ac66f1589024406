"""Calibration: exact least squares, constants found again, honest leaving out, real phones."""

from __future__ import annotations

import csv
from dataclasses import replace
from functools import cache
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import nnls
from scipy.stats import spearmanr

from edgevsr.errors import BudgetError, DataError
from edgevsr.profiling.calibration import Calibration, Sample, fit_each, spearman
from edgevsr.profiling.calibration_record import parse_record
from edgevsr.profiling.cost_graph import cost_graph
from edgevsr.profiling.devices import load_device
from edgevsr.profiling.roofline import estimate
from tests.conftest import SHARED
from tests.latencies import SIZE, TRUTH, write_files

COLUMNS = {
    "dimensity-8100-nnapi": "nnapi_dimensity8100_ms",
    "dimensity-8100-neuron": "neuron_dimensity8100_ms",
}


@pytest.fixture(scope="module")
def samples(tmp_path_factory: pytest.TempPathFactory) -> list[Sample]:
    """Files of six networks at two scales, with what a known device would take."""
    folder = tmp_path_factory.mktemp("latencies")
    return [
        Sample(file, network, ms, cost_graph(folder / file), SIZE)
        for network, file, ms in write_files(folder)
    ]


@cache
def phone(device: str) -> Calibration:
    """The published latencies of real files on a real phone."""
    folder = SHARED / "data" / "latency"
    with (folder / "etds_table2.csv").open(encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    graphs = [cost_graph(folder / row["file"]) for row in rows]
    return Calibration(
        [
            Sample(row["file"], row["model"], float(row[COLUMNS[device]]), graph, SIZE)
            for row, graph in zip(rows, graphs, strict=True)
        ]
    )


@settings(deadline=None)
@given(st.integers(0, 10_000), st.integers(3, 12))
def test_the_fit_is_non_negative_least_squares(seed: int, files: int) -> None:
    """Every setting gets the constants and the loss that scipy's solver finds."""
    rng = np.random.default_rng(seed)
    features = rng.random((4, files, 3)) * 10.0 ** rng.integers(-3, 9, 3)
    target = rng.random(files) + 0.1
    constants, loss = fit_each(features, target)
    for row, (found, remains) in enumerate(zip(constants, loss, strict=True)):
        expected, norm = nnls(features[row] / target[:, None], np.ones(files))
        assert (found >= 0).all()
        assert remains == pytest.approx(norm**2, rel=1e-4, abs=1e-8)
        np.testing.assert_allclose(
            features[row] @ found, features[row] @ expected, rtol=1e-3, atol=1e-4
        )


@given(
    st.lists(st.tuples(st.integers(0, 9), st.integers(0, 9)), min_size=3, max_size=20).filter(
        lambda pairs: all(len({pair[side] for pair in pairs}) > 1 for side in (0, 1))
    )
)
def test_rank_correlation_is_scipys(pairs: list[tuple[int, int]]) -> None:
    """Equal values share their rank, as scipy has it."""
    first, second = zip(*pairs, strict=True)
    assert spearman(first, second) == pytest.approx(spearmanr(first, second)[0])


def test_a_known_device_is_found_again(samples: list[Sample]) -> None:
    """From latencies that the model itself gave, every constant comes back."""
    fitted = Calibration(samples).fit()
    structure = fitted.setting.structure
    assert fitted.ops_per_s == pytest.approx(TRUTH["peak_int8_tops"] * 1e12)
    assert fitted.elements_per_s == pytest.approx(TRUTH["elementwise_gops"] * 1e9)
    assert fitted.launch_ms == pytest.approx(TRUTH["launch_ms"])
    assert fitted.bytes_per_s is None
    assert structure.in_multiple == TRUTH["in_channel_multiple"]
    assert structure.out_multiple == TRUTH["out_channel_multiple"]
    assert structure.resident_bytes == TRUTH["resident_bytes"]
    assert not structure.deconvolution_per_hr_pixel


def test_a_network_left_out_is_not_seen(samples: list[Sample]) -> None:
    """Whatever was measured of a network, at any scale, its own prediction does not change."""
    before = Calibration(samples).leave_out().predicted_ms
    changed = [
        replace(sample, latency_ms=sample.latency_ms * 7) if sample.network == "wide" else sample
        for sample in samples
    ]
    after = Calibration(changed).leave_out().predicted_ms
    mine = [index for index, sample in enumerate(samples) if sample.network == "wide"]
    assert len(mine) == 2
    assert [after[index] for index in mine] == [before[index] for index in mine]
    assert after != before


def test_the_order_of_the_files_does_not_matter(samples: list[Sample]) -> None:
    """The fit is of the set."""
    forth, back = Calibration(samples).fit(), Calibration(samples[::-1]).fit()
    assert forth.setting == back.setting
    assert forth.ops_per_s == pytest.approx(back.ops_per_s)


def test_one_scale_leaves_what_stays_on_the_chip_in_the_middle(samples: list[Sample]) -> None:
    """Where all SR frames are of one size, nothing tells how much is spared of each."""
    alone = [sample for sample in samples if sample.graph.scale == 2]
    extra = [replace(sample, network=f"{sample.network} again") for sample in alone]
    assert Calibration([*alone, *extra]).fit().setting.structure.resident_bytes == 512 << 10


def test_too_few_and_mixed_files_are_refused(samples: list[Sample]) -> None:
    """Three constants and their settings need enough networks, of one number type."""
    with pytest.raises(DataError, match=r"4 measured files of 2 networks.* at least 8 files"):
        Calibration(samples[:4])
    floats = replace(samples[0], graph=replace(samples[0].graph, qparams={}))
    with pytest.raises(DataError, match="int8 and float"):
        Calibration([floats, *samples[1:]])


def test_latencies_that_do_not_depend_on_the_network_are_refused(samples: list[Sample]) -> None:
    """A column of something else has no rate in it."""
    constant = [replace(sample, latency_ms=10.0) for sample in samples]
    with pytest.raises(DataError, match="do not grow with the networks' operations"):
        Calibration(constant).fit()


@pytest.mark.shared
@pytest.mark.parametrize("device", COLUMNS)
def test_networks_left_out_are_predicted_on_a_real_phone(device: str) -> None:
    """Leaving out each network at both its scales, settings chosen without it: the project's bar
    is 12 % and rank 0.95; what is measured is 3.3 % and 3.5 %, so 5 % would be a loss."""
    calibration = phone(device)
    measured = [sample.latency_ms for sample in calibration.samples]
    predicted = calibration.leave_out().predicted_ms
    error = np.abs(np.array(predicted) / measured - 1)
    assert error.mean() <= 0.05
    assert spearman(predicted, measured) >= 0.95


@pytest.mark.shared
@pytest.mark.parametrize("device", COLUMNS)
def test_one_scale_predicts_the_other_on_a_real_phone(device: str) -> None:
    """Fitted on ×2 alone it predicts ×4 within 20 % in the mean, and the other way round."""
    across = phone(device).leave_out().cross_scale_mape
    assert across.keys() == {"2->4", "4->2"}
    assert max(across.values()) <= 0.20


@pytest.mark.shared
@pytest.mark.parametrize("device", COLUMNS)
def test_the_shipped_profile_is_this_fit(device: str) -> None:
    """The numbers in the profile are those that the data give, and its errors are those seen."""
    profile, calibration = load_device(device), phone(device)
    fitted, left_out = calibration.fit(), calibration.leave_out()
    assert profile.value("peak_int8_tops") == pytest.approx(fitted.ops_per_s / 1e12, rel=1e-5)
    assert profile.value("launch_ms") == pytest.approx(fitted.launch_ms, rel=1e-5)
    assert profile.value("resident_bytes") == fitted.setting.structure.resident_bytes
    measured = np.array([sample.latency_ms for sample in calibration.samples])
    error = np.abs(np.array(left_out.predicted_ms) / measured - 1)
    assert profile.calibration is not None
    assert profile.calibration.mape == pytest.approx(error.mean(), abs=1e-4)
    assert profile.calibration.p90_ape == pytest.approx(np.quantile(error, 0.9), abs=1e-4)
    assert profile.calibration.cross_scale_mape == pytest.approx(
        left_out.cross_scale_mape, abs=1e-4
    )
    for sample in calibration.samples:
        found = estimate(sample.graph, sample.size, profile)
        assert found.latency_ms == pytest.approx(sample.latency_ms, rel=0.10)
        assert found.latency_ms_low is not None
        assert found.latency_ms_high is not None
        assert found.latency_ms_low < found.latency_ms < found.latency_ms_high


RECORD = {
    "files": 21,
    "networks": 11,
    "sizes": ["640x360"],
    "mape": 0.03,
    "p90_ape": 0.08,
    "max_ape": 0.12,
    "spearman": 0.99,
    "cross_scale_mape": {"2->4": 0.1},
    "data_sha256": "00",
}


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"mape": -0.1}, "calibration.mape"),
        ({"mape": "3 %"}, "calibration.mape"),
        ({"p90_ape": float("nan")}, "calibration.p90_ape"),
        ({"files": 0}, "calibration.files"),
        ({"networks": True}, "calibration.networks"),
        ({"sizes": "640x360"}, "calibration.sizes"),
        ({"cross_scale_mape": {"2->4": "low"}}, "calibration.cross_scale_mape"),
        ({"spearman": "high"}, "calibration.spearman"),
        ({"mean": 1}, "is not a key of a calibration"),
    ],
)
def test_a_malformed_record_names_its_key(changes: dict[str, object], message: str) -> None:
    """One line that names the key."""
    with pytest.raises(BudgetError, match=message):
        parse_record({**RECORD, **changes}, "mine.toml")


def test_a_record_needs_every_key() -> None:
    """A missing one is named; no record at all is none."""
    assert parse_record(None, "x") is None
    assert parse_record(RECORD, "x") is not None
    for key in RECORD:
        with pytest.raises(BudgetError, match=rf"calibration\.{key}: is missing"):
            parse_record({k: v for k, v in RECORD.items() if k != key}, "x")
    with pytest.raises(BudgetError, match="expected a table"):
        parse_record(3, "x")


@pytest.mark.shared
def test_the_data_are_the_phones(shared: Path) -> None:
    """The shipped profiles say which table they were fitted to."""
    from edgevsr.files import sha256_of

    digest = sha256_of(shared / "data" / "latency" / "etds_table2.csv")
    for name in COLUMNS:
        record = load_device(name).calibration
        assert record is not None
        assert record.data_sha256 == digest
