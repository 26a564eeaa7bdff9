#!/usr/bin/env python3
"""Tables of docs/results.md from a report of `inbetween eval`.

    tools/results.py REPORT.json DOCUMENT.md    puts them between the lines <!-- measured --> and <!-- /measured -->
    tools/results.py REPORT.json                prints them"""
import json, sys

BEGIN, END = "<!-- measured -->", "<!-- /measured -->"
COLUMNS = [("skill", "skill", 3), ("angle_deg", "angle", 2), ("recall_at_1", "recall@1", 3), ("curvature_deg", "curvature", 1),
           ("psnr_db", "PSNR", 2), ("gain_db", "gain", 2), ("psnr_yuv_db", "PSNR YUV", 2), ("ssim", "SSIM", 4),
           ("ssim_yuv", "SSIM YUV", 4), ("ms_ssim", "MS-SSIM", 4), ("flicker", "flicker", 2),
           ("keyframe_jump", "keyframe jump", 2), ("sharpness", "sharpness", 3)]
SIGNED = {"skill", "gain_db"}


def number(x, decimals, sign=False):
    if x is None:
        return "-"
    text = f"{x:+.{decimals}f}" if sign else f"{x:.{decimals}f}"
    return text.replace("-", "\u2212")


def interval_of(gap, method, figure, decimals):
    low, high = gap["interval"][method][figure]
    return "" if low is None else f" ({number(low, decimals)} to {number(high, decimals)})"


def table(head, rows):
    yield "| " + " | ".join(head) + " |"
    yield "|" + "---|" * len(head)
    for row in rows:
        yield "| " + " | ".join(row) + " |"
    yield ""


def pair(gap, method, rival, figure):
    for p in gap["pairs"]:
        if p["method"] == method and p["rival"] == rival:
            return p[figure]["verdict"]
    return "-"


def overview(report, adapters, rivals):
    head = ["gap", "clips", "in-betweens", "slerp, dB"] + [f"{m}, dB" for m in rivals]
    for a in adapters:
        head += [f"{a}, dB (95 %)", "skill (95 %)"] + [f"against {m}" for m in ("slerp", "minterpolate") if m in rivals + ["slerp"]]
    for gap in report["gaps"]:
        mean = gap["mean"]
        row = [str(gap["gap"]), str(len(gap["clips"])), str(sum(c["frames"] for c in gap["clips"])),
               number(mean["slerp"]["psnr_db"], 2)]
        row += [number(mean[m]["gain_db"], 2, True) for m in rivals]
        for a in adapters:
            row += ["**" + number(mean[a]["gain_db"], 2, True) + "**" + interval_of(gap, a, "gain_db", 2),
                    number(mean[a]["skill"], 3, True) + interval_of(gap, a, "skill", 3)]
            row += [pair(gap, a, m, "psnr_db") for m in ("slerp", "minterpolate") if m in rivals + ["slerp"]]
        yield head, row


def tables(report):
    methods = report["protocol"]["methods"]
    adapters = [m["name"] for m in methods if m["kind"] == "adapter"]
    rivals = [m for m in ("lerp", "cubic", "minterpolate") if m in [x["name"] for x in methods]]
    rows = list(overview(report, adapters, rivals))
    yield "### Over the gaps"
    yield ""
    yield from table(rows[0][0], [r for _, r in rows])
    for gap in report["gaps"]:
        yield f"### Gap {gap['gap']}"
        yield ""
        yield from table(["method"] + [t for _, t, _ in COLUMNS],
                         [[f"**{m['name']}**" if m["kind"] == "adapter" else m["name"]] +
                          [number(gap["mean"][m["name"]][k], d, k in SIGNED) for k, _, d in COLUMNS] for m in methods])
        yield f"The real frames' path turns by {number(gap['mean']['slerp']['true_curvature_deg'], 1)} degrees a frame."
        yield ""
    shown = min(report["gaps"], key=lambda g: abs(g["gap"] - 8))
    yield f"### Clip by clip, gap {shown['gap']}"
    yield ""
    yield from table(["clip", "windows", "slerp, dB"] + [f"{m}, dB" for m in rivals + adapters] + ["skill"] * len(adapters),
                     [[c["name"], str(c["windows"]), number(c["methods"]["slerp"]["psnr_db"], 2)] +
                      [number(c["methods"][m]["gain_db"], 2, True) for m in rivals + adapters] +
                      [number(c["methods"][a]["skill"], 3, True) for a in adapters] for c in shown["clips"]])
    yield f"### By place, gap {shown['gap']}"
    yield ""
    yield from table(["t"] + [number(p["t"], 3) for p in shown["places"]],
                     [[f"{m}: {w}"] + [number(p["methods"][m][k], d, k == "skill") for p in shown["places"]]
                      for m in rivals + adapters for k, w, d in (("skill", "skill", 3), ("psnr_db", "PSNR", 2))])
    p = report["protocol"]
    for m in methods:
        if m["kind"] == "adapter":
            yield f"`{m['name']}`: SHA-256 `{m['sha256']}`."
    yield f"{p['program']}, FFmpeg {p['ffmpeg']}, {p['blas']}."


def main():
    if len(sys.argv) not in (2, 3):
        sys.exit(__doc__)
    text = "\n".join(tables(json.load(open(sys.argv[1]))))
    if len(sys.argv) == 2:
        print(text)
        return
    document = open(sys.argv[2], encoding="utf-8").read()
    begin, end = document.index(BEGIN) + len(BEGIN), document.index(END)
    open(sys.argv[2], "w", encoding="utf-8").write(document[:begin] + "\n\n" + text + "\n\n" + document[end:])


main()
