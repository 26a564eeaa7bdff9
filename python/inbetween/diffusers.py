"""Ways of embeddings through the pipelines of Hugging Face's diffusers: one picture for each row.

    from inbetween.diffusers import film, frames

    pictures = frames(pipe, "way.safetensors", seed=1, num_inference_steps=20)
    film(pipe, "way.safetensors", "way.mp4", batch=4, prompt="a red ball")

A way is what `render` writes, or arrays. The pipelines are Stable unCLIP, Kandinsky 2.2, and Stable Diffusion and SDXL with
IP-Adapters or led by prompts; docs/diffusers.md has a recipe for each. Needs torch, safetensors and Pillow; diffusers itself is the
caller's.
"""

from __future__ import annotations

import inspect
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import safetensors
import safetensors.torch
import torch
from torch import Tensor

from ._job import Bar
from .errors import ArgumentError, FileError, FormatError, MismatchError, NonfiniteError, UnsupportedError
from .latent_file import Path
from .rendering import write_film
from .shape import whole
from .space import slerp

if TYPE_CHECKING:
    from PIL.Image import Image

__all__ = ["DrawProgress", "Way", "film", "frames", "prompts", "read_way"]

One = str | os.PathLike[str] | Tensor | np.ndarray[Any, Any] | Mapping[str, Any]
Way = One | Sequence[One]

IMAGES = ("image_embeds", "hidden_states")
TEXTS = ("prompt_embeds", "pooled_prompt_embeds")
# What says something about each picture, and is one string for all of them or a list with one for each.
SAID = ("prompt", "prompt_2", "negative_prompt", "negative_prompt_2")
OURS = ("generator", "num_images_per_prompt", "output_type", "return_dict", "image_embeds", "negative_image_embeds", *TEXTS,
        "negative_prompt_embeds", "negative_pooled_prompt_embeds", "ip_adapter_image", "ip_adapter_image_embeds")  # fmt: skip


class DrawProgress(NamedTuple):
    done: int  # pictures
    total: int


def frames(
    pipe: Any,
    way: Way,
    *,
    batch: int = 1,
    seed: int = 0,
    progress: bool | Callable[[DrawProgress], None] = False,
    **call: Any,
) -> list[Image]:
    """One PIL picture for each row of the way.

    way: a file that `render` wrote; rows, [N, D] or, of hidden tokens, [N, T, D]; or a mapping with the tensors' names in such a file,
    `image_embeds` or `hidden_states` and their `negative_...` [1, ...]. In the mapping `prompt_embeds` [N, T, D], of SDXL with
    `pooled_prompt_embeds` [N, D], lead in place of a prompt (`prompts` makes them). A list has one way for each IP-Adapter, in the
    order in which they were loaded.

    Rows are raw, as the tower gives them. Every picture begins with the noise of `seed` and gets the same noise in each step, also when
    `batch` of them are made at once. call: further arguments of the pipeline; prompts and negative prompts are one for all or a list of
    N; `latents` [1, ...] takes the place of the first noise. noise_level, of Stable unCLIP: as in the pipeline, or None: rows reach the
    U-Net as they are.
    """
    return list(_Drawing(pipe, way, batch, seed, call).pictures(progress))


def film(
    pipe: Any,
    way: Way,
    output: Path,
    *,
    fps: float | None = None,
    crf: int = -1,
    overwrite: bool = False,
    batch: int = 1,
    seed: int = 0,
    progress: bool | Callable[[DrawProgress], None] = False,
    **call: Any,
) -> int:
    """The pictures of `frames` as a film, as `write_film` makes it; their number. fps: None: what the way's file says, else 24."""
    drawing = _Drawing(pipe, way, batch, seed, call)
    made = (np.asarray(picture.convert("RGB")) for picture in drawing.pictures(progress))
    return write_film(output, made, fps=drawing.fps if fps is None else fps, crf=crf, overwrite=overwrite)


