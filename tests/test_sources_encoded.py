"""Files that decoders refuse or trust too much: flawed metadata, bombs, rare kinds."""

import io
import os
import struct
import zlib
from pathlib import Path

import numpy as np
import pillow_heif
import pytest
from PIL import Image, ImageFile, features

from jaxreg.sources import encoded as encoded_module
from jaxreg.sources import open_source, pixels
from jaxreg.sources.kinds import is_image, kind_of
from tiffs import tiff

PHOTO = np.random.default_rng(0).integers(0, 256, (40, 60, 3), dtype=np.uint8)


def encoded(kind: str, picture: np.ndarray = PHOTO, **options: object) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(picture).save(buffer, kind, **options)
    return buffer.getvalue()


JPEG, PNG = encoded("JPEG"), encoded("PNG")
TURNED = struct.pack("<HHIHH", 0x112, 3, 1, 6, 0)  # EXIF 2.32: orientation 6, a quarter turn


def ifd(*entries: bytes) -> bytes:
    return b"II*\0\x08\0\0\0" + struct.pack("<H", len(entries)) + b"".join(entries) + bytes(4)


def segment(marker: int, data: bytes) -> bytes:
    return JPEG[:2] + struct.pack(">BBH", 0xFF, marker, len(data) + 2) + data + JPEG[2:]


def chunk(kind: bytes, data: bytes, crc: int | None = None) -> bytes:
    crc = zlib.crc32(kind + data) if crc is None else crc
    return PNG[:33] + struct.pack(">I", len(data)) + kind + data + struct.pack(">I", crc) + PNG[33:]


@pytest.mark.parametrize(
    "entry",
    [
        struct.pack("<HHI", 0x11A, 2, 4) + b"72\0\0",  # a resolution as text
        struct.pack("<HHI", 0x100, 2, 4) + b"60\0\0",
        struct.pack("<HHIi", 0x213, 8, 1, -5),  # out of range
        struct.pack("<HHII", 0x8769, 4, 1, 10**9),  # points outside of the file
        struct.pack("<HHII", 0x11A, 5, 1, 10**9),
    ],
)
def test_a_flawed_exif_costs_neither_the_pixels_nor_the_orientation(
    entry: bytes, recwarn: pytest.WarningsRecorder
) -> None:
    upright = np.rot90(pixels.decode(JPEG), -1)
    entries = sorted((TURNED, entry))  # by their tags, as in all files
    content = segment(0xE1, b"Exif\0\0" + ifd(*entries))
    np.testing.assert_array_equal(pixels.decode(content), upright)
    png = chunk(b"eXIf", ifd(*entries))
    np.testing.assert_array_equal(pixels.decode(png), np.rot90(PHOTO, -1))
    webp = encoded("WEBP", lossless=True, exif=ifd(*entries))
    np.testing.assert_array_equal(pixels.decode(webp), np.rot90(PHOTO, -1))
    assert not recwarn.list  # Pillow's warnings are for nobody


@pytest.mark.parametrize(
    "content",
    [
        chunk(b"eXIf", b"\0\x08\0\x02\x01\x12\0\x03"),
        chunk(b"tEXt", b"Raw profile type exif\0\nexif\n 4\n45zz\n"),
        chunk(b"zTXt", b"c\0\0" + zlib.compress(b"x" * 3_000_000)),
        chunk(b"iTXt", b"c\0\1\0\0\0" + zlib.compress(b"x" * 3_000_000)),
        chunk(b"tEXt", b"a\0b", crc=1),
        chunk(b"iCCP", b"p\0\0" + b"no zlib"),
        chunk(b"pHYs", b"\0"),
        chunk(b"gAMA", b""),
    ],
)
def test_a_flawed_png_chunk_costs_no_pixels(content: bytes) -> None:
    np.testing.assert_array_equal(pixels.decode(content), PHOTO)


