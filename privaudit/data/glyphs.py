"""Letters and digits drawn from 20 typefaces: the data set that needs no files.

The class (a character) and the style (a triple of bold, italic, serif) are drawn independently and
uniformly, then a typeface of that style; so no property says anything about the class, nor about
another property. Each character is drawn once per typeface at 4x the final resolution, with all
capitals brought to one height; every record is one of these drawings under its own small rotation,
shear, scaling and shift, averaged over each pixel, with Gaussian pixel noise. Strokes are neither
thickened nor thinned, and the shear stays well below the slant of an italic.

The same seed gives the same bytes; another version of FreeType may move the grey level of a pixel,
which the checksum shows. Trigonometric functions and matrix products are avoided, as their last
bit differs between processors.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import matplotlib as mpl
import numpy as np
from PIL import Image, ImageDraw, ImageFont
from pydantic import BeforeValidator, Field
from scipy import ndimage

from privaudit.data.dataset import Dataset
from privaudit.data.files import sha256_of_arrays
from privaudit.errors import UserError
from privaudit.options import Options, choice_as_text
from privaudit.randomness import Seed

PROPERTIES = ("bold", "italic", "serif")

TYPEFACES: dict[str, tuple[int, int, int]] = {
    "DejaVuSans": (0, 0, 0),
    "DejaVuSansMono": (0, 0, 0),
    "cmss10": (0, 0, 0),
    "DejaVuSerif": (0, 0, 1),
    "STIXGeneral": (0, 0, 1),
    "cmr10": (0, 0, 1),
    "DejaVuSans-Oblique": (0, 1, 0),
    "DejaVuSansMono-Oblique": (0, 1, 0),
    "DejaVuSerif-Italic": (0, 1, 1),
    "STIXGeneralItalic": (0, 1, 1),
    "cmti10": (0, 1, 1),
    "DejaVuSans-Bold": (1, 0, 0),
    "DejaVuSansMono-Bold": (1, 0, 0),
    "DejaVuSerif-Bold": (1, 0, 1),
    "STIXGeneralBol": (1, 0, 1),
    "cmb10": (1, 0, 1),
    "DejaVuSans-BoldOblique": (1, 1, 0),
    "DejaVuSansMono-BoldOblique": (1, 1, 0),
    "DejaVuSerif-BoldItalic": (1, 1, 1),
    "STIXGeneralBolIta": (1, 1, 1),
}
"""File name in matplotlib's font folder -> (bold, italic, serif)."""

DIGITS = "0123456789"
LETTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
CHARACTERS = {"36": DIGITS + LETTERS, "digits": DIGITS, "letters": LETTERS}

SIDE = 28
OVERSAMPLING = 4
TILE = SIDE * OVERSAMPLING
CAPITAL_HEIGHT = 16 * OVERSAMPLING

HALF_ANGLE_TANGENT = 0.07  # rotation within +-8 degrees
SHEAR = 0.06  # an italic of these typefaces slants by 0.19 to 0.28
SCALE = 0.12
SHIFT = 1.5  # pixels
CHUNK = 2_000  # records warped at a time; bounds the memory


class GlyphOptions(Options):
    """Options of ``glyphs``."""

    records: int = Field(
        12_000, ge=1, le=1_000_000, description="1 to 1,000,000 characters are drawn"
    )
    classes: Annotated[Literal["36", "digits", "letters"], BeforeValidator(choice_as_text)] = Field(
        "36", description="the characters: 36, digits or letters"
    )
    noise: float = Field(
        0.1,
        ge=0,
        le=0.5,
        description="0 to 0.5, deviation of a pixel (1 = black to white)",
    )
    groups: Literal["none", "typeface"] = Field(
        "none", description="natural clients: none or typeface"
    )


OPTIONS = GlyphOptions


def load(options: GlyphOptions, data_dir: Path, seed: Seed) -> Dataset:
    """Draw the data set; ``data_dir`` is not used.

    Returns:
        Inputs [records, 28, 28] uint8, white on black; 10, 26 or 36 classes.

    Raises:
        UserError: matplotlib is installed without its typefaces.
    """
    del data_dir
    characters = CHARACTERS[options.classes]
    labels, typefaces = _draw_labels(options.records, len(characters), seed)
    images = _warp(_draw_tiles(characters), typefaces * len(characters) + labels, seed)
    images = _add_noise(images, options.noise, seed)
    styles = np.array(list(TYPEFACES.values()), dtype=np.int8)
    by_typeface = options.groups == "typeface"
    return Dataset(
        name="glyphs",
        kind="image",
        inputs=images,
        labels=labels,
        class_names=tuple(characters),
        properties={name: styles[typefaces, i].copy() for i, name in enumerate(PROPERTIES)},
        groups=typefaces if by_typeface else None,
        group_kind="typeface" if by_typeface else "",
        checksum=sha256_of_arrays(images, labels, typefaces),
        generated=True,
    )


