"""The tiny world: coloured shapes before backgrounds, drawn from their description.

A scene is a row of arrays, so that thousands are drawn at once. Places and sizes are in units of the picture: x
from 0 (left) to 1 (right), y from 0 (top) to 1 (bottom), r the radius of the circle around an object. Objects are
drawn in order: the last is in front.

Two kinds of scenes. The *plain subset*: one or two upright objects that do not touch, of one colour, on a flat
background. The *full set*: one to three objects at any angle, with textures, one before the other, on backgrounds
with gradients and patterns.
"""
import numpy as np

SHAPES = ["circle", "square", "triangle", "star", "cross", "ring", "moon", "bar"]
COLOURS = {"red": (214, 38, 38), "orange": (245, 132, 20), "yellow": (250, 222, 40), "green": (40, 160, 60),
           "cyan": (60, 205, 215), "blue": (40, 80, 225), "purple": (130, 45, 165), "pink": (250, 140, 190),
           "white": (250, 250, 250), "black": (12, 12, 12)}
BACKGROUNDS = {"white": (240, 240, 240), "black": (25, 25, 25), "gray": (128, 128, 128),
               "beige": (222, 200, 160), "navy": (22, 30, 85), "olive": (105, 110, 50)}
TEXTURES = ["plain", "striped", "dotted", "checkered"]
GROUNDS = ["flat", "gradient", "striped", "checkered", "dotted"]
PLACES = [["top left", "top", "top right"], ["left", "center", "right"],
          ["bottom left", "bottom", "bottom right"]]
SIZES = {"small": (0.125, 0.160), "large": (0.205, 0.260)}  # radii in the plain subset
MOST = 3  # objects in a scene
# The angle after which a shape looks the same again, in turns.
SYMMETRY = np.array([0, 1 / 4, 1 / 3, 1 / 5, 1 / 4, 0, 1, 1 / 2])
COLOUR_NAMES, COLOUR_VALUES = list(COLOURS), np.array(list(COLOURS.values()), np.float32) / 255
GROUND_NAMES, GROUND_VALUES = list(BACKGROUNDS), np.array(list(BACKGROUNDS.values()), np.float32) / 255

# Fields of a scene: name -> (shape after the first axis, type).
FIELDS = {"plain": ((), bool), "count": ((), np.int8), "shape": ((MOST,), np.int8), "colour": ((MOST,), np.int8),
          "rgb": ((MOST, 3), np.float32), "texture": ((MOST,), np.int8), "x": ((MOST,), np.float32),
          "y": ((MOST,), np.float32), "r": ((MOST,), np.float32), "angle": ((MOST,), np.float32),
          "ground": ((), np.int8), "ground_colour": ((), np.int8), "ground_rgb": ((2, 3), np.float32),
          "ground_angle": ((), np.float32), "camera": ((3,), np.float32)}  # camera: x, y of its centre, zoom


def empty(n):
    s = {k: np.zeros((n, *shape), kind) for k, (shape, kind) in FIELDS.items()}
    s["camera"][:] = (0.5, 0.5, 1)
    return s


def take(s, rows):
    return {k: v[rows] for k, v in s.items()}


def join(parts):
    return {k: np.concatenate([p[k] for p in parts]) for k in FIELDS}


def place(x, y):
    """The word of a place."""
    return PLACES[int(np.clip(y * 3, 0, 2.99))][int(np.clip(x * 3, 0, 2.99))]


def size_word(r):
    return "small" if r < 0.18 else "large"


def turned(shape, angle):
    """True where an object visibly stands askew: more than 10 degrees from upright."""
    period = np.maximum(SYMMETRY[shape], 1e-3) * 2 * np.pi
    off = np.abs((angle + period / 2) % period - period / 2)
    return (SYMMETRY[shape] > 0) & (off > np.radians(10))


def _jitter(rng, rgb, by=0.03):
    return np.clip(rgb + rng.uniform(-by, by, rgb.shape), 0, 1).astype(np.float32)


def _clashes(ground_rgb, rgb):
    return np.abs(ground_rgb - rgb).max(-1) < 0.3


def touching(s, k):
    """Whether object k touches an earlier one, for each scene."""
    hit = np.zeros(len(s["count"]), bool)
    for j in range(k):
        far = np.hypot(s["x"][:, j] - s["x"][:, k], s["y"][:, j] - s["y"][:, k])
        hit |= far < s["r"][:, j] + s["r"][:, k] + 0.02
    return hit


