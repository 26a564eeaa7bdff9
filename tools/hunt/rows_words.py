"""Rows on text: what strangers' files hold does not reach the terminal raw, JSON is JSON, and files that other tools write are read."""

import json, os, shutil, struct

import numpy as np

import inputs
from bench import row

F32 = np.float32


def valid_json(b, r):
    try:
        return json.loads(r.out_bytes.decode("utf-8"))
    except (ValueError, UnicodeDecodeError) as e:
        b.want(False, "no valid JSON (%s): %s" % (str(e)[:50], r.words))


def one(values=(1.0,)):
    return ("F32", [len(values)], np.array(values, F32).tobytes())


@row(10, "prompts file with a UTF-8 BOM, CRLF, blank lines")
def bom(b):
    latents, space = b.shared.clip_latents(), "clip:" + b.shared.clip()
    found = {}
    for name, data in (
        ("plain", b"a red ball\na blue cube\n"),
        ("bom", b"\xef\xbb\xbfa red ball\na blue cube\n"),
        ("crlf", b"a red ball\r\n\r\na blue cube\r\n"),
        ("bom-crlf", b"\xef\xbb\xbfa red ball\r\na blue cube"),
    ):
        inputs.write(b.path(name + ".txt"), data)
        if (
            b.good("modality-gap", latents, "-s", space, "-p", b.path(name + ".txt"), "-o", b.path(name + ".safetensors")).status
            == 0
        ):
            found[name] = inputs.floats(inputs.read_safetensors(b.path(name + ".safetensors"))[0]["text_mean"])
    for name in found:
        off = float(np.abs(found[name] - found["plain"]).max())
        b.want(off == 0, "%s: the mean of the prompts is off by %.4f" % (name, off))
    inputs.write(b.path("only.txt"), b"\xef\xbb\xbf\n")
    b.refused("modality-gap", latents, "-s", space, "-p", b.path("only.txt"), "-o", b.path("only.safetensors"), says=["only.txt"])
    return "all alike"


@row(12, "escape sequences, bidi marks, newlines in strangers' files and names")
def escapes(b):
    bad = "line1\nline2\x1b[31mred\x07\u202egnp.\u2066x\x7f\u009b2J\r"
    hostile = b.path("h.safetensors")
    inputs.safetensors(hostile, {"t\x1b[2J\u202e\n": one()}, {"a" + bad: bad, "modelspec.title": bad})
    copy = b.path("n\x1b[31m\u202e\nline2.safetensors")
    shutil.copy(hostile, copy)
    v = b.path("v\x1b[2J\u202e\nline2.mp4")
    shutil.copy(b.video(), v)
    adapter, metadata = inputs.read_safetensors(b.shared.adapter())
    metadata.update({"modelspec.title": bad, "x" + bad: bad})
    inputs.safetensors(b.path("ad.safetensors"), adapter, metadata)
    odd = b.path("ad\x1b]0;x\x07\u202e\nline2.safetensors")
    shutil.copy(b.path("ad.safetensors"), odd)
    os.makedirs(b.path("pool"))
    shutil.copy(hostile, b.path("pool/w\x1b[2J\u202e\nline2.safetensors"))
    latents = b.shared.latents()
    wrong_key = {k + ("" if i else bad): t for i, (k, t) in enumerate(adapter.items())}
    inputs.safetensors(b.path("wrong.safetensors"), wrong_key, dict(metadata, **{"inbetween.format": "1"}))
    other_space = dict(metadata, **{"inbetween.space": bad})
    inputs.safetensors(b.path("space.safetensors"), adapter, other_space)
    picture = b.path("p\x1b[31m\nline2.png")
    inputs.png(picture, inputs.scene(1))
    for words in (
        ("info", "--tensors", hostile),
        ("info", "--check", hostile, copy),
        ("info", copy, v, odd),
        ("info", "--json", "--tensors", hostile, copy),
        ("encode", v, "-o", b.path("l\x1b[1m\nline2")),
        ("encode", copy, "-o", b.path("l2")),
        ("render", v + "@0s", v + "@0.2s", "-n", 3, "-o", b.path("o\x1b[1m\nline2.mp4")),
        ("render", picture, picture, "-n", 2, "-o", b.path("o.mp4"), "-a", odd, "--json"),
        ("render", b.path("no\x1b[1m\nline2.png"), v, "-o", "o.mp4"),
        ("eval", latents, "-a", odd, "--gap", 4),
        ("eval", v, "--gap", 4, "-o", b.path("r\x1b[1m\nline2.txt")),
        ("eval", latents, "-a", b.path("wrong.safetensors")),
        ("eval", latents, "-a", b.path("space.safetensors")),
        ("merge", odd, b.path("ad.safetensors"), "-o", b.path("m\x1b\nline2.safetensors")),
        ("merge", odd, b.path("ad.safetensors"), "-n"),
        ("pool", b.path("pool")),
        ("train", latents, "--init", odd, "-o", b.path("run\x1b[1m\nline2"), "--steps", 1),
        ("train", latents, "-o", b.path("run\x1b[1m\nline2"), "--steps", 1),
        ("render", "text:\x1b[31m", v, "-o", "o.mp4"),
        ("info", b.path("wrong.safetensors")),
    ):
        r = b.do(*words)
        b.clean(r)
        if "--json" in words:
            valid_json(b, r)
        b.want(
            not any(line.startswith("line2") for line in (r.out + r.err).splitlines()),
            "a newline of the file begins a line: %s" % r.words,
        )
    report = b.tree()
    for name, data in report.items():
        if name.endswith("line2.txt"):
            b.want(b"\x1b" not in data and "\u202e".encode() not in data, "a text report holds raw escapes")
    return "all escaped"


