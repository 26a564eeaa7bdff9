"""ComfyUI's embeddings on the way from one to another.

What of ComfyUI these nodes touch: its protocol of nodes; CLIP_VISION_OUTPUT, an object with the tensors image_embeds [B, D],
penultimate_hidden_states and last_hidden_state [B, T, W], made by comfy.clip_vision.Output(); CONDITIONING, a list of pairs of a tensor
[B, T, D] and a dictionary that may hold pooled_output [B, P].

A way leaves a node as a list: ComfyUI then runs what follows once for each frame, with one seed, so with one noise.
"""

from __future__ import annotations

import os
from typing import Any

import numpy as np
import torch

from inbetween import Adapter, slerp
from inbetween.errors import MismatchError, UnsupportedError

CATEGORY = "inbetween"
OUTPUTS = ("image_embeds", "penultimate_hidden_states", "last_hidden_state")
FILE_NAMES = {"image_embeds": "image_embeds", "hidden_states": "penultimate_hidden_states"}  # a way's, and ComfyUI's
FRAMES = ("INT", {"default": 25, "min": 2, "max": 10000, "tooltip": "from first to last, both counted"})
GAP = ("FLOAT", {"default": 1.0, "min": 0.01, "max": 3600.0, "step": 0.01, "tooltip": "the time from first to last that the model sees"})


class LoadAdapter:
    """An adapter from its file."""

    CATEGORY, FUNCTION = CATEGORY, "load"
    RETURN_TYPES, RETURN_NAMES = ("INBETWEEN_ADAPTER",), ("adapter",)

    @classmethod
    def INPUT_TYPES(cls) -> dict[str, Any]:
        return {"required": {"path": ("STRING", {"default": "run/adapter.safetensors"})}}

    @classmethod
    def IS_CHANGED(cls, path: str) -> float:
        """Another value where the file is another one: then it is loaded again."""
        return os.stat(path).st_mtime if os.path.exists(path) else float("nan")

    def load(self, path: str) -> tuple[Adapter]:
        return (Adapter.load(path),)


class BetweenClipVision:
    """The way between two CLIP_VISION_OUTPUTs."""

    CATEGORY, FUNCTION = CATEGORY, "between"
    RETURN_TYPES, RETURN_NAMES, OUTPUT_IS_LIST = ("CLIP_VISION_OUTPUT",), ("frames",), (True,)

    @classmethod
    def INPUT_TYPES(cls) -> dict[str, Any]:
        both = {"first": ("CLIP_VISION_OUTPUT",), "last": ("CLIP_VISION_OUTPUT",)}
        return {"required": {**both, "frames": FRAMES, "gap_seconds": GAP}, "optional": {"adapter": ("INBETWEEN_ADAPTER",)}}

    def between(self, first: Any, last: Any, frames: int, gap_seconds: float, adapter: Adapter | None = None) -> tuple[list[Any]]:
        """The adapter moves the tensor of its layout, slerp the others: without an adapter all of them."""
        made = [type(first)() for _ in range(frames)]
        moved = {None: None, "single": "image_embeds", "sequence": "penultimate_hidden_states"}
        layout = adapter.info.layout if adapter is not None else None
        if layout not in moved:
            raise UnsupportedError(f"adapter: is of the layout {layout}: CLIP_VISION_OUTPUT has single embeddings and sequences")
        for name in OUTPUTS:
            ends = [_one(getattr(side, name, None), name) for side in (first, last)]
            rows = _way(*ends, frames, gap_seconds, adapter if name == moved[layout] else None)
            for one, row in zip(made, rows):
                setattr(one, name, row)
        return (made,)