def _draw_object(rng, s, k, rows, plain):
    n = len(rows)
    s["shape"][rows, k] = rng.integers(0, len(SHAPES), n)
    s["colour"][rows, k] = rng.integers(0, len(COLOURS), n)
    s["rgb"][rows, k] = _jitter(rng, COLOUR_VALUES[s["colour"][rows, k]])
    large = rng.random(n) < 0.5
    if plain:
        bounds = np.array(list(SIZES.values()))[large.astype(int)]
        r = rng.uniform(bounds[:, 0], bounds[:, 1])
    else:
        r = rng.uniform(0.11, 0.3, n)
        s["texture"][rows, k] = rng.integers(0, len(TEXTURES), n) * (rng.random(n) < 0.6)
    s["r"][rows, k] = r
    for axis in "xy":  # a third of the picture first, then a place in it, not on its border
        third = rng.integers(0, 3, n)
        low = np.maximum(third / 3 + 0.02, r * 0.85)
        high = np.minimum((third + 1) / 3 - 0.02, 1 - r * 0.85)
        s[axis][rows, k] = rng.uniform(np.minimum(low, high), np.maximum(low, high))
    s["angle"][rows, k] = rng.uniform(-0.1, 0.1, n) if plain else rng.uniform(-np.pi, np.pi, n)


def sample(rng, n, plain):
    """n fresh scenes."""
    s = empty(n)
    s["plain"][:] = plain
    s["count"] = rng.integers(1, 3 if plain else MOST + 1, n).astype(np.int8)
    s["ground_colour"] = rng.integers(0, len(BACKGROUNDS), n).astype(np.int8)
    s["ground_rgb"][:, 0] = _jitter(rng, GROUND_VALUES[s["ground_colour"]])
    other = (s["ground_colour"] + rng.integers(1, len(BACKGROUNDS), n)) % len(BACKGROUNDS)
    mixed = s["ground_rgb"][:, 0] * 0.6 + 0.4 * GROUND_VALUES[other]
    s["ground_rgb"][:, 1] = mixed
    s["ground_angle"] = rng.uniform(0, 2 * np.pi, n).astype(np.float32)
    if not plain:
        s["ground"] = (rng.integers(0, len(GROUNDS), n)).astype(np.int8)
    for k in range(2 if plain else MOST):
        rows = np.flatnonzero(s["count"] > k)
        for _ in range(60):
            _draw_object(rng, s, k, rows, plain)
            bad = _clashes(s["ground_rgb"][:, 0], s["rgb"][:, k])
            for j in range(k):  # an object before one of its own colour is not seen
                bad |= s["colour"][:, j] == s["colour"][:, k]
            if plain:
                bad |= touching(s, k)
            else:
                for j in range(k):
                    bad |= np.hypot(s["x"][:, j] - s["x"][:, k], s["y"][:, j] - s["y"][:, k]) < 0.2
            rows = np.flatnonzero(bad & (s["count"] > k))
            if not len(rows):
                break
        s["count"][rows] = k  # no room found
    return s


def _polygon(px, py, outer, inner, points):
    """Distance to a star of straight lines: radius `outer` at its points, `inner` between them."""
    wedge = np.pi / points
    a = np.arctan2(px, -py)
    a = np.abs((a + wedge) % (2 * wedge) - wedge)
    rho = np.hypot(px, py)
    x, y = rho * np.cos(a), rho * np.sin(a)
    ex, ey = inner * np.cos(wedge) - outer, inner * np.sin(wedge)
    long = np.hypot(ex, ey)
    return ((x - outer) * ey - y * ex) / long


def distance(shape, x, y, r):
    """Signed distance to a shape's edge, below 0 within. x, y from its centre, upright."""
    if shape == "circle":
        return np.hypot(x, y) - r
    if shape == "ring":
        return np.abs(np.hypot(x, y) - 0.75 * r) - 0.25 * r
    if shape == "square":
        return np.maximum(np.abs(x), np.abs(y)) - 0.82 * r
    if shape == "bar":
        return np.maximum(np.abs(x) - r, np.abs(y) - 0.36 * r)
    if shape == "cross":
        ax, ay = np.abs(x), np.abs(y)
        return np.maximum(np.maximum(ax, ay) - r, np.minimum(ax, ay) - 0.3 * r)
    if shape == "triangle":
        return _polygon(x, y - 0.15 * r, r * 1.05, r * 0.525, 3)
    if shape == "star":
        return _polygon(x, y, r * 1.08, r * 0.45, 5)
    return np.maximum(np.hypot(x, y) - r, 0.85 * r - np.hypot(x - 0.55 * r, y + 0.1 * r))  # moon