@row(14, "names that are not UTF-8: JSON is valid and names the file")
def not_utf8(b):
    v = b.path(b"latin\xe9.mp4")
    shutil.copy(b.video(), v)
    adapter = b.path(b"ad\xe9.safetensors")
    shutil.copy(b.shared.adapter(), adapter)
    picture = b.path(b"p\xe9.png")
    shutil.copy(b.picture("p.png", inputs.scene(1)), picture)
    shown = {}
    for name, words, part in (
        ("encode", ("encode", v, "-o", b.path("l"), "--size", "64x48", "--json"), "latin"),
        ("info", ("info", v, "--json"), "latin"),
        ("eval", ("eval", v, "--gap", 4, "--json"), "latin"),
        ("render", ("render", picture, picture, "-n", 2, "-o", b.path(b"o\xe9.mp4"), "--json"), "o"),
        ("merge", ("merge", adapter, b.shared.adapter(), "-o", b.path("m.safetensors"), "--json"), "m.safetensors"),
        ("pool", ("pool", b.path("nopool"), "--json"), ""),
    ):
        if name == "pool":
            os.mkdir(b.path("nopool"))
            shutil.copy(adapter, b.path(b"nopool/w\xe9.safetensors"))
            r = b.do(*words)
        else:
            r = b.good(*words)
        if r.status == 0 or r.out:
            found = valid_json(b, r)
            text = json.dumps(found, ensure_ascii=False) if found is not None else ""
            if name in ("encode", "info", "eval") and found is not None:
                at = text.find("latin")
                if b.want(at >= 0, "%s: the JSON does not name the file" % name):
                    shown[name] = text[at : text.find("mp4", at)]
            elif name == "render" and found is not None:
                b.want("clip" in found, "render: the JSON has no clip")
    b.want(len(set(shown.values())) <= 1, "written in %d ways: %s" % (len(set(shown.values())), shown))
    if os.path.exists(b.path("m.safetensors")):
        r = b.good("info", b.path("m.safetensors"), "--json")
        valid_json(b, r)
    b.good("train", b.shared.latents(), "--init", adapter, "-o", b.path("run"), "--steps", 1, "--preset", "toaster")
    return "one way for all: %s" % next(iter(shown.values()), "")