def _draw_labels(records: int, classes: int, seed: Seed) -> tuple[np.ndarray, np.ndarray]:
    """Class and typeface of each record: two [records] int64 arrays, independent of each other."""
    generator = seed.generator("labels")
    labels = generator.integers(0, classes, records)
    wanted = generator.integers(0, 2, (records, len(PROPERTIES)))
    place = generator.random(records)
    styles = np.array(list(TYPEFACES.values()))
    typefaces = np.empty(records, dtype=np.int64)
    for style in np.unique(styles, axis=0):
        mine = (wanted == style).all(axis=1)
        having = np.flatnonzero((styles == style).all(axis=1))
        typefaces[mine] = having[(place[mine] * len(having)).astype(np.int64)]
    return labels, typefaces


def _draw_tiles(characters: str) -> np.ndarray:
    """Every character in every typeface: [typefaces * characters, TILE, TILE] float32, 0..255.

    A tile's value is the mean over the pixel around it, so that reading it at any place gives the
    grey level of a pixel there.
    """
    folder = Path(mpl.get_data_path()) / "fonts" / "ttf"
    tiles = [
        _draw_character(font, character)
        for font in (_open_typeface(folder / f"{name}.ttf") for name in TYPEFACES)
        for character in characters
    ]
    window = OVERSAMPLING + 1  # odd, so that the mean is centred
    return ndimage.uniform_filter(np.stack(tiles).astype(np.float32), size=(1, window, window))


def _open_typeface(path: Path) -> ImageFont.FreeTypeFont:
    """The typeface at the size where capitals are ``CAPITAL_HEIGHT`` high."""
    if not path.is_file():
        raise UserError(
            f"no typeface {path.name} in matplotlib's font folder {path.parent}",
            where="data set 'glyphs'",
            remedy="install matplotlib from its own wheel, which ships it",
        )
    probe = ImageFont.truetype(path, 200, layout_engine=ImageFont.Layout.BASIC)
    _, top, _, bottom = probe.getbbox("H", anchor="ls")
    return probe.font_variant(size=200 * CAPITAL_HEIGHT / (bottom - top))


def _draw_character(font: ImageFont.FreeTypeFont, character: str) -> np.ndarray:
    """One character, its bounding box centred: [TILE, TILE] uint8."""
    left, top, right, bottom = font.getbbox(character, anchor="ls")
    assert max(right - left, bottom - top) <= TILE, (font.getname(), character)
    tile = Image.new("L", (TILE, TILE))
    origin = ((TILE - left - right) // 2, (TILE - top - bottom) // 2)
    ImageDraw.Draw(tile).text(origin, character, fill=255, font=font, anchor="ls")
    return np.asarray(tile)


def _warp(tiles: np.ndarray, which: np.ndarray, seed: Seed) -> np.ndarray:
    """The chosen tiles under random affine maps: [len(which), SIDE, SIDE] float32, 0..255."""
    records = len(which)
    inverse, shift = _random_maps(records, seed)
    centre = (TILE - 1) / 2
    steps = np.arange(SIDE) - (SIDE - 1) / 2
    grid = np.stack(np.meshgrid(steps, steps, indexing="ij")).reshape(2, -1)
    long_image = tiles.reshape(-1, TILE)  # tiles below one another: one lookup for all
    images = np.empty((records, SIDE, SIDE), dtype=np.float32)
    for start in range(0, records, CHUNK):
        part = slice(start, start + CHUNK)
        offsets = grid[None] - shift[part, :, None]
        places = inverse[part, :, 0, None] * offsets[:, :1]  # a matmul may round otherwise
        places += inverse[part, :, 1, None] * offsets[:, 1:]
        places = np.clip(places * OVERSAMPLING + centre, 0, TILE - 1)
        places[:, 0] += which[part, None] * TILE
        flat = ndimage.map_coordinates(
            long_image, places.swapaxes(0, 1).reshape(2, -1), order=1, prefilter=False
        )
        images[part] = flat.reshape(-1, SIDE, SIDE)
    return images


def _random_maps(records: int, seed: Seed) -> tuple[np.ndarray, np.ndarray]:
    """Inverse matrices [records, 2, 2] (image to tile, row first) and shifts [records, 2]."""
    generator = seed.generator("affine")
    half = generator.uniform(-HALF_ANGLE_TANGENT, HALF_ANGLE_TANGENT, records)
    shear = generator.uniform(-SHEAR, SHEAR, records)
    scale = generator.uniform(1 - SCALE, 1 + SCALE, (records, 2))
    shift = generator.uniform(-SHIFT, SHIFT, (records, 2))
    cosine = (1 - half * half) / (1 + half * half)
    sine = 2 * half / (1 + half * half)
    inverse = np.empty((records, 2, 2))
    inverse[:, 0, 0] = cosine / scale[:, 0]
    inverse[:, 0, 1] = sine / scale[:, 0]
    inverse[:, 1, 0] = (shear * cosine - sine) / scale[:, 1]
    inverse[:, 1, 1] = (shear * sine + cosine) / scale[:, 1]
    return inverse, shift


def _add_noise(images: np.ndarray, noise: float, seed: Seed) -> np.ndarray:
    """The images with Gaussian noise, rounded and clipped to uint8."""
    generator = seed.generator("noise")
    result = np.empty(images.shape, dtype=np.uint8)
    for start in range(0, len(images), CHUNK):
        part = images[start : start + CHUNK]
        drawn = generator.standard_normal(part.shape, dtype=np.float32) * np.float32(255 * noise)
        result[start : start + CHUNK] = np.clip(np.rint(part + drawn), 0, 255)
    return result