def prompts(pipe: Any, texts: Sequence[str], frames: int = 25, **encode: Any) -> dict[str, Tensor]:
    """The way from prompt to prompt, by slerp of the text encoders' tokens and, of SDXL, of the pooled text.

    texts: two or more. frames: from one to the next, both counted. encode: further arguments of the pipeline's `encode_prompt`, such as
    negative_prompt, of which the way has the embeddings too. -> `prompt_embeds` [N, T, D], `negative_prompt_embeds` [1, T, D]; of SDXL
    also `pooled_prompt_embeds` [N, D] and `negative_pooled_prompt_embeds` [1, D].
    """
    if isinstance(texts, str) or len(texts) < 2:
        raise ArgumentError(f"texts: are {texts!r}: they are to be two prompts or more")
    places = np.arange(1, whole(frames, "frames", 2, 1_000_000)) / (frames - 1)
    with torch.no_grad():
        told = [
            pipe.encode_prompt(
                prompt=text, device=pipe._execution_device, num_images_per_prompt=1, do_classifier_free_guidance=True, **encode
            )
            for text in texts
        ]
    names = ("prompt_embeds", "negative_prompt_embeds", "pooled_prompt_embeds", "negative_pooled_prompt_embeds")
    way = {}
    for name, *keys in zip(names, *told):
        ends = [key.float().cpu().numpy() for key in keys]
        if name.startswith("negative"):
            way[name] = torch.from_numpy(ends[0])
        else:
            parts = [ends[0]] + [slerp(a[0], b[0], places) for a, b in zip(ends, ends[1:])]
            way[name] = torch.from_numpy(np.concatenate(parts))
    return way


def read_way(one: One, name: str = "way") -> dict[str, Tensor]:
    """A way's tensors by the names of `frames`, and `pts`: rows and negative ones checked against each other, and finite. name: of an
    array or a mapping, in errors."""
    if isinstance(one, (str, os.PathLike)):
        name = os.fsdecode(one)
        one = _load(name)
    if not isinstance(one, Mapping):
        rows = _floats(one, name)
        if rows.ndim not in (2, 3):
            raise MismatchError(f"{name}: has the shape {list(rows.shape)}: rows are [N, D] or [N, T, D]")
        return {IMAGES[rows.ndim - 2]: rows}
    known = {*IMAGES, *TEXTS, "pts"}
    tensors = {key: _floats(value, f"{name}: {key}") for key, value in one.items() if key.removeprefix("negative_") in known}
    ranks = {"image_embeds": 2, "hidden_states": 3, "prompt_embeds": 3, "pooled_prompt_embeds": 2, "pts": 1}
    for key, tensor in tensors.items():
        kind = key.removeprefix("negative_")
        if tensor.ndim != ranks[kind]:
            raise MismatchError(f"{name}: {key}: has the shape {list(tensor.shape)}: it has {ranks[kind]} axes")
        if key != kind and (len(tensor) != 1 or kind in tensors and tensor.shape[1:] != tensors[kind].shape[1:]):
            raise MismatchError(f"{name}: {key}: has the shape {list(tensor.shape)}: it is one row like those of {kind}")
    if set(IMAGES) <= tensors.keys():
        raise MismatchError(f"{name}: has image_embeds and hidden_states: a way has one of the two; a list has several ways")
    return tensors