def values_of_ones(b, kinds):
    """info --check of files whose values are all 1 says so, or says nothing of values."""
    for name, (kind, shape, data) in kinds.items():
        path = b.path(name + ".safetensors")
        inputs.safetensors(path, {"t": (kind, shape, data)}, {})
        r = b.good("info", "--check", "--json", path)
        found = valid_json(b, r) if r.status == 0 else None
        if found:
            entry = found[0] if isinstance(found, list) else found
            least, largest = entry.get("least value"), entry.get("largest value")
            b.want(
                (least, largest) == (1, 1) or least is None and kind[0] != "F",
                "%s: least value %s, largest value %s, wanted 1" % (name, least, largest),
            )


@row(56, "info --check of F64, integers, BOOL")
def other_values(b):
    values_of_ones(
        b,
        {
            "f64": ("F64", [4], np.ones(4).tobytes()),
            "i64": ("I64", [2], np.ones(2, np.int64).tobytes()),
            "u8": ("U8", [3], b"\1\1\1"),
            "i32": ("I32", [2], np.ones(2, np.int32).tobytes()),
            "bool": ("BOOL", [2], b"\1\1"),
        },
    )
    return "least and largest value 1, or none"


@row(30, "odd safetensors: fp8, bf16, empty, gaps, duplicates, NUL, HTML, LFS pointer")
def odd_safetensors(b):
    values_of_ones(
        b,
        {
            "fp8-e4m3": ("F8_E4M3", [8], b"\x38" * 8),
            "fp8-e5m2": ("F8_E5M2", [8], b"\x3c" * 8),
            "bf16": ("BF16", [4], b"\x80\x3f" * 4),
            "f16": ("F16", [4], np.ones(4, np.float16).tobytes()),
            "scalar": ("F32", [], np.ones(1, F32).tobytes()),
        },
    )
    a = np.ones(2, F32).tobytes()
    for name, header in (
        ("dup", b'{"a":{"dtype":"F32","shape":[2],"data_offsets":[0,8]},"a":{"dtype":"F32","shape":[2],"data_offsets":[0,8]}}'),
        ("gap", b'{"a":{"dtype":"F32","shape":[1],"data_offsets":[4,8]}}'),
        ("short", b'{"a":{"dtype":"F32","shape":[1],"data_offsets":[0,4]}}'),
        ("overflow", b'{"a":{"dtype":"F32","shape":[4611686018427387904,4],"data_offsets":[0,8]}}'),
        ("negative", b'{"a":{"dtype":"F32","shape":[-2],"data_offsets":[0,8]}}'),
        ("unknown", b'{"a":{"dtype":"F4","shape":[2],"data_offsets":[0,8]}}'),
        ("deep", b"[" * 2000 + b"]" * 2000),
        ("list", b"[1, 2]"),
        ("float", b'{"a":{"dtype":"F32","shape":[2.0],"data_offsets":[0,8]}}'),
    ):
        inputs.safetensors(b.path(name), {"a": ("F32", [2], a)}, header=header)
        b.refused("info", "--check", "--tensors", b.path(name))
    for name, data in (
        ("html", b"<!DOCTYPE html><html><body>404</body></html>"),
        ("lfs", b"version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 12\n"),
        ("tiny", b"\x01"),
        ("huge", struct.pack("<Q", 1 << 60) + b"{}"),
    ):
        inputs.write(b.path(name + ".safetensors"), data)
        b.refused("info", b.path(name + ".safetensors"))
    inputs.safetensors(b.path("nul"), {"a\0b": ("F32", [2], a)})
    inputs.safetensors(b.path("empty"), {"e": ("F32", [0, 4], b"")}, {})
    inputs.safetensors(b.path("none"), {})
    for name in ("nul", "empty", "none"):
        r = b.do("info", "--tensors", "--check", b.path(name))
        b.clean(r)
        b.want(r.status in (0, 1) and (r.status == 0 or "inbetween: " in r.err), "%s: %s" % (name, r.how()))
    return "right, or one sentence"


