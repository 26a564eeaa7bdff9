"""Spaces: fixed maps from pictures, and where they can from prompts, to latents; and slerp between latents."""

from __future__ import annotations

import os
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from ._library import Closing, Handle, call, encoded, ffi, lib, text_of
from .errors import ArgumentError, UnsupportedError
from .frames import Pictures, empty_frame, frame_of, picture_of, pictures
from .shape import Floats, Shape, choice, floats, numbers, pointer, threads_of, whole

FITS = ("crop", "squash")
TOKENS = ("pooled", "penultimate")


class Space(Closing):
    """A space by name: "patch", "clip:PATH" or "vae:PATH". One thread at a time; `with` closes it."""

    def __init__(
        self,
        spec: str,
        *,
        fit: str = "crop",  # how pictures become the space's own size: "crop" or "squash"
        tokens: str = "pooled",  # of clip: "pooled", one embedding, or "penultimate", the hidden tokens
        activation: str | None = None,  # of clip: "quick_gelu" or "gelu"; None: what the files say
        tokenizer: str | os.PathLike[str] | None = None,  # of clip: folder or tokenizer.json; None: beside the weights
        threads: int = 0,  # 0: as many as OpenMP has
    ):
        texts = [ffi.new("char[]", encoded(text)) if text is not None else ffi.NULL for text in (activation, tokenizer)]
        how = ffi.new("ib_space_options *")
        how.fit, how.tokens = choice(fit, FITS, "fit"), choice(tokens, TOKENS, "tokens")
        how.activation, how.tokenizer = texts
        how.threads = threads_of(threads)
        out = ffi.new("ib_space **")
        call(lib.ib_space_open_with, out, encoded(spec), how)
        self._handle = Handle("ib_space", out[0], lib.ib_space_close, spec)

    @property
    def id(self) -> str:
        """Names all that defines the coordinates: latents of equal ids can be exchanged."""
        with self._handle.use() as space:
            return text_of(lib.ib_space_id(space))

    @property
    def remark(self) -> str:
        """What was found and chosen in opening, a sentence; or empty."""
        with self._handle.use() as space:
            return text_of(lib.ib_space_remark(space))

    @property
    def reads_text(self) -> bool:
        """Whether `encode_text` can."""
        with self._handle.use() as space:
            return bool(lib.ib_space_reads_text(space))

    @property
    def decodes(self) -> bool:
        """Whether `decode` can."""
        with self._handle.use() as space:
            return bool(lib.ib_space_decodes(space))

    def shape(self, width: int, height: int) -> Shape:
        """Of the latent of a picture of width x height px."""
        with self._handle.use() as space:
            return _shape(space, width, height)

    def encode(self, picture: ArrayLike) -> Floats:
        """picture: uint8 [..., H, W, 3], RGB -> [..., latent]"""
        picture = pictures(picture, "picture")
        batch = picture.shape[:-3]
        with self._handle.use() as space:
            shape = _shape(space, picture.shape[-2], picture.shape[-3])
            z = np.empty((int(np.prod(batch)),) + shape.array, np.float32)
            for one, out in zip(picture.reshape((-1,) + picture.shape[-3:]), z):
                with frame_of(one) as frame:
                    call(lib.ib_space_encode, space, frame, pointer(out))
        return z.reshape(batch + shape.array)

    def encode_text(self, prompt: str) -> Floats:
        """The prompt's latent. UnsupportedError in a space that does not read text."""
        if not isinstance(prompt, str):
            raise TypeError(f"prompt: is {type(prompt).__name__}: it is to be str")
        with self._handle.use() as space:
            if not lib.ib_space_reads_text(space):
                raise UnsupportedError(f"{self._handle.name}: does not read prompts")
            shape = _shape(space, 224, 224)
            z = np.empty(shape.array, np.float32)
            call(lib.ib_space_encode_text, space, encoded(prompt), pointer(z))
        return z

    def decode(self, z: ArrayLike, width: int, height: int) -> Pictures:
        """z: [..., latent], of pictures of width x height px -> uint8 [..., H, W, 3]"""
        z = floats(z, "z")
        with self._handle.use() as space:
            shape = _shape(space, width, height)
            batch = shape.batch_of(z, "z")
            out = np.empty((int(np.prod(batch)), height, width, 3), np.uint8)
            for one, picture in zip(z.reshape((-1,) + shape.array), out):
                with empty_frame(width, height) as frame:
                    call(lib.ib_space_decode, space, pointer(one), frame)
                    picture[...] = picture_of(frame)
        return out.reshape(batch + (height, width, 3))


def _shape(space: Any, width: int, height: int) -> Shape:
    raw = ffi.new("ib_shape *")
    call(lib.ib_space_shape, space, whole(width, "width", 1, 16384), whole(height, "height", 1, 16384), raw)
    return Shape.of_struct(raw)


def slerp(z0: ArrayLike, z1: ArrayLike, t: ArrayLike, *, space_id: str = "") -> Floats:
    """Between latents, token by token, as the library joins those of a space (latent/geometry.h).

    z0, z1: [..., D] of one shape, the last axis a token. t: one number in [0, 1], or [n] of them. -> z0's shape, or [n] before it.
    space_id: as `Space.id` or `LatentFile.space_id` say it; the patch space has its own rule, which looks at whole latents:
    there z0 and z1 are one latent, [rows, cols, D] or [T, D].
    """
    z0, z1, t = floats(z0, "z0"), floats(z1, "z1"), numbers(t, "t")
    if z0.shape != z1.shape or z0.ndim == 0 or z0.size == 0:
        raise ArgumentError(f"z0 and z1: have the shapes {list(z0.shape)} and {list(z1.shape)}: they are to be one, and not empty")
    if t.ndim > 1 or not ((t >= 0) & (t <= 1)).all():
        raise ArgumentError("t: is to be one number or a list of numbers, all in [0, 1]")
    width = z0.shape[-1]
    if lib.ib_space_is_pictures(encoded(space_id)) and width != lib.IB_PATCH_D:
        raise ArgumentError(f"z0: has tokens of {width} numbers: those of {space_id} have {lib.IB_PATCH_D}")
    geometry = lib.ib_geometry_of(encoded(space_id))
    out = np.empty(t.shape + z0.shape, np.float32)
    for place, one in zip(t.reshape(-1), out.reshape((-1,) + z0.shape)):
        lib.ib_slerp_in(geometry, pointer(z0), pointer(z1), place, z0.size // width, width, pointer(one))
    return out
