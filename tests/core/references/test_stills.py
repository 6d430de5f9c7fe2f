"""Picture files of every kind that a restorer has, and what is said of those that cannot serve."""

from __future__ import annotations

import io
import struct
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image, ImageCms

from colorize_core.engines.contract import ColourStill
from colorize_core.errors import ReferenceUnusable
from colorize_core.media.color import srgb_to_lab
from colorize_core.references.stills import (
    ReferenceSpec,
    as_png,
    as_stored_picture,
    is_png_named,
    keep_still,
    list_references,
    load_still,
    parse_reference,
    still_of,
)


def picture() -> np.ndarray:
    """Red above left, blue below right, with a slope over both: uint8 [40, 60, 3]."""
    rgb = np.full((40, 60, 3), 60, np.uint8)
    rgb[:20, :30] = (200, 40, 40)
    rgb[20:, 30:] = (40, 60, 190)
    rgb[..., 1] += np.arange(60, dtype=np.uint8)
    return rgb


def lab_of(rgb: np.ndarray) -> np.ndarray:
    return srgb_to_lab(rgb.astype(np.float32) / np.float32(255))


@pytest.mark.parametrize(
    ("name", "options", "tolerance"),
    [
        ("still.png", {}, 0.0),
        ("still.tif", {}, 0.0),
        ("still.webp", {"lossless": True}, 0.0),
        ("still.jpg", {"quality": 95, "subsampling": 0}, 4.0),
    ],
)
def test_every_format_gives_the_same_colours(
    tmp_path: Path, name: str, options: dict[str, Any], tolerance: float
) -> None:
    Image.fromarray(picture()).save(tmp_path / name, **options)
    still = load_still(str(tmp_path / name))
    assert still.lab.dtype == np.float32
    assert still.lab.shape == (40, 60, 3)
    assert still.frame is None
    assert np.abs(still.lab - lab_of(picture())).mean() <= tolerance


def test_the_digest_names_the_pixels(tmp_path: Path) -> None:
    for name in ("one.png", "two.tif"):
        Image.fromarray(picture()).save(tmp_path / name)
    Image.fromarray(picture()[::-1].copy()).save(tmp_path / "other.png")
    one, two, other = (load_still(str(tmp_path / n)) for n in ("one.png", "two.tif", "other.png"))
    assert one.digest == two.digest != other.digest


def test_a_still_survives_being_stored(tmp_path: Path) -> None:
    Image.fromarray(picture()).save(tmp_path / "still.png")
    still = load_still(str(tmp_path / "still.png"))
    (tmp_path / "stored.png").write_bytes(as_png(still))
    again = load_still(str(tmp_path / "stored.png"))
    assert again.digest == still.digest
    assert np.array_equal(again.lab, still.lab)


def test_every_level_survives_being_stored(tmp_path: Path) -> None:
    levels = np.stack(np.meshgrid(np.arange(256), np.arange(256)), axis=2).astype(np.uint8)
    rgb = np.concatenate([levels, 255 - levels[..., :1]], axis=2)
    still = ColourStill("any", lab_of(rgb))
    assert np.array_equal(np.asarray(Image.open(io.BytesIO(as_png(still)))), rgb)


def test_a_still_is_kept_as_it_is(tmp_path: Path) -> None:
    still, uri = still_of(picture()), str(tmp_path / "kept.png")
    assert keep_still(still, uri) == "missing"
    assert load_still(uri).digest == still.digest
    inode = Path(uri).stat().st_ino
    assert keep_still(still, uri) == ""
    assert Path(uri).stat().st_ino == inode
    for other in (b"", as_png(still)[:-1], as_png(still_of(picture()[::-1].copy()))):
        Path(uri).write_bytes(other)
        assert keep_still(still, uri) == "damaged"
        assert load_still(uri).digest == still.digest


