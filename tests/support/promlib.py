# SPDX-License-Identifier: MIT
"""A strict parser of Prometheus' text format, version 0.0.4: whatever is not as the format and its
conventions want it is an AssertionError."""
import re

NAME = r"[a-zA-Z_:][a-zA-Z0-9_:]*"
LABEL = r"[a-zA-Z_][a-zA-Z0-9_]*"
VALUE = r"(?:[+-]?(?:\d+(?:\.\d*)?|\.\d+)(?:[eE][+-]?\d+)?|NaN|[+-]Inf)"
SAMPLE = re.compile(rf"({NAME})(?:\{{(.*)\}})? ({VALUE})")
ONE_LABEL = re.compile(rf'({LABEL})="((?:[^"\\]|\\["\\n])*)"(?:,|$)')
TYPES = ("counter", "gauge", "histogram", "summary", "untyped")


def unescape(text):
    return re.sub(r"\\(.)", lambda m: {"n": "\n"}.get(m.group(1), m.group(1)), text)


def labels_of(text):
    labels, at = {}, 0
    while at < len(text):
        found = ONE_LABEL.match(text, at)
        assert found, f"labels: {text[at:]!r}"
        assert found.group(1) not in labels, f"label twice: {text}"
        labels[found.group(1)] = unescape(found.group(2))
        at = found.end()
    return tuple(sorted(labels.items()))


class Metrics:
    """What a scrape said: .families by name, with .type, .help and .samples by (name, labels)."""

    class Family:
        def __init__(self, name, what):
            self.name, self.help, self.type = name, what, None
            self.samples = {}

        def owns(self, name):
            suffixes = ("_bucket", "_sum", "_count") if self.type == "histogram" else ("",)
            return any(name == self.name + suffix for suffix in suffixes)

    def __init__(self, text):
        self.families = {}
        assert text.endswith("\n") and "\r" not in text
        current = None
        for line in text[:-1].split("\n"):
            if line.startswith("# HELP "):
                name, what = re.fullmatch(rf"# HELP ({NAME}) (.+)", line).groups()
                assert not re.search(r"\\[^\\n]|\\$", what.replace("\\\\", "")), line
                assert name not in self.families, f"family twice: {name}"
                current = self.families[name] = self.Family(name, unescape(what))
            elif line.startswith("# TYPE "):
                name, kind = re.fullmatch(rf"# TYPE ({NAME}) (\w+)", line).groups()
                assert current and name == current.name and current.type is None, line
                assert kind in TYPES and not current.samples, line
                current.type = kind
            else:
                found = SAMPLE.fullmatch(line)
                assert found, f"no sample: {line!r}"
                name, labels, value = found.groups()
                assert current and current.type and current.owns(name), line
                key = (name, labels_of(labels or ""))
                assert key not in current.samples, f"sample twice: {line}"
                current.samples[key] = float(value)
        for family in self.families.values():
            self.check(family)

    @staticmethod
    def check(family):
        assert family.type, family.name
        if family.type == "counter":
            assert family.name.endswith("_total"), family.name
        else:
            assert not family.name.endswith("_total"), family.name
        if "bytes" in family.name:
            assert re.search(r"_bytes(_total)?$", family.name), family.name
        for value in family.samples.values():
            assert value >= 0, family.name
        if family.type == "histogram":
            Metrics.check_histogram(family)

    @staticmethod
    def check_histogram(family):
        series = {}
        for (name, labels), value in family.samples.items():
            rest = tuple(pair for pair in labels if pair[0] != "le")
            one = series.setdefault(rest, {"buckets": []})
            if name.endswith("_bucket"):
                one["buckets"].append((float(dict(labels)["le"].replace("+Inf", "inf")), value))
            else:
                assert rest == labels, labels
                one[name.rsplit("_", 1)[1]] = value
        for one in series.values():
            bounds = [bound for bound, _ in one["buckets"]]
            counts = [count for _, count in one["buckets"]]
            assert bounds == sorted(set(bounds)) and bounds[-1] == float("inf"), bounds
            assert counts == sorted(counts), counts
            assert counts[-1] == one["count"], one
            assert (one["sum"] == 0) == (one["count"] == 0), one

    def get(self, name, suffix="", **labels):
        """One sample's value; labels: those that it must have."""
        found = self.all(name, suffix, **labels)
        assert len(found) == 1, (name, labels, found)
        return found[0]

    def all(self, name, suffix="", **labels):
        return [value for (said, given), value in self.families[name].samples.items()
                if said == name + suffix and set(labels.items()) <= set(given)]

    def sum(self, name, suffix="", **labels):
        return sum(self.all(name, suffix, **labels))