def _pattern(kind, u, v):
    """A texture's weight between two colours, 0 to 1, at u, v in stripes."""
    if kind == "striped":
        return np.clip(0.5 + 2.2 * np.sin(2 * np.pi * u), 0, 1)
    if kind == "checkered":
        return np.clip(0.5 + 3.2 * np.sin(2 * np.pi * u) * np.sin(2 * np.pi * v), 0, 1)
    return np.clip(4 * (0.32 - np.hypot(u % 1 - 0.5, v % 1 - 0.5)), 0, 1)  # dotted


def _ground(s, gx, gy):
    """Background. gx, gy: [n,size,size] places in the world."""
    n = len(gx)
    a, b = s["ground_rgb"][:, 0, None, None], s["ground_rgb"][:, 1, None, None]
    c, d = np.cos(s["ground_angle"])[:, None, None], np.sin(s["ground_angle"])[:, None, None]
    w = np.zeros_like(gx)
    for kind, name in enumerate(GROUNDS):
        rows = np.flatnonzero(s["ground"] == kind)
        if name == "flat" or not len(rows):
            continue
        u = (gx[rows] - 0.5) * c[rows] + (gy[rows] - 0.5) * d[rows]
        v = (gy[rows] - 0.5) * c[rows] - (gx[rows] - 0.5) * d[rows]
        w[rows] = np.clip(u + 0.5, 0, 1) if name == "gradient" else _pattern(name, u * 4, v * 4) * 0.6
    return a * (1 - w[..., None]) + b * w[..., None] if w.any() else np.broadcast_to(a, (n, *gx.shape[1:], 3)).copy()


def _draw(s, size):
    n = len(s["count"])
    at = (np.arange(size, dtype=np.float32) + 0.5) / size
    cx, cy, zoom = (s["camera"][:, i, None, None] for i in range(3))
    gx = (np.broadcast_to(at[None, None, :], (n, size, size)) - 0.5) / zoom + cx
    gy = (np.broadcast_to(at[None, :, None], (n, size, size)) - 0.5) / zoom + cy
    out = _ground(s, gx, gy)
    for k in range(MOST):
        for kind, name in enumerate(SHAPES):
            rows = np.flatnonzero((s["count"] > k) & (s["shape"][:, k] == kind))
            if not len(rows):
                continue
            field = {f: s[f][rows, k][:, None, None] for f in ("x", "y", "r", "angle")}
            dx, dy = gx[rows] - field["x"], gy[rows] - field["y"]
            c, d = np.cos(field["angle"]), np.sin(field["angle"])
            px, py = dx * c + dy * d, dy * c - dx * d
            edge = distance(name, px, py, field["r"]) * (size * zoom[rows])
            cover = np.clip(0.5 - edge, 0, 1)[..., None]
            ink = np.broadcast_to(s["rgb"][rows, k][:, None, None], (len(rows), size, size, 3))
            texture = s["texture"][rows, k]
            if texture.any():
                ink = ink.copy()
                dark = np.where(ink.max(-1, keepdims=True) < 0.3, 0.45, ink * 0.55)
                for t in range(1, len(TEXTURES)):
                    own = np.flatnonzero(texture == t)
                    if len(own):
                        scale = 1.6 / field["r"][own]
                        w = _pattern(TEXTURES[t], px[own] * scale, py[own] * scale)[..., None]
                        ink[own] = ink[own] * (1 - w) + dark[own] * w
            out[rows] = out[rows] * (1 - cover) + ink * cover
    return np.rint(out * 255).astype(np.uint8)


def draw(s, size=64, batch=128):
    """Pictures, uint8 [n,size,size,3]."""
    n = len(s["count"])
    return np.concatenate([_draw(take(s, slice(i, i + batch)), size) for i in range(0, n, batch)])
