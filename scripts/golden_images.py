"""Golden pixels: decoding, resizing and changes of colour as Pillow and torchvision do them. Called by golden.py."""

import io

import numpy as np
from PIL import Image
from torchvision.transforms import functional as F


def pattern(width, height, channels):
    """Smooth and rough at once, the same in Rust: see `pattern` in src/dml/data/pixels_tests.rs."""
    y, x, c = np.mgrid[:height, :width, :channels]
    smooth = 3 * x + 5 * y + 40 * c
    rough = (x * y * (c + 3)) % 64
    return ((smooth + rough) % 256).astype(np.uint8)


def image(width, height, channels):
    pixels = pattern(width, height, channels)
    return Image.fromarray(pixels[:, :, 0] if channels == 1 else pixels)


def flat(picture):
    return np.asarray(picture).reshape(-1).tolist()


def resizes():
    cases = []
    for width, height, channels, box, to in [
        (40, 30, 3, (0, 0, 40, 30), (13, 11)),
        (40, 30, 1, (0, 0, 40, 30), (16, 40)),
        (97, 61, 3, (11, 7, 80, 59), (12, 9)),
        (23, 40, 3, (3, 4, 23, 17), (20, 6)),
        (23, 40, 1, (3, 4, 9, 10), (15, 15)),
    ]:
        result = image(width, height, channels).crop(box).resize(to, Image.Resampling.BILINEAR)
        cases.append({"from": [width, height, channels], "box": box, "to": to, "pixels": flat(result)})
    return cases


def adjustments():
    picture = image(12, 9, 3)
    cases = []
    for name, function, factors in [
        ("brightness", F.adjust_brightness, [0.6, 1.37]),
        ("contrast", F.adjust_contrast, [0.55, 1.4]),
        ("saturation", F.adjust_saturation, [0.0, 0.7, 1.6]),
        ("hue", F.adjust_hue, [-0.31, 0.08, 0.5]),
    ]:
        cases += [{"name": name, "factor": factor, "pixels": flat(function(picture, factor))} for factor in factors]
    return cases


def smooth(width, height):
    """Like a photograph: what is rough in it is no wider than its noise."""
    y, x = np.mgrid[:height, :width]
    waves = [127 + 90 * np.sin(x / 9 + c) * np.cos(y / 7 - c) + 9 * np.sin(x * y / 5) for c in range(3)]
    return Image.fromarray(np.stack(waves, -1).round().astype(np.uint8))


def encoded(picture, kind, **options):
    buffer = io.BytesIO()
    picture.save(buffer, kind, **options)
    return buffer.getvalue()


def decoded():
    picture = smooth(44, 36)
    exif = Image.Exif()
    exif[0x0112] = 6  # to be turned by a quarter
    files = {
        "jpeg 4:2:0": encoded(picture, "JPEG", quality=85),
        "jpeg 4:4:4": encoded(picture, "JPEG", quality=85, subsampling=0),
        "jpeg 4:2:2": encoded(picture, "JPEG", quality=85, subsampling=1),
        "jpeg progressive": encoded(picture, "JPEG", quality=85, progressive=True),
        "jpeg grey": encoded(picture.convert("L"), "JPEG", quality=85),
        "jpeg cmyk": encoded(picture.convert("CMYK"), "JPEG", quality=85),
        "jpeg turned by exif": encoded(picture, "JPEG", quality=85, exif=exif),
        "jpeg restarts": encoded(picture, "JPEG", quality=85, restart_marker_blocks=2),
        "jpeg flat": encoded(Image.new("RGB", (40, 24), "white"), "JPEG", optimize=True),
        "jpeg of a pixel": encoded(Image.new("L", (1, 1), 77), "JPEG", optimize=True),
        "png": encoded(image(9, 7, 3), "PNG"),
        "png grey": encoded(image(9, 7, 1), "PNG"),
        "png palette": encoded(image(9, 7, 3).quantize(7), "PNG"),
        "png alpha": encoded(Image.fromarray(pattern(9, 7, 4)), "PNG"),
        "png grey alpha": encoded(image(9, 7, 1).convert("LA"), "PNG"),
        "png 1 bit": encoded(image(9, 7, 1).convert("1"), "PNG"),
        "webp": encoded(picture, "WEBP", quality=85),
        "webp lossless": encoded(image(9, 7, 3), "WEBP", lossless=True),
        "webp alpha": encoded(Image.fromarray(pattern(9, 7, 4)), "WEBP", lossless=True, exact=True),
        "webp animated": encoded(image(9, 7, 3), "WEBP", lossless=True, save_all=True, append_images=[image(9, 7, 3).rotate(180)]),
        "bmp": encoded(image(9, 7, 3), "BMP"),
        "bmp grey": encoded(image(9, 7, 1), "BMP"),
        "bmp palette": encoded(image(9, 7, 3).quantize(7), "BMP"),
        "gif": encoded(image(9, 7, 3).quantize(7), "GIF"),
        "gif grey": encoded(image(9, 7, 1), "GIF"),
        "gif animated": encoded(image(9, 7, 3).quantize(7), "GIF", save_all=True, append_images=[image(9, 7, 3).rotate(180).quantize(7)]),
        "tiff": encoded(image(9, 7, 3), "TIFF"),
        "tiff lzw": encoded(image(9, 7, 3), "TIFF", compression="tiff_lzw"),
        "tiff deflate": encoded(image(9, 7, 3), "TIFF", compression="tiff_adobe_deflate"),
        "tiff grey": encoded(image(9, 7, 1), "TIFF"),
        "tiff alpha": encoded(Image.fromarray(pattern(9, 7, 4)), "TIFF"),
        "tiff cmyk": encoded(image(9, 7, 3).convert("CMYK"), "TIFF"),
        "tiff 1 bit": encoded(image(9, 7, 1).convert("1"), "TIFF"),
        "tiff of two pages": encoded(image(9, 7, 3), "TIFF", save_all=True, append_images=[image(9, 7, 3).rotate(180)]),
    }
    open_as = lambda data, mode: flat(Image.open(io.BytesIO(data)).convert(mode))
    return [
        {"name": name, "file": list(data), "rgb": open_as(data, "RGB"), "grey": open_as(data, "L")}
        for name, data in files.items()
    ]


def backgrounds():
    """What is seen where an image is transparent, with Pillow's paste through a mask."""
    color, grey = Image.fromarray(pattern(9, 7, 4)), image(9, 7, 1).convert("LA")
    grey.putalpha(image(9, 7, 3).getchannel(2))
    palette = image(9, 7, 3).quantize(7)
    files = {
        "png alpha": encoded(color, "PNG"),
        "png grey alpha": encoded(grey, "PNG"),
        "png palette": encoded(palette, "PNG", transparency=3),
        "webp alpha": encoded(color, "WEBP", lossless=True, exact=True),
        "gif": encoded(palette, "GIF", transparency=3),
        "tiff alpha": encoded(color, "TIFF"),
        "png": encoded(image(9, 7, 3), "PNG"),
    }
    cases = []
    for name, data in files.items():
        opened = Image.open(io.BytesIO(data)).convert("RGBA")
        for background in ["white", "black"]:
            result = Image.new("RGB", opened.size, background)
            result.paste(opened, mask=opened)
            cases.append({"name": name, "background": background, "file": list(data), "rgb": flat(result)})
    return cases


def write_all(write):
    write("data", "pixels", {"resizes": resizes(), "adjustments": adjustments(), "decoded": decoded(), "backgrounds": backgrounds()})
