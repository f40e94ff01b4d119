"""Print text on images and wear them like scans: what the document workloads share. Knows no model.

Drawing is seeded and uses Pillow's basic layout; another version of Pillow or FreeType may still draw a pixel
differently, which the bundle's digest then shows.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, ImageDraw, ImageFilter, ImageFont

#: Own text, in the words of the offices that the document workloads stand for. Latin letters alone: no model here reads Hangul.
SENTENCES = (
    "The taxpayer shall file the return for the second quarter by 25 July.",
    "Total amount due: 1,284,500 KRW including value added tax of 10 %.",
    "Enter the registration number 214-86-57193 in box 4 of the form.",
    "Interest accrues daily at 0.022 % from the day after the due date.",
    "Attach the original receipt; copies are accepted only with a stamp.",
    "Notice No. 2024-0317: corrections may be requested within 90 days.",
    "Payments by card (VISA, JCB, AMEX) are settled on the next workday.",
    "Gross income 48,920,000; deductions 6,310,750; taxable 42,609,250.",
    "Do not fold, staple or write below this line: machine-read area.",
    "Applicant: KIM Minjun, born 1987-11-02, Sejong-daero 110, Seoul.",
    "Refunds under $25.00 are carried forward to the following year.",
    "Reference: QX7-4409/B, received 09:41, clerk J. Park, counter 12.",
    "The invoice lists 36 items @ 7,250 each, less a 5 % discount.",
    "Penalties are waived where fire, flood or illness made filing late.",
    "Keep this page for five years; it proves what you have declared.",
    "Questions? Call 126 (weekdays 9-18) or write to help@example.org.",
)

#: The fonts that documents are set in, by source id.
FONTS = ("sans", "serif", "mono")


def font(path: Path, size: int) -> ImageFont.FreeTypeFont:
    """Return a font whose layout depends on nothing but the file: no system shaping library."""
    return ImageFont.truetype(str(path), size, layout_engine=ImageFont.Layout.BASIC)


def page(paths: list[Path], seed: int, size: int) -> Image.Image:
    """Draw a page: a heading, ragged paragraphs, and a ruled table on every other seed.

    Args:
        paths: Font files to choose from.
        seed: Chooses text, font, spacing and wear.
        size: Width and height in pixels.

    Returns:
        A greyscale image, text upright.
    """
    random = np.random.default_rng(seed)
    height = int(random.integers(11, 17))
    face = paths[seed % len(paths)]
    body = font(face, height)
    image = Image.new("L", (size, size), int(random.integers(225, 256)))
    draw = ImageDraw.Draw(image)
    ink = int(random.integers(0, 70))
    margin = int(random.integers(8, 24))
    draw.text((margin, margin), str(random.choice(SENTENCES))[:24], fill=ink, font=font(face, height * 3 // 2))
    top = margin + height * 3
    spacing = height + int(random.integers(3, 9))
    table = size - margin - 4 * spacing if seed % 2 else size - margin
    while top + height < table:
        draw.text((margin, top), str(random.choice(SENTENCES)), fill=ink, font=body)
        top += spacing * (2 if random.random() < 0.15 else 1)
    if seed % 2:
        for row in range(4):
            y = table + row * spacing
            draw.line((margin, y, size - margin, y), fill=ink)
            draw.text((margin + 4, y + 1), f"{row + 1}  item {random.integers(100, 999)}", fill=ink, font=body)
            draw.text((size * 5 // 8, y + 1), f"{random.integers(1000, 99999):,}", fill=ink, font=body)
    return worn(image, random, blur=0.8, noise=6.0)


def worn(image: Image.Image, random: np.random.Generator, *, blur: float, noise: float) -> Image.Image:
    """Blur an image by up to ``blur`` pixels and add Gaussian noise of up to ``noise`` grey levels."""
    soft = image.filter(ImageFilter.GaussianBlur(float(random.uniform(0, blur))))
    grey = np.asarray(soft, dtype=np.float32)
    grey = grey + random.normal(0, random.uniform(0, noise), grey.shape).astype(np.float32)
    return Image.fromarray(np.clip(np.rint(grey), 0, 255).astype(np.uint8))


def grey_as_rgb(image: Image.Image) -> np.ndarray[Any, Any]:
    """Return a greyscale image as ``uint8[height, width, 3]``."""
    return np.repeat(np.asarray(image.convert("L"))[:, :, None], 3, axis=2)