@pytest.mark.parametrize(
    "content",
    [
        segment(0xE2, b"MPF\0" + b"II*\0\x08\0\0\0" + b"\xff" * 20),
        segment(0xE2, b"ICC_PROFILE\0"),
        segment(0xED, b"Photoshop 3.0\0" + b"8BIM\x03\xed"),
        segment(0xED, b"Photoshop 3.0\0" + b"8BIM"),
        segment(0xE1, b"http://ns.adobe.com/xap/1.0/\0<tiff:Orientation>x"),
        segment(0xE1, b"Exif\0\0"),
        segment(0xE1, b"Exif\0\0II*\0\xff\xff\xff\xff"),
        segment(0xFE, b""),
    ],
)
def test_a_flawed_jpeg_segment_costs_no_pixels(content: bytes) -> None:
    np.testing.assert_array_equal(pixels.decode(content), pixels.decode(JPEG))


def test_a_flawed_tag_of_a_tiff_costs_no_pixels() -> None:
    content = bytearray(encoded("TIFF", tiffinfo={282: 72.0, 283: 72.0, 296: 3}))
    at = content.index(struct.pack("<HHI", 282, 5, 1))
    content[at + 2 : at + 12] = struct.pack("<HI", 2, 4) + b"72\0\0"
    np.testing.assert_array_equal(pixels.decode(bytes(content)), PHOTO)


def test_truncated_pixels_stay_refused() -> None:
    for content in (chunk(b"tEXt", b"a\0b", crc=1)[:-60], segment(0xE1, b"Exif\0\0")[:-60]):
        with pytest.raises(pixels.UnusableImage, match="broken"):
            pixels.decode(content)


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (tiff(np.repeat(PHOTO[..., :1], 5, axis=2)), "5 bands of 8-bit integers"),
        (tiff(PHOTO.astype(np.float32), 3), "3 bands of 32-bit floats"),
        (tiff(PHOTO, compression=34887), "3 bands of 8-bit integers with compression 34887"),
        (PNG[:12], "broken PNG: "),
        (b"\xff\xd8\xff" + bytes(40), "broken JPEG: its header cannot be read"),
        (b"\xff\x0a" + bytes(40), "JPEG XL is not read"),
        (b"\0\0\0\x0cJXL \r\n\x87\n", "JPEG XL is not read"),
    ],
)
def test_a_rare_kind_is_named(content: bytes, reason: str) -> None:
    with pytest.raises(pixels.UnusableImage, match=reason) as caught:
        pixels.decode(content)
    assert "0x" not in str(caught.value)


def test_bigtiff_avif_and_heic_are_read(monkeypatch: pytest.MonkeyPatch) -> None:
    big = encoded("TIFF", big_tiff=True)
    assert big[:4] == b"II+\0"
    np.testing.assert_array_equal(pixels.decode(big), PHOTO)
    flat = np.full((64, 64, 3), (200, 100, 50), np.uint8)
    assert np.abs(pixels.decode(encoded("AVIF", flat)) - flat.astype(int)).max() <= 3
    buffer = io.BytesIO()
    pillow_heif.from_pillow(Image.fromarray(flat)).save(buffer, quality=90)
    assert kind_of(buffer.getvalue()[:64]) == "HEIC"
    assert np.abs(pixels.decode(buffer.getvalue()) - flat.astype(int)).max() <= 5
    monkeypatch.setitem(__import__("sys").modules, "pillow_heif", None)
    with pytest.raises(pixels.UnusableImage, match=r"jaxreg\[heif\]"):
        pixels.decode(buffer.getvalue())


def test_a_small_file_of_many_pixels_is_refused_before_it_is_opened(monkeypatch) -> None:
    side = 9400 - 1  # 88 megapixels; RFC 9649 for the bits
    packed = (side | side << 14).to_bytes(4, "little")
    bomb = b"RIFF\x1a\0\0\0WEBPVP8L\x0d\0\0\0\x2f" + packed + bytes(8)
    noise = np.random.default_rng(2).bytes(500_000)
    monkeypatch.setattr(Image, "open", lambda *args, **kwargs: pytest.fail("it was opened"))
    for padding in (b"", bytes(10**7), b"any text" * 10**6, noise[:-400_000], 20 * noise[:1000]):
        with pytest.raises(pixels.UnusableImage, match=r"9400x9400 pixels in \d+ bytes"):
            pixels.decode(bomb + padding)