class BetweenConditionings:
    """The way between two CONDITIONINGs: tokens, and pooled_output where both have it. All else is the first one's."""

    CATEGORY, FUNCTION = CATEGORY, "between"
    RETURN_TYPES, RETURN_NAMES, OUTPUT_IS_LIST = ("CONDITIONING",), ("frames",), (True,)

    @classmethod
    def INPUT_TYPES(cls) -> dict[str, Any]:
        both = {"first": ("CONDITIONING",), "last": ("CONDITIONING",)}
        return {"required": {**both, "frames": FRAMES, "gap_seconds": GAP}, "optional": {"adapter": ("INBETWEEN_ADAPTER",)}}

    def between(self, first: Any, last: Any, frames: int, gap_seconds: float, adapter: Adapter | None = None) -> tuple[list[Any]]:
        if len(first) != 1 or len(last) != 1:
            raise UnsupportedError(f"conditionings: have {len(first)} and {len(last)} parts: a way leads from one to one")
        (tokens, more), (other_tokens, other_more) = first[0], last[0]
        rows = _way(_one(tokens, "first"), _one(other_tokens, "last"), frames, gap_seconds, adapter)
        pooled = [side.get("pooled_output") for side in (more, other_more)]
        if all(one is not None for one in pooled):
            pooled_rows = _way(_one(pooled[0], "first"), _one(pooled[1], "last"), frames, gap_seconds, None)
        else:
            pooled_rows = [pooled[0]] * frames
        return ([[[row, {**more, "pooled_output": one}]] for row, one in zip(rows, pooled_rows)],)


class LoadWay:
    """A way that `inbetween render -o way.safetensors` wrote: as one batch, and as a list."""

    CATEGORY, FUNCTION = CATEGORY, "load"
    RETURN_TYPES, RETURN_NAMES = ("CLIP_VISION_OUTPUT", "CLIP_VISION_OUTPUT", "INT"), ("batch", "frames", "count")
    OUTPUT_IS_LIST = (False, True, False)

    @classmethod
    def INPUT_TYPES(cls) -> dict[str, Any]:
        return {"required": {"path": ("STRING", {"default": "way.safetensors"})}}

    IS_CHANGED = LoadAdapter.IS_CHANGED

    def load(self, path: str) -> tuple[Any, list[Any], int]:
        from comfy.clip_vision import Output

        from inbetween.diffusers import read_way

        tensors = {FILE_NAMES[name]: tensor for name, tensor in read_way(path).items() if name in FILE_NAMES}
        if not tensors:
            raise MismatchError(f"{path}: has no image_embeds and no hidden_states")
        count = len(next(iter(tensors.values())))

        def output(rows: slice) -> Any:
            made = Output()
            for name in OUTPUTS:
                setattr(made, name, tensors[name][rows] if name in tensors else None)
            return made

        return output(slice(None)), [output(slice(i, i + 1)) for i in range(count)], count


def _one(rows: Any, name: str) -> torch.Tensor | None:
    """[1, ...], of a batch of one; None where there is none."""
    if rows is not None and len(rows) != 1:
        raise MismatchError(f"{name}: has a batch of {len(rows)}: a way leads from one to one")
    return rows


def _way(first: Any, last: Any, frames: int, gap_seconds: float, adapter: Adapter | None) -> list[Any]:
    """first, last: [1, ...]; `frames` of them, the ends as they are. None between nothing."""
    if first is None or last is None:
        return [None] * frames
    if first.shape != last.shape:
        raise MismatchError(f"first and last: have the shapes {list(first.shape)} and {list(last.shape)}: they are to be one")
    ends, places = [side[0].detach().float().cpu().numpy() for side in (first, last)], np.linspace(0, 1, frames)
    if adapter is None:
        rows = slerp(*ends, places)
    else:
        rows = adapter.between(*ends, places, gap_seconds=gap_seconds)
    return [torch.from_numpy(row[None]).to(first) for row in rows]


NODE_CLASS_MAPPINGS = {
    "InbetweenLoadAdapter": LoadAdapter,
    "InbetweenClipVision": BetweenClipVision,
    "InbetweenConditionings": BetweenConditionings,
    "InbetweenLoadWay": LoadWay,
}
NODE_DISPLAY_NAME_MAPPINGS = {
    "InbetweenLoadAdapter": "Load in-between adapter",
    "InbetweenClipVision": "Between two CLIP vision outputs",
    "InbetweenConditionings": "Between two conditionings",
    "InbetweenLoadWay": "Load way of embeddings",
}
