# SPDX-License-Identifier: MIT
"""What bench/run found: JSON, a table, a chart."""
import datetime
import html
import json
import os
import statistics

BAR, GAP, LEFT, WIDTH = 14, 18, 210, 900
COLOURS = ("#0b6e4f", "#8da9c4", "#b0b0b0", "#d4a373", "#c9ada7", "#9a8c98")


def cpu_name():
    with open("/proc/cpuinfo", encoding="utf-8") as f:
        for line in f:
            if line.startswith("model name"):
                return line.split(":", 1)[1].strip()
    return os.uname().machine


def spread(values):
    return {"median": statistics.median(values), "min": min(values), "max": max(values)}


def figure(value):
    if value is None:
        return "-"
    return "%.0f" % value if abs(value) >= 1000 else "%.3g" % value


def collect(samples, origin, judge):
    rows = []
    for name, by_who in samples.items():
        if "weft" not in by_who:
            continue
        unit = by_who["weft"][1]
        middle = {who: statistics.median(v) for who, (v, _) in by_who.items()}
        better, ratio, against, goal, met = judge(name, unit, origin[name], middle)
        rows.append({"row": name, "unit": unit, "better": better,
                     "weft": spread(by_who["weft"][0]),
                     "peers": {w: spread(v) for w, (v, _) in by_who.items() if w != "weft"},
                     "target": goal, "ratio": round(ratio, 3) if ratio else None,
                     "against": against, "met": met})
        later = origin[name].later(name, middle)
        if later:
            rows[-1]["later"] = later
        if origin[name].is_beside(name):
            rows[-1]["beside"] = True
    return rows


def table(rows):
    for row in rows:
        line = "%-30s %9s %-16s" % (row["row"], figure(row["weft"]["median"]), row["unit"])
        line += "  ".join("%s %s" % (k, figure(v["median"])) for k, v in row["peers"].items())
        if row["ratio"]:
            line += "   ratio %.2f" % row["ratio"]
        if row["target"]:
            line += "   %s: %s" % (row["target"],
                                   {True: "met", False: "MISSED", None: "-"}[row["met"]])
        if row.get("later"):
            line += "   later %s: %s" % (row["later"]["target"], figure(row["later"]["value"]))
        print(line)


def chart(rows, path, title):
    """Horizontal bars, each row scaled to its own largest."""
    out, y = [], 40
    for row in rows:
        if row.get("beside"):
            continue
        bars = [("weft", row["weft"])] + list(row["peers"].items())
        largest = max(b["median"] for _, b in bars) or 1
        out.append('<text x="10" y="%d" font-weight="bold">%s (%s, %s is better)</text>' %
                   (y, html.escape(row["row"]), html.escape(row["unit"]), row["better"]))
        y += 6
        for i, (who, b) in enumerate(bars):
            width = max(1, (WIDTH - LEFT - 110) * b["median"] / largest)
            out.append('<text x="%d" y="%d" text-anchor="end">%s</text>' %
                       (LEFT - 8, y + BAR - 3, html.escape(who)))
            out.append('<rect x="%d" y="%d" width="%.1f" height="%d" fill="%s"/>' %
                       (LEFT, y, width, BAR - 3, COLOURS[i % len(COLOURS)]))
            out.append('<text x="%.1f" y="%d">%s</text>' %
                       (LEFT + width + 6, y + BAR - 3, figure(b["median"])))
            y += BAR
        y += GAP
    with open(path, "w", encoding="utf-8") as f:
        f.write('<svg xmlns="http://www.w3.org/2000/svg" width="%d" height="%d" '
                'font-family="sans-serif" font-size="11">\n'
                '<rect width="100%%" height="100%%" fill="white"/>\n'
                '<text x="10" y="18" font-size="14">%s</text>\n%s\n</svg>\n' %
                (WIDTH, y, html.escape(title), "\n".join(out)))


def summary(rows):
    judged = [r for r in rows if r["met"] is not None]
    missed = [r for r in judged if not r["met"]]
    if judged:
        print("\n%d of %d goals met" % (len(judged) - len(missed), len(judged)))
    for row in missed:
        print("  missed: %-28s %5.2f of %s" % (row["row"], row["ratio"], row["against"]))


def updated(path, new, only):
    """What is kept, with the new rows in it, and a word that they are of another run."""
    with open(path, encoding="utf-8") as f:
        kept = json.load(f)
    if (kept["cpu"], kept["cores"], kept["rounds"]) != (new["cpu"], new["cores"], new["rounds"]):
        raise SystemExit("bench: --update: %s is of another machine or other rounds" % path)
    fresh = {row["row"]: row for row in new["rows"]}
    kept["rows"] = [fresh.pop(row["row"], row) for row in kept["rows"]] + list(fresh.values())
    again = {"only": only, "date": new["date"], "note": new["note"]}
    kept["updates"] = [u for u in kept.get("updates", []) if u["only"] != only] + [again]
    return kept


def write(suite, samples, origin, judge, here, options, about):
    """Into here/results. about: more of what the results were had by."""
    rows = collect(samples, origin, judge)
    result = {"date": datetime.date.today().isoformat(), "cpu": cpu_name(),
              "cores": os.cpu_count(), **about,
              "rounds": options.rounds, "quick": options.quick, "note": options.note,
              "rows": rows}
    folder = os.path.join(here, "results")
    os.makedirs(folder, exist_ok=True)
    if options.update:
        result = updated(os.path.join(folder, suite + ".json"), result, options.only)
        rows = result["rows"]
    with open(os.path.join(folder, suite + ".json"), "w", encoding="utf-8") as f:
        json.dump(result, f, indent=1)
        f.write("\n")
    chart(rows, os.path.join(folder, suite + ".svg"),
          "weft: %s, %s, %d cores, medians of %d" %
          (suite, result["cpu"], result["cores"], options.rounds))
    print("\n%s (%s)" % (suite, ", ".join("%s %s" % c for c in about["compilers"].items())))
    table(rows)
    summary(rows)