def declared(kind: str, width: int, height: int) -> bytes:
    """A file of 60x40 pixels whose header declares others."""
    content = bytearray(tiff(PHOTO) if kind == "TIFF" else encoded(kind))
    if kind == "PNG":
        content[16:24] = struct.pack(">II", width, height)
        content[29:33] = struct.pack(">I", zlib.crc32(content[12:29]))
    elif kind == "GIF":
        content[6:10] = struct.pack("<HH", width, height)
    elif kind == "BMP":
        content[18:26] = struct.pack("<ii", width, height)
    elif kind == "JPEG":
        at = content.index(b"\xff\xc0") + 5
        content[at : at + 4] = struct.pack(">HH", height, width)
    elif kind == "AVIF":
        at = content.index(b"ispe") + 8
        content[at : at + 8] = struct.pack(">II", width, height)
    else:
        for tag, side in ((256, width), (257, height)):
            at = content.index(struct.pack("<HHI", tag, 3, 1)) + 8
            content[at : at + 2] = struct.pack("<H", side)
    return bytes(content)


KINDS = ["PNG", "GIF", "BMP", "JPEG", "TIFF", *(["AVIF"] if features.check("avif") else [])]


@pytest.mark.parametrize("kind", KINDS)
def test_declared_pixels_count_before_any_is_decoded(kind: str, monkeypatch) -> None:
    monkeypatch.setattr(ImageFile.ImageFile, "load", lambda self: pytest.fail("it was decoded"))
    for side, padding in ((12_000, 0), (12_000, 10**6), (60_000, 10**6)):
        with pytest.raises(pixels.UnusableImage, match=r"are refused|header cannot be read"):
            pixels.decode(declared(kind, side, side) + bytes(padding))


def test_a_padded_avif_is_refused_before_it_is_decoded(monkeypatch) -> None:
    if "AVIF" not in KINDS:
        pytest.skip("this build of Pillow reads no AVIF")
    monkeypatch.setattr(ImageFile.ImageFile, "load", lambda self: pytest.fail("it was decoded"))
    with pytest.raises(pixels.UnusableImage, match=r"9400x9400 pixels in .* without repeats"):
        pixels.decode(declared("AVIF", 9400, 9400) + bytes(10**7))


def test_a_jpeg_of_many_scans_is_refused(monkeypatch) -> None:
    content = encoded("JPEG", progressive=True)
    last = content[content.rindex(b"\xff\xda") : -2]
    assert pixels.decode(content[:-2] + 50 * last + content[-2:]).shape == PHOTO.shape
    monkeypatch.setattr(encoded_module, "MOST_SCANNED", 50 * 60 * 40)
    with pytest.raises(pixels.UnusableImage, match=r"60x40 pixels in 6\d scans"):
        pixels.decode(content[:-2] + 50 * last + content[-2:])


def test_a_large_photograph_passes() -> None:
    noise = np.random.default_rng(3).integers(0, 256, (600, 520, 3), dtype=np.uint8)
    large = Image.fromarray(noise).resize((5200, 6000), Image.Resampling.BILINEAR)
    buffer = io.BytesIO()
    large.save(buffer, "WEBP", quality=1, method=0)  # smaller than any camera makes it
    assert pixels.decode(buffer.getvalue()).shape == (6000, 5200, 3)


def test_one_colour_passes_at_the_size_of_a_photograph() -> None:
    content = encoded("WEBP", np.zeros((3000, 4000, 3), np.uint8), lossless=True)
    assert len(content) < 1000
    assert pixels.decode(content).shape == (3000, 4000, 3)


def test_special_files_and_impossible_names_are_refused(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "a.jpg")
    (tmp_path / "b.jpg").symlink_to("/dev/zero")
    with (tmp_path / "c.jpg").open("wb") as file:
        file.truncate(pixels.MAX_BYTES + 1)  # sparse
    names = {"a.jpg": "FIFO", "b.jpg": "device", "c.jpg": "more than", "x" * 300: "too long"}
    for name, reason in {**names, "a\0b.jpg": "no file has such a name"}.items():
        with pytest.raises(pixels.UnusableImage, match=reason):
            pixels.read(tmp_path / name)