class _Drawing:
    """A way, and the pipeline that draws it."""

    def __init__(self, pipe: Any, way: Way, batch: int, seed: int, call: dict[str, Any]):
        self.pipe, self.call = pipe, call
        self.batch, self.seed = whole(batch, "batch", 1, 1 << 16), whole(seed, "seed", 0, (1 << 64) - 1)
        refused = [name for name in call if name in OURS]
        if refused:
            raise ArgumentError(f"{refused[0]}: cannot be given: it comes from the way, the seed or what is returned")
        self.takes = inspect.signature(type(pipe).__call__).parameters
        self.kind = next((kind for kind in _KINDS if kind.fits(pipe, self.takes)), None)
        if self.kind is None:
            raise UnsupportedError(
                f"{type(pipe).__name__}: is led by no way: this draws with Stable unCLIP, Kandinsky 2.2, Stable Diffusion and SDXL"
            )
        several: list[Any] = list(way) if isinstance(way, (list, tuple)) else [way]
        read = [read_way(one, f"way {i}" if len(several) > 1 else "way") for i, one in enumerate(several)]
        counts = {len(tensors[name]) for tensors in read for name in (*IMAGES, *TEXTS) if name in tensors}
        if len(counts) != 1 or 0 in counts:
            raise MismatchError(f"way: has {' and '.join(map(str, sorted(counts))) or 'no'} rows: all parts have one number, 1 at least")
        self.rows = counts.pop()
        self.fps = next((_fps(tensors["pts"]) for tensors in read if "pts" in tensors), 24.0)
        self.texts = {name: tensors[name] for tensors in read for name in tensors if name.removeprefix("negative_") in TEXTS}
        self.images = [_images(tensors) for tensors in read if not set(IMAGES).isdisjoint(tensors)]
        self.led = self.kind(pipe, self.images, self.guided)
        if "prompt_embeds" in self.texts:
            if not isinstance(self.led, _ByAdapters):
                raise UnsupportedError(f"{type(pipe).__name__}: is led by image embeddings: a way of prompts is not for it")
            if "prompt" in call:
                raise ArgumentError("prompt: cannot be given: the way has prompt_embeds")
        self.said = {name: self._each(name, call[name]) for name in SAID if call.get(name) is not None}
        if "prompt" in self.takes and "prompt" not in self.said and "prompt_embeds" not in self.texts:
            self.said["prompt"] = [""] * self.rows

    @property
    def guided(self) -> bool:
        """Whether the pipeline is to be led away from something."""
        asked = self.takes.get("guidance_scale")
        scale = self.call.get("guidance_scale", asked.default if asked else 0)
        return scale is not None and float(scale) > 1

    def _each(self, name: str, value: str | Sequence[str]) -> list[str]:
        each = [value] * self.rows if isinstance(value, str) else list(value)
        if len(each) != self.rows or not all(isinstance(one, str) for one in each):
            raise ArgumentError(f"{name}: is to be a string, or a list with one for each of {self.rows} rows")
        return each

    def pictures(self, progress: bool | Callable[[DrawProgress], None]) -> Iterator[Image]:
        with Bar(progress, "frames", lambda event: (event.done, event.total)) as bar:
            for first in range(0, self.rows, self.batch):
                part = slice(first, min(self.rows, first + self.batch))
                yield from self._draw(part)
                bar(DrawProgress(part.stop, self.rows))

    def _draw(self, part: slice) -> list[Image]:
        pipe, n = self.pipe, part.stop - part.start
        call = {name: value for name, value in self.call.items() if name not in SAID}
        call |= {name: each[part] for name, each in self.said.items()}
        for name, tensor in self.texts.items():
            call[name] = _moved(tensor.expand(n, *tensor.shape[1:]) if len(tensor) == 1 else tensor[part], pipe)
        if isinstance(call.get("latents"), Tensor):
            call["latents"] = call["latents"].expand(n, -1, -1, -1)
        # A generator for each picture, all of one seed: one noise, in every step, whatever the batch.
        call["generator"] = [torch.Generator("cpu").manual_seed(self.seed) for _ in range(n)]
        with ExitStack() as stack:
            quiet = {**getattr(pipe, "_progress_bar_config", {}), "disable": True}
            stack.enter_context(_replaced(pipe, "_progress_bar_config", quiet))
            for name, function in self.led.put(call, part).items():
                stack.enter_context(_replaced(pipe, name, function))
            made = pipe(**call, output_type="pil").images
        if len(made) != n:
            raise MismatchError(f"{type(pipe).__name__}: made {len(made)} pictures of {n} rows")
        return list(made)


