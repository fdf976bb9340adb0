"""Golden values of augmentation policies: operations, magnitudes and learned pairs of torchvision. Called by golden.py."""

import numpy as np
from golden_images import flat, image
from torchvision.transforms import InterpolationMode
from torchvision.transforms.autoaugment import AutoAugment, RandAugment, TrivialAugmentWide, _apply_op

GEOMETRIC = {
    "ShearX": [0.09, -0.99],
    "ShearY": [0.3, -0.2],
    "TranslateX": [4.9, -3.2],
    "TranslateY": [2.0, -7.6],
    "Rotate": [9.0, -13.5, 90.0, 135.0],
}
OTHERS = {
    "Brightness": [0.27, -0.27],
    "Color": [0.27, -0.9],
    "Contrast": [0.27, -0.99],
    "Sharpness": [0.9, -0.27],
    "Posterize": [7.0, 4.0, 2.0],
    "Solarize": [255.0, 178.5, 0.0],
    "AutoContrast": [0.0],
    "Equalize": [0.0],
    "Invert": [0.0],
}


def case(name, magnitude, interpolation, side, channels):
    magnitude = float(np.float32(magnitude))  # as torchvision draws them
    result = _apply_op(image(side, side, channels), name, magnitude, InterpolationMode(interpolation), None)
    return {
        "name": name,
        "magnitude": magnitude,
        "interpolation": interpolation,
        "side": side,
        "channels": channels,
        "pixels": flat(result),
    }


def operations():
    cases = []
    for interpolation in ["nearest", "bilinear"]:
        for name, magnitudes in GEOMETRIC.items():
            cases += [case(name, magnitude, interpolation, 13, 3) for magnitude in magnitudes]
        cases.append(case("Rotate", 9.0, interpolation, 12, 1))
    for name, magnitudes in OTHERS.items():
        cases += [case(name, magnitude, "nearest", 13, 3) for magnitude in magnitudes]
        cases.append(case(name, magnitudes[-1], "nearest", 24, 1))
    cases.append(case("Equalize", 0.0, "nearest", 24, 3))
    return cases


def magnitudes():
    spaces = []
    for side in [28, 64, 224, 227]:
        spaces.append(("RandAugment", side, RandAugment()._augmentation_space(31, (side, side))))
        spaces.append(("AutoAugment", side, AutoAugment()._augmentation_space(10, (side, side))))
    spaces.append(("TrivialAugmentWide", 0, TrivialAugmentWide()._augmentation_space(31)))
    return [
        {"policy": policy, "side": side, "name": name, "values": values.tolist()}
        for policy, side, space in spaces
        for name, (values, _) in space.items()
        if values.ndim > 0
    ]


def learned():
    return [[[name, p, bin or 0] for name, p, bin in pair] for pair in AutoAugment().policies]


def write_all(write):
    write("data", "operations", {"operations": operations(), "magnitudes": magnitudes(), "learned": learned()})