def test_first_bytes_decide_where_the_suffix_says_nothing(tmp_path: Path) -> None:
    for name in ("a", "b.jfif", "c.bin", "d.unknown", "e.txt"):
        (tmp_path / name).write_bytes(JPEG)
    (tmp_path / "f").write_bytes(b"BMW, Audi and others")
    os.mkfifo(tmp_path / "g")
    found = [file.name for file in sorted(tmp_path.iterdir()) if is_image(file)]
    assert found == ["a", "b.jfif", "c.bin", "d.unknown"]


PREVIEW = {254: ("I", [1]), 330: ("I", [8])}
RAWS = {
    "a.nef": tiff(PHOTO, tags=PREVIEW),
    "b.arw": tiff(PHOTO, order=">", tags=PREVIEW),
    "c.dng": tiff(PHOTO, tags={50706: ("B", [1, 4, 0, 0])}),  # its preview has no other mark
    "d.tif": tiff(PHOTO, tags={**PREVIEW, 50706: ("B", [1, 4, 0, 0])}),
    "e.pef": tiff(PHOTO[..., :1].astype(np.uint16), photometric=32803),
    "f.dng": tiff(PHOTO.astype(np.uint16), photometric=34892),
    "g.cr2": b"II*\0\x10\0\0\0CR\2\0" + bytes(99),
    "h.cr3": b"\0\0\0\x18ftypcrx \0\0\0\1crx isom" + bytes(99),
    "i.raf": b"FUJIFILMCCD-RAW 0201FF383501" + bytes(99),
    "j.orf": b"IIRO\x08\0\0\0" + bytes(99),
    "k.rw2": b"IIU\0\x18\0\0\0" + bytes(99),
}


def test_raw_files_of_cameras_are_named_and_counted(tmp_path: Path) -> None:
    for name, content in RAWS.items():
        (tmp_path / name).write_bytes(content)
    (tmp_path / "z.jpg").write_bytes(JPEG)
    examples = open_source(tmp_path)
    assert examples.ids == (*RAWS, "z.jpg")
    for image in examples.images[:-1]:
        with pytest.raises(pixels.UnusableImage, match="a camera's raw file"):
            pixels.decode(pixels.read(image))
    pyramid = tiff(PHOTO, tags={254: ("I", [0]), 330: ("I", [8])})  # smaller pictures beside it
    np.testing.assert_array_equal(pixels.decode(pyramid), PHOTO)


def test_a_folder_counts_what_it_passes_over(tmp_path: Path) -> None:
    (tmp_path / "more").mkdir()
    (tmp_path / "seen").symlink_to(tmp_path / "more")
    for name in ("a.jpg", "b", "more/c.HEIC", "notes.txt", "more/x.dcm", ".hidden.txt"):
        (tmp_path / name).write_bytes(b"text" if "t" in name else JPEG)
    (tmp_path / "more/x.dcm").write_bytes(bytes(132) + b"DICM")
    os.mkfifo(tmp_path / "pipe.jpg")
    examples = open_source(tmp_path)
    assert examples.ids == ("a.jpg", "b", "more/c.HEIC")
    count, kinds = examples.notes[0].split(": ")
    assert count == "passed over 3 files that are no images"
    assert sorted(kinds.split(", ")) == ["1 .dcm", "1 .jpg", "1 .txt"]
    assert examples.notes[1] == "passed over 1 linked folder: seen"
    (tmp_path / "notes.txt").unlink()
    (tmp_path / "pipe.jpg").unlink()
    assert open_source(tmp_path).notes[0] == "passed over 1 file that is no image: 1 .dcm"
    assert open_source(tmp_path / "b").ids == ("b",)
    assert open_source(str(tmp_path / "*")).ids == ("a.jpg", "b")