def test_every_flipped_bit_of_a_stored_still_is_seen() -> None:
    data = as_png(still_of(picture()[:6, :8]), "name")
    assert is_png_named(data, "name") and not is_png_named(data, "nam")
    for bit in range(8 * len(data)):
        spoilt = bytearray(data)
        spoilt[bit // 8] ^= 1 << bit % 8
        assert not is_png_named(bytes(spoilt), "name")
    for wrong in (*(data[:end] for end in range(len(data))), data + b"x", data + data[-12:]):
        assert not is_png_named(wrong, "name")


def test_exif_orientation_is_applied(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6  # shown after a quarter turn clockwise
    Image.fromarray(np.rot90(picture()).copy()).save(tmp_path / "still.png", exif=exif)
    still = load_still(str(tmp_path / "still.png"))
    assert np.array_equal(still.lab, lab_of(picture()))


def test_an_embedded_profile_is_applied(tmp_path: Path) -> None:
    """A profile with red and blue exchanged: what it calls red is shown blue."""
    profile = bytearray(ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes())
    red, blue = profile.index(b"rXYZ"), profile.index(b"bXYZ")
    profile[red : red + 4], profile[blue : blue + 4] = b"bXYZ", b"rXYZ"
    profile[84:100] = bytes(16)  # the profile's own digest, "not calculated"
    Image.fromarray(picture()).save(tmp_path / "still.png", icc_profile=bytes(profile))
    still = load_still(str(tmp_path / "still.png"))
    assert np.abs(still.lab - lab_of(picture()[..., ::-1])).mean() < 1


def test_transparent_parts_lie_over_white(tmp_path: Path) -> None:
    alpha = np.full((40, 60, 1), 255, np.uint8)
    alpha[:10] = 0
    Image.fromarray(np.concatenate([picture(), alpha], axis=2)).save(tmp_path / "still.png")
    lab = load_still(str(tmp_path / "still.png")).lab
    assert np.allclose(lab[:10], (100, 0, 0), atol=0.05)
    assert np.array_equal(lab[10:], lab_of(picture())[10:])


def test_palette_and_cmyk_pictures_are_read(tmp_path: Path) -> None:
    image = Image.fromarray(picture())
    image.quantize(64).save(tmp_path / "palette.png")
    image.convert("CMYK").save(tmp_path / "inks.tif")
    for name in ("palette.png", "inks.tif"):
        assert load_still(str(tmp_path / name)).lab.shape == (40, 60, 3)


def test_sixteen_bits_are_read(tmp_path: Path) -> None:
    wide = picture().astype(">u2") * 257

    def chunk(kind: bytes, data: bytes) -> bytes:
        return (
            struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
        )

    rows = b"".join(b"\0" + row.tobytes() for row in wide)
    header = struct.pack(">IIBBBBB", 60, 40, 16, 2, 0, 0, 0)
    (tmp_path / "still.png").write_bytes(
        b"\x89PNG\r\n\x1a\n"
        + chunk(b"IHDR", header)
        + chunk(b"IDAT", zlib.compress(rows))
        + chunk(b"IEND", b"")
    )
    assert np.array_equal(load_still(str(tmp_path / "still.png")).lab, lab_of(picture()))


def test_a_huge_still_is_reduced(tmp_path: Path) -> None:
    Image.fromarray(picture()).resize((4096, 2731)).save(tmp_path / "still.jpg")
    assert load_still(str(tmp_path / "still.jpg")).lab.shape == (1366, 2048, 3)


def unusable(path: Path) -> ReferenceUnusable:
    with pytest.raises(ReferenceUnusable) as caught:
        load_still(str(path))
    assert path.name in caught.value.what
    assert caught.value.remedy
    return caught.value


def test_what_cannot_serve_is_refused(tmp_path: Path) -> None:
    assert "no colour still" in unusable(tmp_path / "missing.png").what
    (tmp_path / "text.png").write_text("not a picture")
    assert "not a picture" in unusable(tmp_path / "text.png").what
    (tmp_path / "empty.jpg").write_bytes(b"")
    assert "not a picture" in unusable(tmp_path / "empty.jpg").what
    noise = np.random.default_rng(0).integers(0, 256, (64, 64, 3), np.uint8)
    buffer = io.BytesIO()
    Image.fromarray(noise).save(buffer, "PNG")
    (tmp_path / "cut.png").write_bytes(buffer.getvalue()[:5000])
    assert "not a picture" in unusable(tmp_path / "cut.png").what
    Image.fromarray(picture()).save(tmp_path / "profile.png", icc_profile=b"no profile")
    assert "profile" in unusable(tmp_path / "profile.png").what


def test_a_picture_without_colour_is_refused(tmp_path: Path) -> None:
    grey = Image.fromarray(picture()).convert("L")
    grey.save(tmp_path / "grey.png")
    grey.convert("RGB").save(tmp_path / "grey.jpg", quality=60)
    Image.fromarray(picture()[..., 0].astype(np.uint16) * 257).save(tmp_path / "wide.png")
    for name in ("grey.png", "grey.jpg", "wide.png"):
        assert "no colour" in unusable(tmp_path / name).what


def test_a_decompression_bomb_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    Image.fromarray(picture()).save(tmp_path / "still.png")
    for limit in (2000, 1000):  # Pillow warns above its limit and refuses above twice of it
        monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", limit)
        assert f"{limit:,} pixels" in unusable(tmp_path / "still.png").what


@pytest.mark.parametrize("rotation", [0, 90, 180, -90])
def test_a_still_is_laid_as_the_stored_picture(rotation: int) -> None:
    stored = np.arange(2 * 3 * 3, dtype=np.float32).reshape(2, 3, 3)
    shown = np.rot90(stored, k=rotation // 90)
    laid = as_stored_picture(ColourStill("digest", shown, 7), rotation)
    assert np.array_equal(laid.lab, stored)
    assert (laid.digest, laid.frame) == ("digest", 7)


@pytest.mark.parametrize(
    ("text", "uri", "moment"),
    [
        ("still.png", "still.png", None),
        ("still.png@f250", "still.png", "f250"),
        ("still.png@12.5", "still.png", "12.5"),
        ("still.png@00:01:05:12", "still.png", "00:01:05:12"),
        ("me@home/still.png", "me@home/still.png", None),
        ("me@home/still.png@f3", "me@home/still.png", "f3"),
        ("s3://who@bucket/still.png", "s3://who@bucket/still.png", None),
        ("s3://bucket/still@f9.png", "s3://bucket/still@f9.png", "f9"),
        ("still@f250.png", "still@f250.png", "f250"),
        ("still@f250.png@f3", "still@f250.png", "f3"),
        ("logo@2x.png", "logo@2x.png", None),
    ],
)
def test_references_as_they_are_written(text: str, uri: str, moment: str | None) -> None:
    spec = parse_reference(text)
    assert spec == ReferenceSpec(uri, moment)
    assert parse_reference(str(spec)) == spec


def test_a_moment_without_a_picture_is_refused() -> None:
    with pytest.raises(ReferenceUnusable):
        parse_reference("@f250")


def test_a_folder_lists_its_pictures_in_natural_order(tmp_path: Path) -> None:
    for name in ("b10.png", "b2.JPG", "a@f40.tif", "notes.txt", ".hidden.png"):
        (tmp_path / name).write_bytes(b"")
    (tmp_path / "folder.png").mkdir()
    found = list_references(str(tmp_path))
    assert [(Path(each.uri).name, each.moment) for each in found] == [
        ("a@f40.tif", "f40"),
        ("b2.JPG", None),
        ("b10.png", None),
    ]


def test_a_folder_without_pictures_is_refused(tmp_path: Path) -> None:
    for folder in (tmp_path, tmp_path / "missing"):
        with pytest.raises(ReferenceUnusable):
            list_references(str(folder))