@row(31, "adapters with renamed keys, f16, bf16, f64, sorted, prefixed, missing, extra")
def other_adapters(b):
    tensors, metadata = inputs.read_safetensors(b.shared.adapter())
    a, other = b.two()

    def cast(kind):
        def f(t):
            v = np.frombuffer(t[2], F32)
            data = (
                v.astype(np.float16).tobytes()
                if kind == "F16"
                else ((v.view(np.uint32) >> 16).astype(np.uint16).tobytes() if kind == "BF16" else v.astype(np.float64).tobytes())
            )
            return (kind, t[1], data)

        return {k: f(t) for k, t in tensors.items()}

    first = next(iter(tensors))
    cases = {
        "f16": (cast("F16"), metadata, 0),
        "bf16": (cast("BF16"), metadata, 0),
        "sorted": (dict(sorted(tensors.items())), metadata, 0),
        "foreign": (tensors, dict(metadata, **{"ss_network_module": "networks.lora", "ss_epoch": "3"}), 0),
        "f64": (cast("F64"), metadata, None),
        "prefixed": ({"model." + k: t for k, t in tensors.items()}, metadata, 1),
        "missing": ({k: t for k, t in tensors.items() if k != first}, metadata, 1),
        "extra": (dict(tensors, extra=one()), metadata, 1),
        "bare": (tensors, None, 1),
        "version": (tensors, dict(metadata, **{"inbetween.format": "9"}), 1),
        "nan": (dict(tensors, **{first: (tensors[first][0], tensors[first][1], b"\xff" * len(tensors[first][2]))}), metadata, 1),
    }
    for name, (t, m, status) in cases.items():
        path = b.path(name + ".safetensors")
        inputs.safetensors(path, t, m)
        for words in (
            ("render", a, other, "-n", 3, "-a", path, "-o", b.path("o.mp4")),
            ("merge", path, b.shared.adapter(), "-o", b.path("m.safetensors")),
        ):
            if status == 0:
                b.good(*words)
            elif status == 1:
                b.refused(*words, says=[name + r"\.safetensors"])
            else:
                r = b.do(*words)
                b.want(r.status == 0 or "inbetween: " in r.err, "%s: %s" % (name, r.how()))
    return "used, or one sentence"


@row(32, "prompts: emoji, CJK, HTML, control, 9,000 bytes, not UTF-8, empty")
def prompts(b):
    space = "clip:" + b.shared.clip()
    for p in (
        "\U0001f600\U0001f468\u200d\U0001f469",
        "\u732b\u304c\u5ea7\u308b",
        "a &amp; <b>b</b>",
        "tab\tand\nline",
        "word " * 1800,
        "\u0301\u0301",
        "<|endoftext|>",
    ):
        b.good("render", "text:" + p, "text:a", "-s", space, "-n", 3, "-o", b.path("o.safetensors"))
        if os.path.exists(b.path("o.safetensors")):
            rows_ = inputs.floats(inputs.read_safetensors(b.path("o.safetensors"))[0]["image_embeds"])
            b.want(np.isfinite(rows_).all() and np.abs(rows_).max() > 0, "text:%s: the embedding is not finite" % p[:10])
    r = b.do("render", "text:" + "x" * 100000, "text:a", "-s", space, "-n", 3, "-o", b.path("o.safetensors"))
    b.want(r.status == 0 or "inbetween: " in r.err, "100,000 bytes: %s" % r.how())
    r = b.do("render", b"text:caf\xe9", "text:a", "-s", space, "-n", 3, "-o", b.path("o.safetensors"))
    b.want(r.status == 0 or "inbetween: " in r.err, "not UTF-8: %s" % r.how())
    for p in ("text:", "text: "):
        r = b.do("render", p, "text:a", "-s", space, "-n", 3, "-o", b.path("o.safetensors"))
        b.want(r.status == 0 or "inbetween: " in r.err, "empty: %s" % r.how())
    return "an embedding, or a sentence"


def clip_copy(b, name="clip"):
    shutil.copytree(b.shared.clip(), b.path(name))
    return b.path(name)


def text_row(b, folder, *more):
    r = b.good("render", "text:a red ball", "text:a", "-s", "clip:" + folder, "-n", 3, "-o", b.path("way.safetensors"), *more)
    if r.status:
        return None
    return inputs.floats(inputs.read_safetensors(b.path("way.safetensors"))[0]["image_embeds"])


BIG = b'{"model_max_length": 1000000000000000019884624838656, "bos_token": "<|startoftext|>", "x": 1e400, "y": -Infinity}'