class _Images(NamedTuple):
    rows: Tensor  # [N, D] or [N, T, D]
    negative: Tensor | None  # [1, D] or [1, T, D]

    def check(self, hidden: bool, width: int | None, reader: str) -> None:
        """MismatchError unless the rows are what `reader` takes."""
        if hidden != (self.rows.ndim == 3):
            wanted, how = ("hidden tokens, [N, T, D]", "with") if hidden else ("one embedding for each picture, [N, D]", "without")
            raise MismatchError(f"way: has rows {list(self.rows.shape)}: {reader} reads {wanted}: render {how} tokens='penultimate'")
        if width is not None and self.rows.shape[-1] != width:
            raise MismatchError(
                f"way: has rows of {self.rows.shape[-1]} numbers: {reader} reads {width}: take the image tower that it was trained with"
            )


def _only(images: list[_Images], reader: str) -> _Images:
    if len(images) != 1:
        raise MismatchError(f"way: has {len(images)} ways of image embeddings: {reader} reads one")
    return images[0]


class _ByUnclip:
    """Stable unCLIP: it normalises rows itself, makes them noisy, and is led away from zeros."""

    @staticmethod
    def fits(pipe: Any, takes: Mapping[str, Any]) -> bool:
        return "image_embeds" in takes and "noise_level" in takes

    def __init__(self, pipe: Any, images: list[_Images], guided: bool):
        self.pipe, self.way = pipe, _only(images, "Stable unCLIP")
        self.way.check(False, pipe.image_normalizer.mean.shape[-1], "Stable unCLIP")

    def put(self, call: dict[str, Any], part: slice) -> dict[str, Any]:
        call["image_embeds"] = _moved(self.way.rows[part], self.pipe)
        if call.get("noise_level", 0) is not None:
            return {}
        call["noise_level"] = 0
        return {"noise_image_embeddings": self._without_noise}

    def _without_noise(self, image_embeds: Tensor, noise_level: Any, noise: Any = None, generator: Any = None) -> Tensor:
        """The rows as they are, and beside them what the pipeline says of level 0."""
        width = image_embeds.shape[1]
        told = type(self.pipe).noise_image_embeddings(self.pipe, image_embeds, noise_level, noise=torch.zeros_like(image_embeds))
        return torch.cat((image_embeds, told[:, width:]), 1)


class _ByKandinsky:
    """Kandinsky 2.2: it is led away from what the tower makes of an empty picture."""

    @staticmethod
    def fits(pipe: Any, takes: Mapping[str, Any]) -> bool:
        return "image_embeds" in takes and "negative_image_embeds" in takes and hasattr(pipe, "movq")

    def __init__(self, pipe: Any, images: list[_Images], guided: bool):
        self.pipe, self.way = pipe, _only(images, "Kandinsky")
        self.way.check(False, pipe.unet.config.encoder_hid_dim, "Kandinsky")
        if guided and self.way.negative is None:
            raise MismatchError("way: has no negative_image_embeds: Kandinsky is led away from them, unless guidance_scale is 1 or less")

    def put(self, call: dict[str, Any], part: slice) -> dict[str, Any]:
        rows = _moved(self.way.rows[part], self.pipe)
        call["image_embeds"] = rows
        negative = torch.zeros_like(rows) if self.way.negative is None else _moved(self.way.negative, self.pipe).expand_as(rows)
        call["negative_image_embeds"] = negative
        return {}


