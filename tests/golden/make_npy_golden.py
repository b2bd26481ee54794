"""Writes npy/*.npy with NumPy: every element type, order and format version the library reads, and two it refuses."""
import pathlib

import numpy as np

folder = pathlib.Path(__file__).with_name("npy")
cube = np.arange(24, dtype=np.float32).reshape(2, 3, 4)
arrays = {
    "f4": np.array([[1.5, -2.25, 0.1], [1e-40, 3e38, np.inf]], np.float32),
    "f8": np.array([0.1, -1e300]),
    "f2": np.array([0.0, -0.0, 2.0**-24, 1 / 3, 65504, -np.inf], np.float16),
    "i4": np.array([-(2**31), 2**31 - 1], np.int32),
    "i8": np.array([[-(2**63)], [2**63 - 1]]),
    "u1": np.array([0, 7, 255], np.uint8),
    "b1": np.array([True, False, True]),
    "scalar": np.array(4.25, np.float32),
    "empty": np.zeros((0, 3), np.float32),
    "fortran": np.asfortranarray(cube),
    "big_endian": cube.astype(">f4"),
    "records": np.zeros(2, [("x", "<f4"), ("y", "<i4")]),
}
for name, array in arrays.items():
    np.save(folder / f"{name}.npy", array)
for version in (2, 3):
    with open(folder / f"version{version}.npy", "wb") as file:
        np.lib.format.write_array(file, cube, version=(version, 0))