@row(42, "tokenizer_config.json with model_max_length of thirty digits")
def big_integer(b):
    right = text_row(b, b.shared.clip())
    for name in ("tokenizer_config.json", "special_tokens_map.json", "preprocessor_config.json", "config.json"):
        folder = clip_copy(b, name)
        inputs.write(
            folder + "/" + name,
            (
                BIG
                if name == "tokenizer_config.json"
                else b'{"foreign": 1000000000000000019884624838656, "other": -123456789012345678901234567890}'
            ),
        )
        got = text_row(b, folder)
        b.want(got is None or (right is not None and np.abs(got - right).max() < 1e-5), "%s changes the embeddings" % name)
    folder = clip_copy(b, "size")
    inputs.write(folder + "/preprocessor_config.json", b'{"size": 1000000000000000019884624838656}')
    b.refused(
        "encode",
        b.shared.videos() + "/scene-01.mp4",
        "--space",
        "clip:" + folder,
        "-o",
        b.path("l"),
        says=["preprocessor_config|size"],
    )
    return "read, where it is used it is refused by name"


@row(43, "config.json with Infinity and NaN, as Python writes them")
def infinity(b):
    right = text_row(b, b.shared.clip())
    for value in (b"Infinity", b"-Infinity", b"NaN"):
        folder = clip_copy(b, value.decode())
        inputs.write(
            folder + "/config.json",
            b'{"model_type": "clip", "initializer_factor": %s, "deep": [{"a": %s}], "text": "NaN, Infinity \\" -Infinity"}'
            % (value, value),
        )
        got = text_row(b, folder)
        b.want(
            got is None or (right is not None and np.abs(got - right).max() < 1e-5), "%s changes the embeddings" % value.decode()
        )
    folder = clip_copy(b, "broken")
    inputs.write(folder + "/config.json", b'{"model_type": "clip", "a": Infinit}')
    b.refused("render", "text:a", "text:b", "-s", "clip:" + folder, "-n", 3, "-o", b.path("o.safetensors"), says=["config.json"])
    return "read"


@row(44, "tokenizer.json alone, bf16, shards, one tower, hub links, fp16 name, pipeline")
def clip_folders(b):
    right = text_row(b, b.shared.clip())
    if right is None:
        return None
    tool = b.shared.tool("ib_clip_weights")
    video = b.shared.videos() + "/scene-01.mp4"

    def same(what, folder, limit=1e-5):
        got = text_row(b, folder)
        b.want(
            got is None or np.abs(got - right).max() <= limit * np.abs(right).max(),
            "%s: embeddings are off by %.2g" % (what, 0 if got is None else np.abs(got - right).max()),
        )

    def folder(name, weights="model.safetensors", **how):
        os.makedirs(b.path(name), exist_ok=True)
        if weights:
            shutil.copy(b.shared.clip() + "/model.safetensors", b.path(name + "/" + weights))
        inputs.tokenizer(b.path(name), **how)
        return b.path(name)

    same("tokenizer.json", folder("whole", whole=True))
    same("model.fp16.safetensors", folder("fp16", "model.fp16.safetensors"))
    tensors, metadata = inputs.read_safetensors(b.shared.clip() + "/model.safetensors")
    shards = folder("shards", None)
    names = sorted(tensors)
    index = {}
    for i in range(4):
        part = "model-%05d-of-00004.safetensors" % (i + 1)
        inputs.safetensors(shards + "/" + part, {n: tensors[n] for n in names[i::4]}, metadata)
        index.update({n: part for n in names[i::4]})
    inputs.write(
        shards + "/model.safetensors.index.json", json.dumps({"metadata": {"total_size": 1}, "weight_map": index}).encode()
    )
    same("four shards", shards)
    bf16 = folder("bf16", None)
    b.must(tool, bf16 + "/model.safetensors", "tiny", "hf", "bf16", "both")
    same("bfloat16", bf16, 0.05)
    hub = b.path("hub/snapshots/abc")
    os.makedirs(hub)
    os.makedirs(b.path("hub/blobs"))
    for i, name in enumerate(os.listdir(b.shared.clip())):
        shutil.copy(b.shared.clip() + "/" + name, b.path("hub/blobs/%d" % i))
        os.symlink("../../blobs/%d" % i, hub + "/" + name)
    same("hub cache", hub)
    text = folder("text", None)
    inputs.safetensors(text + "/model.safetensors", {n: t for n, t in tensors.items() if n.startswith("text_")}, metadata)
    same("text tower alone", text)
    image = folder("image", None)
    inputs.safetensors(image + "/model.safetensors", {n: t for n, t in tensors.items() if n.startswith("vi")}, metadata)
    for name, model in (("vision", image), ("both", b.shared.clip())):
        b.good("encode", video, "--space", "clip:" + model, "-o", b.path("l-" + name))
    spaces = [b.do("info", b.path("l-%s/scene-01.h5" % n), "--json").out for n in ("vision", "both")]
    b.want(
        len({json.loads(s)[0]["space"] if s.startswith("[") else json.loads(s)["space"] for s in spaces}) == 1,
        "the vision tower alone has another id",
    )
    pipe = b.path("pipe")
    for name, side in (("image_encoder", "image"), ("text_encoder", "text")):
        os.makedirs(pipe + "/" + name)
        b.must(tool, pipe + "/" + name + "/model.fp16.safetensors", "tiny", "hf", "f16", side)
    os.makedirs(pipe + "/feature_extractor")
    inputs.write(
        pipe + "/feature_extractor/preprocessor_config.json",
        b'{"size": 30, "crop_size": 30, "image_mean": [0.48145466, 0.4578275, 0.40821073]}',
    )
    b.good("encode", video, "--space", "clip:" + pipe, "-o", b.path("l"))
    return "all right"


