#!/usr/bin/env python3
"""Opens a page of `inbetween eval` in headless Chromium and takes its screenshots.

    tools/check_page.py PAGE.html REPORT.json [DIRECTORY]

Fails unless everything in the page loads without a network, nothing is wider than the screen, and every point of the charts carries
the figure that the JSON has. With DIRECTORY: light.png, dark.png and phone.png in it. Exit status 77 without Chromium (CHROMIUM names it;
"none": do without)."""
import html, html.parser, json, os, re, shutil, subprocess, sys, tempfile

FLAGS = ["--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
         "--disable-background-networking", "--disable-component-update", "--disable-sync", "--hide-scrollbars"]
# Appended to a copy of the page: looks at what was loaded and how it lies, and leaves its findings in the title.
PROBE = """<script>addEventListener("load", () => {
  const bad = [];
  for (const i of document.images)
    if (!i.complete || !i.naturalWidth) bad.push("an image does not load: " + i.alt);
  for (const r of performance.getEntriesByType("resource"))
    if (!r.name.startsWith("data:")) bad.push("something was loaded: " + r.name);
  for (const d of document.querySelectorAll("details")) d.open = true;
  const wide = document.documentElement.scrollWidth, screen = document.documentElement.clientWidth;
  if (wide > screen) bad.push("the page is " + wide + " wide on a screen of " + screen);
  JSON.parse(document.getElementById("report").textContent);
  document.title = "checked " + document.images.length + " images, screen " + screen + ": " + JSON.stringify(bad);
});</script>"""
CSP = re.compile(r'<meta http-equiv="Content-Security-Policy"[^>]*>')


def chromium(program, page, size, *flags):
    with tempfile.TemporaryDirectory() as profile:
        command = [program, *FLAGS, f"--user-data-dir={profile}", f"--window-size={size[0]},{size[1]}",
                   "--virtual-time-budget=20000", *flags, "file://" + os.path.abspath(page)]
        return subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, timeout=180)


class Marks(html.parser.HTMLParser):
    """Elements with data-v, links and sources, and what scripts there are."""

    def __init__(self):
        super().__init__()
        self.marks, self.links, self.scripts = [], [], []

    def handle_starttag(self, tag, attributes):
        a = dict(attributes)
        if "data-v" in a:
            self.marks.append(a)
        self.links += [a[k] for k in ("src", "href") if a.get(k)]
        if tag == "script":
            self.scripts.append(a.get("type"))


def figure_in(report, a):
    gap = next(g for g in report["gaps"] if g["gap"] == int(a["data-gap"]))
    if "data-clip" in a:
        methods = next(c for c in gap["clips"] if c["name"] == a["data-clip"])["methods"]
    elif "data-t" in a:
        methods = min(gap["places"], key=lambda p: abs(p["t"] - float(a["data-t"])))["methods"]
    else:
        methods = gap["mean"]
    return methods[a["data-method"]][a["data-figure"]]


def check_text(text, report):
    marks = Marks()
    marks.feed(text)
    bad = [f"the page names something outside itself: {l[:80]}" for l in marks.links if not l.startswith("data:")]
    bad += [f"a script of type {t}" for t in marks.scripts if t != "application/json"]
    if not marks.marks:
        bad.append("no point of a chart carries a figure")
    for a in marks.marks:
        if float(a["data-v"]) != figure_in(report, a):
            bad.append(f"{a} is {figure_in(report, a)} in the JSON")
    inside = json.loads(re.search(r'id="report">(.*?)</script>', text, re.S).group(1))
    if inside != report:
        bad.append("the JSON inside the page is another one")
    return len(marks.marks), bad


def main():
    if len(sys.argv) not in (3, 4):
        sys.exit(__doc__)
    page, report = sys.argv[1], json.load(open(sys.argv[2]))
    text = open(page, encoding="utf-8").read()
    points, bad = check_text(text, report)
    program = os.environ.get("CHROMIUM") or shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    if not program or program == "none":
        print("SKIPPED: chromium is not installed")
        sys.exit(1 if bad else 77)
    with tempfile.TemporaryDirectory() as folder:
        probed = os.path.join(folder, "page.html")
        open(probed, "w", encoding="utf-8").write(CSP.sub("", text).replace("</body>", PROBE + "</body>"))
        framed = os.path.join(folder, "phone.html")  # a window cannot be as narrow as a phone, a frame can
        open(framed, "w").write('<body style="margin:0"><iframe src="page.html" style="border:0;width:390px;height:800px" '
                                'onload="document.title=this.contentDocument.title"></iframe>')
        for name, flags in ((probed, []), (framed, ["--allow-file-access-from-files"])):
            dom = chromium(program, name, (1240, 1000), "--dump-dom", *flags).stdout.decode(errors="replace")
            found = re.search(r"<title>(checked .*?): (\[.*?\])</title>", dom, re.S)
            if not found:
                bad.append(f"the page did not come to its end in {os.path.basename(name)}")
            else:
                print(found.group(1))
                bad += json.loads(html.unescape(found.group(2)))
    if len(sys.argv) == 4:
        out = sys.argv[3]
        os.makedirs(out, exist_ok=True)
        for name, size, flags in (("light", (1240, 1900), ["--blink-settings=preferredColorScheme=1"]),
                                  ("dark", (1240, 1900), ["--blink-settings=preferredColorScheme=0"]),
                                  ("phone", (390, 1900), ["--blink-settings=preferredColorScheme=1"])):
            shot = os.path.join(out, name + ".png")
            chromium(program, page, size, f"--screenshot={os.path.abspath(shot)}", *flags)
            if not os.path.exists(shot):
                bad.append(f"no screenshot {shot}")
    print(f"{points} figures of charts compared with the JSON")
    for b in bad:
        print("FAILED:", b)
    sys.exit(1 if bad else 0)


main()
