"""An image goes in, one of twice the size comes out, with its alpha, orientation and profile."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image, ImageCms

from edgevsr import upscale
from edgevsr.errors import DataError, EdgeVsrError, SpecError
from tests.clips import noise


def picture(channels: int, size: tuple[int, int] = (37, 26)) -> np.ndarray:
    planes = [noise(0, c, size[1], size[0]) for c in range(channels)]
    return np.stack(planes, axis=2) if channels > 1 else planes[0]


def read(path: Path) -> np.ndarray:
    with Image.open(path) as image:
        return np.asarray(image)


@pytest.mark.parametrize("suffix", [".png", ".webp", ".bmp"])
def test_rgb_nets_give_their_pixels(tmp_path: Path, nets: dict[str, Path], suffix: str) -> None:
    """Lossless in and out, a nearest-neighbour net repeats every pixel exactly."""
    values = picture(3)
    source, out = tmp_path / f"in{suffix}", tmp_path / f"out{suffix}"
    Image.fromarray(values).save(source, **({"lossless": True} if suffix == ".webp" else {}))
    result = upscale(source, output=out, net=nets["rgb"])
    assert np.array_equal(read(out), values.repeat(2, 0).repeat(2, 1))
    assert (result.frames, result.dropped) == (1, ())


def test_y_nets_change_luma_alone(tmp_path: Path, nets: dict[str, Path]) -> None:
    """BT.601 luma is the net's, and Cb and Cr are those of bicubic; Pillow is the judge.

    Low contrast keeps every sum inside 0 to 255, where the relation is exact.
    """
    values = (100 + picture(3) // 8).astype(np.uint8)
    Image.fromarray(values).save(tmp_path / "in.png")
    upscale(tmp_path / "in.png", output=tmp_path / "out.png", net=nets["y"])
    got = read(tmp_path / "out.png").astype(float)
    weights = np.array([65.481, 128.553, 24.966]) / 255
    luma = (values @ weights).repeat(2, 0).repeat(2, 1)
    assert np.abs(got @ weights - luma).max() <= 0.5
    bicubic = np.asarray(Image.fromarray(values).resize((74, 52), Image.Resampling.BICUBIC))
    for first, second in ((0, 1), (2, 1)):
        difference = bicubic[..., first].astype(float) - bicubic[..., second]
        assert np.abs(got[..., first] - got[..., second] - difference).max() <= 2


@pytest.mark.parametrize("net", ["y", "rgb"])
def test_gray_stays_gray(tmp_path: Path, nets: dict[str, Path], net: str) -> None:
    """A gray image is written as gray, its values through the net."""
    values = picture(1)
    Image.fromarray(values).save(tmp_path / "in.png")
    upscale(tmp_path / "in.png", output=tmp_path / "out.png", net=nets[net])
    assert np.array_equal(read(tmp_path / "out.png"), values.repeat(2, 0).repeat(2, 1))


@pytest.mark.parametrize("mode", ["RGBA", "LA", "P"])
def test_alpha_is_bicubic(tmp_path: Path, nets: dict[str, Path], mode: str) -> None:
    """Alpha is resized, not lost, also where it is one colour of a palette."""
    if mode == "P":
        image = Image.fromarray(picture(3)).quantize(16)
        image.save(tmp_path / "in.png", transparency=3)
        alpha = np.where(np.asarray(image) == 3, 0, 255).astype(np.uint8)
    else:
        values = picture(len(mode))
        Image.fromarray(values, mode if mode == "LA" else None).save(tmp_path / "in.png")
        alpha = values[:, :, -1]
    upscale(tmp_path / "in.png", output=tmp_path / "out.png", net=nets["rgb"])
    with Image.open(tmp_path / "out.png") as out:
        assert out.mode == ("LA" if mode == "LA" else "RGBA")
        got = np.asarray(out.getchannel("A")).astype(int)
    wanted = np.asarray(Image.fromarray(alpha).resize((74, 52), Image.Resampling.BICUBIC))
    assert np.abs(got - wanted)[6:-6, 6:-6].max() <= 1


def test_orientation_profile_and_density_are_kept(tmp_path: Path, nets: dict[str, Path]) -> None:
    """A JPEG turned by EXIF stays turned by EXIF, and its colours keep their meaning."""
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    exif = Image.Exif()
    exif[0x0112] = 6  # orientation: turn by 90 degrees
    exif[0x010F] = "a camera"
    exif.get_ifd(0x8769).update({0xA002: 40, 0xA003: 24})
    Image.fromarray(picture(3, (40, 24))).save(
        tmp_path / "in.jpg", exif=exif, icc_profile=profile, dpi=(300, 300), quality=95
    )
    for suffix in (".jpg", ".png", ".webp"):
        upscale(tmp_path / "in.jpg", output=tmp_path / f"out{suffix}", net=nets["sesr"])
        with Image.open(tmp_path / f"out{suffix}") as out:
            assert out.size == (80, 48)
            kept = out.getexif()
            assert kept[0x0112] == 6
            assert kept[0x010F] == "a camera"
            assert dict(kept.get_ifd(0x8769)) == {0xA002: 80, 0xA003: 48}
            assert out.info["icc_profile"] == profile
            if suffix != ".webp":
                assert [round(float(v)) for v in out.info["dpi"]] == [300, 300]


def test_tiles_equal_the_whole(tmp_path: Path, nets: dict[str, Path]) -> None:
    """int8 in tiles is bit for bit the int8 of the whole image."""
    Image.fromarray(picture(3, (120, 90))).save(tmp_path / "in.png")
    for name, tile in (("whole", None), ("tiled", 32)):
        upscale(tmp_path / "in.png", output=tmp_path / f"{name}.png", net=nets["sesr"], tile=tile)
    assert np.array_equal(read(tmp_path / "whole.png"), read(tmp_path / "tiled.png"))


def write_bad(path: Path, kind: str) -> None:
    image = Image.fromarray(picture(3))
    if kind == "16-bit gray":
        Image.fromarray(np.zeros((8, 8), np.uint16)).save(path)
    elif kind == "16-bit rgb":
        path.write_bytes(png_of_16_bits())
    elif kind == "cmyk":
        image.convert("CMYK").save(path, "JPEG")
    elif kind == "animated":
        other = Image.fromarray(255 - picture(3))
        image.save(path, "WEBP", save_all=True, append_images=[other])
    elif kind == "empty":
        path.write_bytes(b"")
    elif kind == "text":
        path.write_text("not an image at all")
    elif kind == "truncated":
        image.save(path, "PNG")
        path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    elif kind == "gif":
        image.save(path, "GIF")


def png_of_16_bits() -> bytes:
    import struct
    import zlib

    def chunk(name: bytes, data: bytes) -> bytes:
        crc = zlib.crc32(name + data)
        return struct.pack(">I", len(data)) + name + data + struct.pack(">I", crc)

    rows = b"".join(b"\0" + bytes(8 * 6) for _ in range(8))
    header = struct.pack(">IIBBBBB", 8, 8, 16, 2, 0, 0, 0)
    body = chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + body


@pytest.mark.parametrize(
    ("kind", "name", "words"),
    [
        ("16-bit gray", "in.png", "more than 8 bits"),
        ("16-bit rgb", "in.png", "more than 8 bits"),
        ("cmyk", "in.jpg", "CMYK"),
        ("animated", "in.webp", "animated"),
        ("empty", "in.png", "not a PNG"),
        ("text", "in.jpg", "not a PNG"),
        ("truncated", "in.png", "cannot be read"),
        ("gif", "in.png", "not a PNG"),
        ("none", "in.png", "no such file"),
    ],
)
def test_bad_images_are_one_line(
    tmp_path: Path, nets: dict[str, Path], kind: str, name: str, words: str
) -> None:
    """Each names the file and what is wrong, and nothing is written."""
    write_bad(tmp_path / name, kind)
    with pytest.raises(DataError, match=words) as caught:
        upscale(tmp_path / name, output=tmp_path / "out.png", net=nets["y"])
    assert str(tmp_path / name) in str(caught.value)
    assert "\n" not in str(caught.value)
    assert not (tmp_path / "out.png").exists()


@pytest.mark.parametrize(
    ("output", "options", "words"),
    [
        ("out.mp4", {}, "an image goes to an image"),
        ("out.png", {"codec": "libx264"}, "--codec"),
        ("out.png", {"crf": 3}, "--crf"),
        ("out.png", {"threads": 0}, "--threads 0"),
        ("out.png", {"tile": -4}, "--tile -4"),
        ("out.jpg", {}, "no alpha"),
        ("in.png", {"force": True}, "the input itself"),
        ("there.png", {}, "--force"),
    ],
)
def test_wrong_use_is_one_line(
    tmp_path: Path, nets: dict[str, Path], output: str, options: dict[str, Any], words: str
) -> None:
    """Outputs and options that do not fit are refused before any work, and nothing changes."""
    Image.fromarray(picture(4)).save(tmp_path / "in.png")
    (tmp_path / "there.png").write_bytes(b"keep me")
    before = (tmp_path / "in.png").read_bytes()
    with pytest.raises(EdgeVsrError, match=words):
        upscale(tmp_path / "in.png", output=tmp_path / output, net=nets["y"], **options)
    assert (tmp_path / "in.png").read_bytes() == before
    assert (tmp_path / "there.png").read_bytes() == b"keep me"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["in.png", "there.png"]


def test_alpha_is_refused_before_the_net_runs(tmp_path: Path) -> None:
    """What the output cannot hold is said before the net is even opened."""
    Image.fromarray(picture(4)).save(tmp_path / "in.png")
    with pytest.raises(SpecError, match="no alpha"):
        upscale(tmp_path / "in.png", output=tmp_path / "out.jpg", net=tmp_path / "absent.onnx")
