"""Calls the C interface of a compiled bundle through ctypes and prints what it answers as JSON.

Started by test_bundle.py: library, model folder, picture.
"""

from __future__ import annotations

import ctypes
import json
import sys

import cv2


class Image(ctypes.Structure):
    _fields_ = (
        ("data", ctypes.c_void_p),
        ("width", ctypes.c_int32),
        ("height", ctypes.c_int32),
        ("stride", ctypes.c_int64),
        ("format", ctypes.c_int32),
        ("chroma", ctypes.c_void_p),
        ("chroma_stride", ctypes.c_int64),
    )


class Detection(ctypes.Structure):
    _fields_ = (
        ("box", ctypes.c_float * 4),
        ("score", ctypes.c_float),
        ("class_id", ctypes.c_int32),
    )


BGR = 1
CAPACITY = 300


def main() -> None:
    library = ctypes.CDLL(sys.argv[1])
    library.yolov12edge_version.restype = ctypes.c_char_p
    library.yolov12edge_class_name.restype = ctypes.c_char_p
    library.yolov12edge_last_error.restype = ctypes.c_char_p
    library.yolov12edge_status_name.restype = ctypes.c_char_p
    detector = ctypes.c_void_p()
    errors = []

    def call(name: str, *arguments: object) -> int:
        status: int = getattr(library, f"yolov12edge_{name}")(*arguments)
        if status:
            assert library.yolov12edge_last_error()
            errors.append(library.yolov12edge_status_name(status).decode())
        return status

    assert call("open", b"/no/such/folder", 1, 0, ctypes.byref(detector)) != 0
    assert not detector
    assert call("open", sys.argv[2].encode(), 1, 0, ctypes.byref(detector)) == 0
    pixels = cv2.imread(sys.argv[3])
    height, width = pixels.shape[:2]
    image = Image(pixels.ctypes.data, width, height, 0, BGR, None, 0)
    found = (Detection * CAPACITY)()
    count = ctypes.c_size_t()
    clone = ctypes.c_void_p()
    assert call("clone", detector, ctypes.byref(clone)) == 0
    for one in (detector, clone):
        arguments = (ctypes.byref(image), None, found, ctypes.c_size_t(CAPACITY))
        assert call("detect", one, *arguments, ctypes.byref(count)) == 0
    boxes = [list(found[index].box) for index in range(count.value)]
    arguments = (None, found, ctypes.c_size_t(CAPACITY), ctypes.byref(count))
    assert call("detect", clone, None, *arguments) != 0
    image.width = 0
    assert call("detect", clone, ctypes.byref(image), *arguments) != 0
    classes = library.yolov12edge_class_count(detector)
    names = [library.yolov12edge_class_name(detector, index).decode() for index in range(classes)]
    assert library.yolov12edge_class_name(detector, classes) is None
    for one in (clone, detector):
        library.yolov12edge_close(one)
    versions = [library.yolov12edge_version().decode(), library.yolov12edge_abi_version()]
    answer = {"count": len(boxes), "boxes": boxes, "names": names, "errors": errors}
    print(json.dumps(answer | {"versions": versions}))


if __name__ == "__main__":
    main()
