"""The whole road on what the package ships; `make demo` runs it.

    python -m edgevsr.road [FOLDER]

It starts from the shipped wide network and writes every file on the way, a side-by-side picture and
the upscaled sample clip. Any step that fails, or a proof that does not hold, ends it.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import edgevsr
from edgevsr.errors import GateMissedError
from edgevsr.files import atomic_path, write_json

WIDE = "sesr-m5-x2-wide"
NAME = "sesr-m5-x2"
DEVICE, DEVICE_SIZE, DEVICE_FPS = "ethos-n78-4tops", (1920, 1080), 30.0
HOST_SIZE = (640, 360)
CREDIT = "Big Buck Bunny, (c) Blender Foundation, CC-BY 3.0"

_HR_FRAMES = 8  # of the sample clip, evenly spread, as HR for evaluate
_STEP_COLUMN = 25


@dataclass
class Road:
    """The steps in order, each a method that returns its figure; `folder` takes what they write."""

    folder: Path
    seconds: dict[str, float] = field(default_factory=dict)
    images: list[dict[str, Any]] = field(default_factory=list)

    def walk(self) -> int:
        """Run every step, a line for each as it is done, and return 0.

        Raises:
            EdgeVsrError: a step failed or a proof did not hold; later steps do not run.
        """
        self.folder.mkdir(parents=True, exist_ok=True)
        print(f"{'step':<{_STEP_COLUMN}}{'seconds':>7}   figure")
        print("─" * 122)
        for name, step in self._steps():
            start = time.perf_counter()
            figure = step()
            self.seconds[name] = time.perf_counter() - start
            print(f"{name:<{_STEP_COLUMN}}{self.seconds[name]:>7.1f}   {figure}", flush=True)
        print("─" * 122)
        print(f"{'all':<{_STEP_COLUMN}}{sum(self.seconds.values()):>7.1f}   {self.folder}/")
        return 0

    def _steps(self) -> Iterator[tuple[str, Callable[[], str]]]:
        yield "collapse", self.collapse
        yield "quantize", self.quantize
        yield "export tflite", self.export_tflite
        yield "export onnx", self.export_onnx
        yield "verify tflite", lambda: self.verify("tflite")
        yield "verify onnx", lambda: self.verify("onnx")
        yield "evaluate", self.evaluate
        yield f"profile {DEVICE}", self.profile_device
        yield "profile host", self.profile_host
        yield "upscale clip", self.upscale
        yield "picture", self.picture

    def file(self, name: str) -> Path:
        """Return a path in the road's folder."""
        return self.folder / name

    @property
    def tflite(self) -> Path:
        """The artifact that the later steps look at."""
        return self.file(f"{NAME}-w8a8-tflite.tflite")

    @property
    def onnx(self) -> Path:
        """The same network for onnxruntime."""
        return self.file(f"{NAME}-w8a8-onnx.onnx")

    def collapse(self) -> str:
        """Wide to narrow, with the measured proof."""
        result = edgevsr.collapse(WIDE, output=self.file(f"{NAME}.onnx"), force=True)
        return (
            f"{result.params_wide:,} weights → {result.params_narrow:,}, "
            f"max abs error {result.max_abs_err:.1e}"
        )

    def quantize(self) -> str:
        """Narrow to int8, calibrated on the shipped frames."""
        from edgevsr.zoo import calibration_frames

        result = edgevsr.quantize(
            self.file(f"{NAME}.onnx"),
            calib=calibration_frames(),
            data=self._hr_frames(),
            output=self.file(f"{NAME}-w8a8.onnx"),
            force=True,
        )
        return (
            f"PSNR-Y {result.psnr_y_db_float:.2f} dB float, {result.psnr_y_db_int8:.2f} int8: "
            f"drop {result.psnr_drop_db:.2f} dB"
        )

    def export_tflite(self) -> str:
        """int8 graph to .tflite and its card."""
        return self._export("tflite", self.tflite)

    def export_onnx(self) -> str:
        """int8 graph to QDQ .onnx and its card."""
        return self._export("onnx", self.onnx)

    def _export(self, target: str, output: Path) -> str:
        source = self.file(f"{NAME}-w8a8.onnx")
        result = edgevsr.export(
            source, target=target, size=HOST_SIZE, output=output, force=True
        ).to_json()
        ops = ", ".join(f"{count} {op}" for op, count in result["ops"].items())
        return f"{result['bytes'] / 1000:.1f} kB: {ops}"

    def verify(self, target: str) -> str:
        """The artifact against the integer reference of its source."""
        file = self.tflite if target == "tflite" else self.onnx
        result = edgevsr.verify(file, against=self.file(f"{NAME}-w8a8.onnx")).to_json()
        write_json(self.file(f"verify-{target}.json"), result, force=True)
        if not result["passed"]:
            raise GateMissedError(f"{file}: does not compute what its source computes: {result}")
        known = {
            "LSB off the reference kernels": result["max_lsb_reference"],
            "LSB in the runtime": result["max_lsb_runtime"],
        }
        figures = [f"{value} {name}" for name, value in known.items() if value is not None]
        if result["psnr_reference_db"] is not None:
            figures.append(f"{result['psnr_reference_db']:.1f} dB against the reference")
        return f"passed: {', '.join(figures)}"

    def evaluate(self) -> str:
        """Quality of the artifact, with the sample clip's own frames as HR."""
        result = edgevsr.evaluate(self.tflite, data=self._hr_frames()).to_json()
        write_json(self.file("evaluate.json"), result, force=True)
        self.images = result["images"]
        bicubic = [image["bicubic_psnr_y_db"] for image in self.images]
        return (
            f"{result['psnr_y_db']:.2f} dB, SSIM {result['ssim_y']:.4f}; bicubic "
            f"{sum(bicubic) / len(bicubic):.2f} dB ({len(bicubic)} frames of the clip as HR)"
        )

    def profile_device(self) -> str:
        """What the budget of a named NPU says."""
        width, height = DEVICE_SIZE
        result = self._profile("profile-device", size=DEVICE_SIZE, device=DEVICE, fps=DEVICE_FPS)
        met = "met" if result["met"] else "missed"
        return (
            f"estimated {result['latency_ms']:.1f} ms, {result['fps']:.0f} FPS from "
            f"{width}×{height}, {result['bound_by']} bound; {DEVICE_FPS:g} FPS {met}"
        )

    def profile_host(self) -> str:
        """What it costs on this machine."""
        result = self._profile("profile-host", size=HOST_SIZE, on="host")
        return (
            f"measured {result['latency_ms']:.1f} ms p50, {result['latency_ms_p90']:.1f} p90: "
            f"{result['fps']:.0f} FPS from {HOST_SIZE[0]}×{HOST_SIZE[1]}, "
            f"{result['runtime']}, {result['threads']} threads"
        )

    def _profile(self, name: str, **options: Any) -> dict[str, Any]:
        result = edgevsr.profile(self.tflite, **options).to_json()
        write_json(self.file(f"{name}.json"), result, force=True)
        return result

    def upscale(self) -> str:
        """The sample clip through the artifact."""
        from edgevsr.zoo import sample_clip

        output = self.file("sample-x2.mp4")
        result = edgevsr.upscale(
            sample_clip(), output=output, net=self.tflite, force=True
        ).to_json()
        return f"{output.name}: {result['frames']} frames, {result['fps']:.1f} FPS with the codec"

    def picture(self) -> str:
        """Bicubic, SR and the original side by side, on one of the frames just evaluated."""
        from PIL import Image

        from edgevsr.data.degrade import crop_to_multiple, degrade, imresize, round_u8
        from edgevsr.data.images import read_rgb
        from edgevsr.picture import Panel, side_by_side

        image = self.images[len(self.images) // 2]
        bicubic_db, sr_db = image["bicubic_psnr_y_db"], image["psnr_y_db"]
        hr = crop_to_multiple(read_rgb(self.file("hr") / image["name"]), 2)
        lr = degrade(hr, 2)
        lr_file, sr_file = self.file("frame-lr.png"), self.file("frame-sr.png")
        Image.fromarray(lr).save(lr_file)
        edgevsr.upscale(lr_file, output=sr_file, net=self.tflite, force=True)
        height, width = lr.shape[:2]
        canvas = side_by_side(
            f"{NAME}, int8 .tflite",
            f"{width}x{height} to {2 * width}x{2 * height}. {CREDIT}. "
            "Crops: where bicubic errs most, every pixel shown as 4x4.",
            Panel(f"bicubic   {bicubic_db:.2f} dB", round_u8(imresize(lr, 2.0))),
            Panel(f"edgevsr   {sr_db:.2f} dB", read_rgb(sr_file)),
            Panel("original", hr),
        )
        with atomic_path(self.file("comparison.png"), force=True) as temporary:
            canvas.save(temporary, "PNG", optimize=True)
        return f"comparison.png: {sr_db:.2f} dB against {bicubic_db:.2f} on this frame"

    def _hr_frames(self) -> Path:
        """Return a folder of evenly spread frames of the sample clip, written once."""
        from PIL import Image

        from edgevsr.data.clips import read_frames
        from edgevsr.zoo import sample_clip

        folder = self.file("hr")
        if not folder.is_dir():
            frames = list(read_frames(sample_clip()))
            folder.mkdir()
            for index in range(_HR_FRAMES):
                at = index * len(frames) // _HR_FRAMES
                Image.fromarray(frames[at]).save(folder / f"{at:04}.png")
        return folder


def main() -> int:
    """Walk the road and return the exit code."""
    from edgevsr.cli import guarded

    parser = argparse.ArgumentParser(prog="python -m edgevsr.road", description=__doc__)
    parser.add_argument("folder", nargs="?", type=Path, default=Path("demo"))
    folder = parser.parse_args().folder
    return guarded(Road(folder).walk)


if __name__ == "__main__":
    sys.exit(main())
