"""Bytes of input files, written by hand where ffmpeg cannot be told to write them: pictures with orientation, odd safetensors, a tokenizer."""

import json, struct, zlib

import numpy as np


def scene(seed, width=64, height=48):
    """Soft coloured blocks of 8 x 8 samples, uint8 [height, width, 3]: alike in every way of storing colour."""
    rng = np.random.default_rng(seed)
    small = rng.integers(40, 216, (height // 8, width // 8, 3))
    return np.repeat(np.repeat(small, 8, 0), 8, 1).astype(np.uint8)


def arrow(width=64, height=32):
    """A picture without any symmetry: four quarters of unlike grey and colour."""
    p = np.zeros((height, width, 3), np.uint8)
    p[: height // 2, : width // 2] = (200, 60, 60)
    p[: height // 2, width // 2 :] = (60, 180, 60)
    p[height // 2 :, : width // 2] = (70, 70, 200)
    p[height // 2 :, width // 2 :] = (230, 230, 230)
    return p


# ---- PNG


def chunk(kind, data):
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def png_bytes(rgb, exif=None, palette=None, transparent=None):
    """uint8 or uint16 [h, w] grey or palette indices, [h, w, 2] grey and alpha, 3 RGB, 4 RGBA."""
    rgb = np.ascontiguousarray(rgb)
    kind = 3 if palette is not None else {1: 0, 2: 4, 3: 2, 4: 6}[1 if rgb.ndim == 2 else rgb.shape[2]]
    depth = 16 if rgb.dtype == np.uint16 else 8
    samples = rgb.astype(">u2" if depth == 16 else np.uint8)
    data = b"".join(b"\0" + line.tobytes() for line in samples)
    parts = [chunk(b"IHDR", struct.pack(">IIBBBBB", rgb.shape[1], rgb.shape[0], depth, kind, 0, 0, 0))]
    if exif is not None:
        parts.append(chunk(b"eXIf", exif))
    if palette is not None:
        parts.append(chunk(b"PLTE", bytes(palette)))
    if transparent is not None:
        parts.append(chunk(b"tRNS", bytes(transparent)))
    return b"\x89PNG\r\n\x1a\n" + b"".join(parts) + chunk(b"IDAT", zlib.compress(data, 1)) + chunk(b"IEND", b"")


def png(path, rgb, **how):
    write(path, png_bytes(rgb, **how))


def png_read(path):
    """[h, w, 3] of a PNG of 8 bits, RGB or grey, not interlaced; None for any other."""
    with open(path, "rb") as f:
        data = f.read()
    w, h, depth, kind, _, _, laced = struct.unpack(">IIBBBBB", data[16:29])
    if depth != 8 or kind not in (0, 2) or laced:
        return None
    at, packed, step = 8, b"", 3 if kind == 2 else 1
    while at < len(data):
        size = struct.unpack(">I", data[at : at + 4])[0]
        if data[at + 4 : at + 8] == b"IDAT":
            packed += data[at + 8 : at + 8 + size]
        at += 12 + size
    lines = np.frombuffer(zlib.decompress(packed), np.uint8).reshape(h, 1 + w * step)
    out, above = np.zeros((h, w, step), np.int32), np.zeros((w, step), np.int32)
    for y in range(h):
        how, line = lines[y, 0], lines[y, 1:].reshape(w, step).astype(np.int32)
        if how == 2:
            line = line + above & 255
        elif how == 1:
            line = np.cumsum(line, 0) & 255
        elif how:
            left = corner = np.zeros(step, np.int32)
            for x in range(w):
                up = above[x]
                if how == 3:
                    guess = (left + up) >> 1
                else:
                    pa, pb, pc = abs(up - corner), abs(left - corner), abs(left + up - 2 * corner)
                    guess = np.where((pa <= pb) & (pa <= pc), left, np.where(pb <= pc, up, corner))
                left, corner = line[x] + guess & 255, up
                line[x] = left
        out[y] = above = line
    return out.repeat(3 // step, 2).astype(float)


def write(path, data):
    with open(path, "wb") as f:
        f.write(data)


# ---- orientation, as the TIFF tag 274 says it


def exif(orientation, big=False):
    """A TIFF block with that one tag."""
    e = ">" if big else "<"
    return (b"MM" if big else b"II") + struct.pack(e + "HIHHHIHHI", 42, 8, 1, 274, 3, 1, orientation, 0, 0)


def stored(upright, orientation):
    """How the picture must lie in the file so that this orientation puts it upright."""
    u = upright
    return np.ascontiguousarray(
        {
            1: lambda: u,
            2: lambda: u[:, ::-1],
            3: lambda: u[::-1, ::-1],
            4: lambda: u[::-1],
            5: lambda: u.transpose(1, 0, 2),
            6: lambda: np.rot90(u, 1),
            7: lambda: u[::-1, ::-1].transpose(1, 0, 2),
            8: lambda: np.rot90(u, -1),
        }[orientation]()
    )


def tiff(path, rgb, orientation=1, big=False):
    """Uncompressed RGB in one strip."""
    e, n = (">" if big else "<"), 11
    h, w = rgb.shape[:2]
    bits = 8 + 2 + 12 * n + 4
    tags = [
        (256, 3, 1, w),
        (257, 3, 1, h),
        (258, 3, 3, bits),
        (259, 3, 1, 1),
        (262, 3, 1, 2),
        (273, 4, 1, bits + 6),
        (274, 3, 1, orientation),
        (277, 3, 1, 3),
        (278, 3, 1, h),
        (279, 4, 1, h * w * 3),
        (284, 3, 1, 1),
    ]
    ifd = b"".join(
        struct.pack(e + "HHI", tag, kind, count)
        + (struct.pack(e + "HH", value, 0) if kind == 3 and count == 1 else struct.pack(e + "I", value))
        for tag, kind, count, value in tags
    )
    write(
        path,
        (b"MM" if big else b"II")
        + struct.pack(e + "HIH", 42, 8, n)
        + ifd
        + struct.pack(e + "I", 0)
        + struct.pack(e + "HHH", 8, 8, 8)
        + rgb.tobytes(),
    )


def jpeg_with_exif(data, orientation):
    app1 = b"Exif\0\0" + exif(orientation)
    return data[:2] + b"\xff\xe1" + struct.pack(">H", len(app1) + 2) + app1 + data[2:]


def riff_chunks(data):
    at = 12
    while at + 8 <= len(data):
        size = struct.unpack("<I", data[at + 4 : at + 8])[0]
        yield data[at : at + 4], data[at + 8 : at + 8 + size]
        at += 8 + size + (size & 1)


def riff(chunks):
    body = b"WEBP" + b"".join(k + struct.pack("<I", len(d)) + d + b"\0" * (len(d) & 1) for k, d in chunks)
    return b"RIFF" + struct.pack("<I", len(body)) + body


def three(n):
    return struct.pack("<I", n)[:3]


def webp_with_exif(data, width, height, orientation):
    picture = [(k, d) for k, d in riff_chunks(data) if k in (b"VP8 ", b"VP8L", b"ALPH")]
    return riff([(b"VP8X", b"\x08\0\0\0" + three(width - 1) + three(height - 1))] + picture + [(b"EXIF", exif(orientation))])


def webp_animated(pictures, width, height, milliseconds=100):
    frames = []
    for data in pictures:
        inner = b"".join(
            k + struct.pack("<I", len(d)) + d + b"\0" * (len(d) & 1) for k, d in riff_chunks(data) if k in (b"VP8 ", b"VP8L")
        )
        frames.append((b"ANMF", three(0) + three(0) + three(width - 1) + three(height - 1) + three(milliseconds) + b"\0" + inner))
    return riff([(b"VP8X", b"\x02\0\0\0" + three(width - 1) + three(height - 1)), (b"ANIM", b"\0\0\0\0\0\0")] + frames)


# ---- GIF


def gif(path, frames, palette, width, height, loop=True):
    """frames: (indices uint8 [h, w], x, y, disposal, transparent index or None, centiseconds). LZW with codes of 8 bits, always cleared in time."""
    colours = bytes(palette) + b"\0" * (3 * 128 - len(palette))
    out = b"GIF89a" + struct.pack("<HHBBB", width, height, 0xF6, 0, 0) + colours
    if loop:
        out += b"\x21\xff\x0bNETSCAPE2.0\x03\x01\0\0\0"
    for indices, x, y, disposal, transparent, delay in frames:
        out += b"\x21\xf9\x04" + struct.pack("<BHB", disposal << 2 | (transparent is not None), delay, transparent or 0) + b"\0"
        out += b"\x2c" + struct.pack("<HHHHB", x, y, indices.shape[1], indices.shape[0], 0) + b"\x07"
        data, flat = b"", indices.tobytes()
        for at in range(0, len(flat), 100):
            data += b"\x80" + flat[at : at + 100]  # clear, then literals
        data += b"\x81"
        out += b"".join(bytes([len(data[at : at + 255])]) + data[at : at + 255] for at in range(0, len(data), 255)) + b"\0"
    write(path, out + b"\x3b")


def gif_delays(data):
    """Hundredths of a second, frame by frame, from the bytes."""
    at, delays, sizes = 13 + (3 * 2 ** ((data[10] & 7) + 1) if data[10] & 0x80 else 0), [], 0
    while data[at] != 0x3B:
        if data[at] == 0x21:
            if data[at + 1] == 0xF9:
                delays.append(struct.unpack("<H", data[at + 4 : at + 6])[0])
            at += 2
        else:
            at += 10 + (3 * 2 ** ((data[at + 9] & 7) + 1) if data[at + 9] & 0x80 else 0) + 1
            sizes += 1
        while data[at]:
            at += 1 + data[at]
        at += 1
    return delays


# ---- safetensors


def safetensors(path, tensors, metadata=None, header=None, tail=b""):
    """tensors: {name: (dtype, shape, bytes)}; header: its text, in place of what follows from the tensors."""
    entries, at = {}, 0
    for name, (kind, shape, data) in tensors.items():
        entries[name] = {"dtype": kind, "shape": list(shape), "data_offsets": [at, at + len(data)]}
        at += len(data)
    if metadata is not None:
        entries["__metadata__"] = metadata
    text = header if header is not None else json.dumps(entries, ensure_ascii=False).encode()
    text += b" " * (-len(text) % 8)
    write(path, struct.pack("<Q", len(text)) + text + b"".join(t[2] for t in tensors.values()) + tail)


def read_safetensors(path):
    """({name: (dtype, shape, bytes)}, metadata)"""
    with open(path, "rb") as f:
        data = f.read()
    n = struct.unpack("<Q", data[:8])[0]
    header, body = json.loads(data[8 : 8 + n]), data[8 + n :]
    metadata = header.pop("__metadata__", {})
    return {k: (v["dtype"], v["shape"], body[v["data_offsets"][0] : v["data_offsets"][1]]) for k, v in header.items()}, metadata


def floats(tensor):
    return np.frombuffer(tensor[2], {"F32": np.float32, "F16": np.float16, "F64": np.float64}[tensor[0]]).astype(float)


# ---- CLIP's tokenizer with the 512 tokens of single bytes and no merges but a few


def tokenizer(folder, whole=False, vocab_size=49408):
    plain = [b for b in range(256) if 33 <= b <= 126 or 161 <= b <= 172 or b >= 174]
    letters, n = {b: chr(b) for b in plain}, 0
    for b in range(256):
        if b not in letters:
            letters[b] = chr(256 + n)
            n += 1
    vocab = {letters[b] + end: b + 256 * k for k, end in enumerate(("", "</w>")) for b in range(256)}
    merges = [("r", "e"), ("re", "d</w>"), ("b", "a"), ("l", "l</w>"), ("ba", "ll</w>")]
    for a, b in merges:
        vocab[a + b] = len(vocab)
    vocab["<|startoftext|>"], vocab["<|endoftext|>"] = vocab_size - 2, vocab_size - 1
    if whole:
        write(
            folder + "/tokenizer.json",
            json.dumps(
                {"version": "1.0", "model": {"type": "BPE", "vocab": vocab, "merges": ["%s %s" % m for m in merges]}}
            ).encode(),
        )
    else:
        write(folder + "/vocab.json", json.dumps(vocab, ensure_ascii=False).encode())
        write(folder + "/merges.txt", ("#version: 0.2\n" + "".join("%s %s\n" % m for m in merges)).encode())
