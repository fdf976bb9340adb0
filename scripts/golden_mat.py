#!/usr/bin/env python3
"""Writes the small MATLAB files that the reader's tests read: src/dml/data/testdata/*.mat.

scipy writes them, as `python3 scripts/golden_mat.py` in an environment that has it.
"""

from pathlib import Path

import numpy as np
from scipy.io import savemat

FOLDER = Path(__file__).resolve().parent.parent / "src/dml/data/testdata"

annotations = np.zeros((1, 3), dtype=[(name, object) for name in ["bbox_x1", "class", "relative_im_path"]])
for place, (left, label, path) in enumerate([(39, 1, "car_ims/000001.jpg"), (300, 2, "car_ims/000002.jpg"), (7, 2, "car_ims/000003.jpg")]):
    annotations[0, place] = (np.uint16(left), np.uint8(label), path)

values = {
    "annotations": annotations,
    "class_names": np.array([["AM General Hummer SUV 2000", "Citroën 2CV"]], dtype=object),
    "numbers": np.array([[1.5, -2.0], [3.0, 1e300]]),
    "small": np.int8(-5),
    "large": np.array([2**40], dtype=np.int64),
    "rows": np.array(["one", "two"]),
    "nothing": np.zeros((0, 0)),
}

# The devkit keeps names and annotations apart, but a reader asks for variables by name.
BOX = ["bbox_x1", "bbox_y1", "bbox_x2", "bbox_y2"]
devkit = np.zeros((1, 2), dtype=[(name, object) for name in [*BOX, "class", "fname"]])
devkit[0, 0] = (np.uint8(39), np.uint8(116), np.uint16(569), np.uint16(375), np.uint8(1), "00001.jpg")
devkit[0, 1] = (np.uint8(1), np.uint8(1), np.uint8(8), np.uint8(6), np.uint8(2), "00002.jpg")
halves = {"annotations": devkit, "class_names": np.array([["Hummer", "2CV"]], dtype=object)}

FOLDER.mkdir(exist_ok=True)
for name, values, compressed in [("plain", values, False), ("compressed", values, True), ("devkit", halves, True)]:
    path = FOLDER / f"{name}.mat"
    savemat(path, values, do_compression=compressed)
    # The date and the platform are no part of the content.
    content = bytearray(path.read_bytes())
    content[:116] = b"MATLAB 5.0 MAT-file".ljust(116)
    path.write_bytes(content)
