"""Files that are read where they lie on disk: for pictures larger than memory.

The probe and ``open_image`` take a memory-mapped file in place of bytes, and :func:`load` gives it
to libvips as it is: pyvips copies every buffer that it is given. The block list of
``worker.imaging.loaders`` holds here too.

The file must not be cut short while it is mapped: the kernel would end the process. Jobs read
private copies.
"""

from __future__ import annotations

import ctypes
import mmap
from functools import cache
from importlib import import_module
from pathlib import Path
from typing import Any

import pyvips

from worker.domain.errors import DamagedInput, InputError, Reason

_ffi: Any = pyvips.ffi
_vips: Any = pyvips.vips_lib
_gobject: Any = pyvips.gobject_lib


class MemoryMap(mmap.mmap):
    """A whole file, read only, with the few methods of ``bytes`` that the probe uses.

    It is never closed by hand: images may still read it. It goes with the last of them.
    """

    def startswith(self, prefix: bytes, start: int = 0) -> bool:
        """As ``bytes.startswith``."""
        return self[start : start + len(prefix)] == prefix

    def count(self, part: bytes, start: int = 0) -> int:
        """As ``bytes.count``."""
        found = 0
        at = self.find(part, start)
        while at >= 0:
            found += 1
            at = self.find(part, at + len(part))
        return found


def mapped(path: Path) -> MemoryMap:
    """Map a file.

    Raises:
        DamagedInput: EMPTY.
        InputError: it cannot be read.
    """
    try:
        with path.open("rb") as file:
            if not path.stat().st_size:
                raise DamagedInput(Reason.EMPTY, "the file has no bytes")
            return MemoryMap(file.fileno(), 0, access=mmap.ACCESS_READ)
    except OSError as error:
        raise InputError(
            f"{path.name} cannot be read: {error.strerror}", code="input_unreadable"
        ) from error


def load(operation: str, data: MemoryMap, **options: Any) -> pyvips.Image:
    """Run a buffer loader of libvips on a mapped file: ``pyvips.Operation.call`` without a copy.

    Args:
        operation: ``tiffload_buffer`` and the like.
        data: kept alive by the image and by everything made from it.
        options: of the loader.

    Raises:
        pyvips.Error: it cannot be opened, or the loader is blocked.
    """
    buffer = _ffi.from_buffer(data)
    loader: Any = pyvips.Operation.new_from_name(operation)
    value: Any = pyvips.GValue()
    value.set_type(pyvips.GValue.blob_type)
    # No function to free it with: the memory is the mapping's.
    _set_blob()(_address(value.pointer), None, _address(buffer), len(data))
    _gobject.g_object_set_property(loader.gobject, b"buffer", value.pointer)
    for name, option in options.items():
        loader.set(name, 0, None, option)
    built = _vips.vips_cache_operation_build(loader.pointer)
    if built == _ffi.NULL:
        _vips.vips_object_unref_outputs(loader.vobject)
        message = f"unable to call {operation}"
        raise pyvips.Error(message)
    loader = pyvips.Operation(built)
    image: pyvips.Image = loader.get("out")
    image._references.append(buffer)  # pyvips hands them on to every image made from this one
    _vips.vips_object_unref_outputs(loader.vobject)
    return image


def _address(pointer: Any) -> int:
    return int(_ffi.cast("uintptr_t", pointer))


@cache
def _set_blob() -> Any:
    """``vips_value_set_blob``, which pyvips does not declare; its compiled half leads to it."""
    library = import_module("_libvips").__file__
    function = ctypes.CDLL(library).vips_value_set_blob
    function.argtypes = (ctypes.c_void_p, ctypes.c_void_p, ctypes.c_void_p, ctypes.c_size_t)
    function.restype = None
    return function
