"""Reads a plain scene from its pixels alone: colour, shape, place and size of its objects. No learnt part.

An object is a connected region that differs from the background (the border's most common colour). Its colour is the
nearest of the world's, its shape the one whose drawing, at the region's own place and size, covers it best.

    python detector.py [--seed 1] [--n 1000]    # on the generator's own pictures
"""
import argparse

import numpy as np

import scenes

COLOURS = scenes.COLOUR_VALUES
SIZE = 64
AT = (np.arange(SIZE, dtype=np.float32) + 0.5) / SIZE


def _ground(p):
    """The colour of the border: the median of what lies nearest to the border's most common colour."""
    edge = np.concatenate([e.reshape(-1, 3) for e in (p[:2], p[-2:], p[:, :2], p[:, -2:])])
    bins = (edge * 5.999).astype(int) @ np.array([36, 6, 1])
    best = edge[bins == np.bincount(bins).argmax()].mean(0)
    return np.median(edge[np.abs(edge - best).max(1) < 0.15], 0)


def _regions(mask):
    """Connected regions, largest first."""
    label = np.zeros(mask.shape, int)
    found = []
    for y, x in zip(*np.nonzero(mask)):
        if label[y, x]:
            continue
        label[y, x] = len(found) + 1
        stack, cells = [(y, x)], []
        while stack:
            y, x = stack.pop()
            cells.append((y, x))
            for v, u in ((y - 1, x), (y + 1, x), (y, x - 1), (y, x + 1)):
                if 0 <= v < SIZE and 0 <= u < SIZE and mask[v, u] and not label[v, u]:
                    label[v, u] = len(found) + 1
                    stack.append((v, u))
        found.append(np.array(cells))
    return sorted(found, key=len, reverse=True)


def _best_shape(cover, x, y, size):
    """Shape, place and radius whose drawing is most like cover [SIZE,SIZE], from 0 to 1."""
    best = (np.inf, None)
    u, v = np.meshgrid(AT, AT)
    for name in scenes.SHAPES:
        for r in size * SCALES[name]:
            for angle in (-0.08, 0, 0.08):
                ox, oy = CENTRES[name]
                c, s = np.cos(angle), np.sin(angle)
                px, py = x - (ox * c - oy * s) * r, y - (ox * s + oy * c) * r
                dx, dy = u - px, v - py
                drawn = np.clip(0.5 - SIZE * scenes.distance(name, dx * c + dy * s, dy * c - dx * s, r), 0, 1)
                wrong = np.abs(drawn - cover).sum() / (drawn.sum() + cover.sum())
                if wrong < best[0]:
                    best = (wrong, (name, px, py, r))
    return best


def _measure():
    """For each shape drawn whole at radius 1/4: radius over root of area, centre of mass in radii."""
    u, v = np.meshgrid(np.linspace(-1.2, 1.2, 400), np.linspace(-1.2, 1.2, 400))
    scales, centres = {}, {}
    for name in scenes.SHAPES:
        inside = scenes.distance(name, u, v, 1.0) < 0
        root = np.sqrt(inside.sum() * (2.4 / 399) ** 2)
        scales[name] = np.array([0.94, 1.0, 1.06]) / root
        centres[name] = (u[inside].mean(), v[inside].mean())
    return scales, centres


SCALES, CENTRES = _measure()


def read(picture):
    """Objects of a picture, uint8 [64,64,3], the largest first: dicts with colour, shape, x, y, r and fit (0: as
    drawn, 1: nothing alike)."""
    p = picture.astype(np.float32) / 255
    ground = _ground(p)
    off = np.abs(p - ground).max(-1)
    out = []
    for cells in _regions(off > 0.16):
        if len(cells) < 12:
            break
        ys, xs = cells.T
        strength = off[ys, xs]
        core = p[ys, xs][strength >= np.quantile(strength, 0.5)]
        ink = np.median(core, 0)
        full = np.abs(ink - ground).max()
        near = np.zeros((SIZE, SIZE), bool)
        for dy in (-1, 0, 1):
            for dx in (-1, 0, 1):
                near[np.clip(ys + dy, 0, SIZE - 1), np.clip(xs + dx, 0, SIZE - 1)] = True
        cover = np.clip(off / max(full, 1e-3), 0, 1) * near
        area = cover.sum()
        x, y = (cover * AT).sum() / area, (cover * AT[:, None]).sum() / area
        fit, (shape, px, py, r) = _best_shape(cover, x, y, np.sqrt(area) / SIZE)
        colour = scenes.COLOUR_NAMES[int(np.square(COLOURS - ink).sum(1).argmin())]
        out.append({"colour": colour, "shape": shape, "x": float(px), "y": float(py), "r": float(r),
                    "fit": float(fit), "ground": scenes.GROUND_NAMES[int(np.square(
                        scenes.GROUND_VALUES - ground).sum(1).argmin())]})
    return out


def compare(found, s, i):
    """Of each object of scene i: is its colour right, its shape, its place to a fifth of the picture? An object is
    told by its place: the nearest that was found."""
    rows, left = [], list(found)
    for k in range(int(s["count"][i])):
        if not left:
            rows.append((False, False, False))
            continue
        far = [np.hypot(o["x"] - s["x"][i, k], o["y"] - s["y"][i, k]) for o in left]
        o = left.pop(int(np.argmin(far)))
        rows.append((o["colour"] == scenes.COLOUR_NAMES[s["colour"][i, k]],
                     o["shape"] == scenes.SHAPES[s["shape"][i, k]], min(far) <= 0.2))
    return rows


def rates(pictures, s):
    """Shares of objects that are right."""
    rows = np.array([r for i, p in enumerate(pictures) for r in compare(read(p), s, i)], float)
    return dict(zip(("colour", "shape", "place"), rows.mean(0).round(4).tolist()))


if __name__ == "__main__":
    p = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    p.add_argument("--seed", type=int, default=1)
    p.add_argument("--n", type=int, default=1000)
    a = p.parse_args()
    s = scenes.sample(np.random.default_rng([99, a.seed]), a.n, True)
    r = rates(scenes.draw(s), s)
    print(r)
    raise SystemExit(0 if min(r.values()) >= 0.98 else 1)
