"""The hunt: every row is a situation and its right behaviour; see tools/hunt.sh."""

import concurrent.futures, os, shutil, sys, tempfile, textwrap, time

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import bench, rows_files, rows_formats, rows_pictures, rows_words, rows_work  # the rows list themselves when imported


def verdict(row, shared):
    """(verdict, what was seen, seconds) of one row, in a directory of its own."""
    b = bench.Bench(shared, row)
    begun = time.monotonic()
    try:
        seen = row.function(b) or ""
        result = "FAULT" if b.faults else "ok"
    except bench.Skip as why:
        result, seen = ("FAULT", "") if b.faults else ("skipped", str(why))
    except Exception as what:  # noqa: BLE001  a row that cannot be played is a fault, of the product or of the row
        result, seen = "FAULT", "the row broke off: %s: %s" % (type(what).__name__, what)
    if b.faults:
        shown = b.faults if shared.all else b.faults[:6]
        if len(shown) < len(b.faults):
            shown = shown + ["and %d more (name the row to see all)" % (len(b.faults) - len(shown))]
        seen = "; ".join(shown + ([seen] if seen.startswith("the row broke off") else []))
    shutil.rmtree(b.dir, ignore_errors=True)
    return result, seen, time.monotonic() - begun


def main():
    program = os.path.abspath(sys.argv[1])
    wanted = [int(n) for n in sys.argv[2:]]
    rows = sorted((r for r in bench.rows if not wanted or r.number in wanted), key=lambda r: r.number)
    begun = time.monotonic()
    counts = {"ok": 0, "FAULT": 0, "skipped": 0}
    scratch = tempfile.mkdtemp(prefix="inbetween-hunt.")
    try:
        shared = bench.Shared(program, scratch)
        shared.all = bool(wanted)
        with concurrent.futures.ThreadPoolExecutor(2) as pool:
            for row, result in [(r, pool.submit(verdict, r, shared)) for r in rows]:
                what, seen, seconds = result.result()
                counts[what] += 1
                print("%2d  %-62s %-7s %5.1f s" % (row.number, row.situation, what, seconds))
                if seen:
                    print(textwrap.fill(bench.printable(seen), 110, initial_indent="      ", subsequent_indent="      "))
                sys.stdout.flush()
    finally:
        shutil.rmtree(scratch, ignore_errors=True)
    print(
        "\n%d rows: %d ok, %d FAULT, %d skipped; %.0f s"
        % (len(rows), counts["ok"], counts["FAULT"], counts["skipped"], time.monotonic() - begun)
    )
    return 1 if counts["FAULT"] else 0


sys.exit(main())