class _ByAdapters:
    """Stable Diffusion and SDXL: a list of embeddings, one entry for each IP-Adapter; or prompt embeddings alone."""

    @staticmethod
    def fits(pipe: Any, takes: Mapping[str, Any]) -> bool:
        return "prompt_embeds" in takes and "ip_adapter_image_embeds" in takes and hasattr(pipe, "unet")

    def __init__(self, pipe: Any, images: list[_Images], guided: bool):
        self.pipe, self.ways = pipe, images
        layers = getattr(getattr(pipe.unet, "encoder_hid_proj", None), "image_projection_layers", [])
        if len(layers) != len(images):
            raise MismatchError(f"way: has {len(images)} ways of image embeddings: the pipeline has {len(layers)} IP-Adapters loaded")
        for i, (way, layer) in enumerate(zip(images, layers)):
            pooled = hasattr(layer, "image_embeds")  # ImageProjection; all others read tokens, as the pipelines have it
            reads = layer.image_embeds if pooled else getattr(layer, "proj_in", None)
            way.check(not pooled, getattr(reads, "in_features", None), f"IP-Adapter {i}")

    def put(self, call: dict[str, Any], part: slice) -> dict[str, Any]:
        if not self.ways:
            return {}
        # The pipeline repeats what it is given for every prompt of a batch, so it can have but one row. What it makes of it is replaced.
        call["ip_adapter_image_embeds"] = [way.rows[part.start : part.start + 1][:, None] for way in self.ways]

        def prepare(
            ip_adapter_image: Any, ip_adapter_image_embeds: Any, device: Any, num_images_per_prompt: int, do_classifier_free_guidance: bool,
            *more: Any,
        ) -> list[Tensor]:  # fmt: skip
            return [self._entry(way, part, do_classifier_free_guidance) for way in self.ways]

        return {"prepare_ip_adapter_image_embeds": prepare}

    def _entry(self, way: _Images, part: slice, guided: bool) -> Tensor:
        """[n or, guided, 2 n, 1, D] or [..., 1, T, D], the negative half first."""
        rows = way.rows[part]
        if guided:
            if way.negative is not None and rows.ndim == 3:
                negative = way.negative.to(rows).expand_as(rows)
            elif rows.ndim == 2:  # what plain adapters were trained with, whatever the file says
                negative = torch.zeros_like(rows)
            else:
                raise MismatchError("way: has no negative_hidden_states: an adapter of hidden tokens is led away from them")
            rows = torch.cat([negative, rows])
        return _moved(rows[:, None], self.pipe)


_KINDS = (_ByUnclip, _ByKandinsky, _ByAdapters)


def _moved(rows: Tensor, pipe: Any) -> Tensor:
    """On the pipeline's device, in its U-Net's type."""
    return rows.to(device=pipe._execution_device, dtype=pipe.unet.dtype)


@contextmanager
def _replaced(owner: Any, name: str, value: Any) -> Iterator[None]:
    """An attribute of the object itself, for the length of a with statement."""
    there, before = name in vars(owner), vars(owner).get(name)
    setattr(owner, name, value)
    try:
        yield
    finally:
        if there:
            setattr(owner, name, before)
        else:
            delattr(owner, name)


def _load(text: str) -> dict[str, Tensor]:
    try:
        return safetensors.torch.load_file(text)
    except OSError as problem:
        raise FileError(f"{text}: cannot be read: {problem.strerror or problem}") from None
    except safetensors.SafetensorError as problem:
        raise FormatError(f"{text}: is no way: {problem}") from None


def _floats(value: Any, name: str) -> Tensor:
    """float32 (of times: their own type), finite, on its device. TypeError for another kind of numbers."""
    tensor = value.detach() if isinstance(value, Tensor) else torch.from_numpy(np.array(value))
    if not tensor.is_floating_point():
        raise TypeError(f"{name}: has the dtype {tensor.dtype}: it is to be of a floating type")
    if not torch.isfinite(tensor).all():
        raise NonfiniteError(f"{name}: has NaN or infinity in it")
    return tensor if tensor.dtype == torch.float64 and tensor.ndim == 1 else tensor.float()


def _images(tensors: Mapping[str, Tensor]) -> _Images:
    name = next(name for name in IMAGES if name in tensors)
    return _Images(tensors[name], tensors.get(f"negative_{name}"))


def _fps(times: Tensor) -> float:
    """Of rows at these times; 24 where they do not say."""
    span = float(times[-1] - times[0]) if len(times) > 1 else 0.0
    return (len(times) - 1) / span if span > 0 else 24.0