@row(45, "pytorch_model.bin only")
def pytorch_bin(b):
    os.mkdir(b.path("bin"))
    inputs.write(b.path("bin/pytorch_model.bin"), b"PK\x03\x04" + b"\0" * 100)
    b.refused("encode", b.shared.videos(), "--space", "clip:" + b.path("bin"), "-o", b.path("l"), says=["safetensors"])
    return "a clear sentence"


@row(46, "--quiet prints nothing, and JSON if it was asked for")
def quiet(b):
    a, other = b.two()
    latents, adapter, space = b.shared.latents(), b.shared.adapter(), "clip:" + b.shared.clip()
    inputs.write(b.path("p.txt"), b"a red ball\n")
    commands = {
        "render": (a, other, "-n", 3, "-o", b.path("o.mp4")),
        "encode": (b.shared.videos(), "-o", b.path("l"), "--size", "64x48"),
        "train": (latents, "-o", b.path("run"), "--preset", "toaster", "--steps", 2),
        "eval": (latents, "--gap", 4, "-o", b.path("r.json")),
        "merge": (adapter, b.shared.latents() and adapter, "-o", b.path("m.safetensors")),
        "modality-gap": (b.shared.clip_latents(), "-s", space, "-p", b.path("p.txt"), "-o", b.path("g.safetensors")),
    }
    for name, words in commands.items():
        if name == "merge":
            shutil.copy(adapter, b.path("copy.safetensors"))
            words = (adapter, b.path("copy.safetensors"), "-o", b.path("m.safetensors"))
        r = b.good(name, *words, "-q")
        if r.status == 0 and name != "merge":
            b.want(not r.out and not r.err, "%s -q prints '%s'" % (name, (r.out + r.err).strip().splitlines()[-1:]))
        elif r.status == 0:
            b.want(
                not r.out and all("warning" in line for line in r.err.splitlines()),
                "merge -q prints '%s'" % (r.out + r.err).strip()[-80:],
            )
        shutil.rmtree(b.path("run"), ignore_errors=True)
        for n in ("o.mp4", "m.safetensors", "g.safetensors", "r.json"):
            if os.path.exists(b.path(n)):
                os.unlink(b.path(n))
        r = b.good(name, *words, "-q", "--json")
        if r.status == 0:
            valid_json(b, r)
            b.want(not r.err or "warning" in r.err, "%s -q --json also prints '%s'" % (name, r.err.strip()[-60:]))
    b.refused("render", a, b.path("none.png"), "-q", "-o", b.path("o.mp4"), says=["none.png"])
    return "silent; errors are said"
