"""Figures by case and target: their medians, as rows and as a Markdown table."""
import math
import statistics


class Results:
    def __init__(self):
        self.values = {}  # (case, name of the target) -> figure -> one value a round
        self.remarks = []

    def note(self, case, target, **values):
        row = self.values.setdefault((case, target.name), {})
        for name, value in values.items():
            row.setdefault(name, []).append(value)

    def note_compared(self, name, figure, with_target, how):
        """As figure `name`: how(a target's, with_target's `figure` of the same round)."""
        for (case, target), row in self.values.items():
            base = self.values.get((case, with_target), {}).get(figure)
            if target != with_target and base and figure in row:
                row[name] = [how(one, other) for one, other in zip(row[figure], base)]

    def remark(self, text):
        if text not in self.remarks:
            self.remarks.append(text)

    def rows(self):
        """Errors are those of all rounds together. None: it did not come to an end."""
        def figure(name, values):
            value = sum(values) if name == "errors" else statistics.median(values)
            return value if math.isfinite(value) else None
        return [{"case": case, "target": target,
                 **{name: figure(name, values) for name, values in row.items()}}
                for (case, target), row in self.values.items()]

    def markdown(self):
        rows = self.rows()
        names = list(dict.fromkeys(name for row in rows for name in row))
        table = [[heading(name) for name in names]]
        table += [[cell(row.get(name)) for name in names] for row in rows]
        widths = [max(len(line[column]) for line in table) for column in range(len(names))]
        table.insert(1, ["-" * width for width in widths])
        lines = ["| " + " | ".join(word.ljust(width) for word, width in zip(line, widths)) + " |"
                 for line in table]
        return "\n".join(lines + [""] + self.remarks if self.remarks else lines)


def heading(name):
    name = name.replace("_per_", "/").replace("_", " ")
    for word in ("MB", "KiB", "CPU"):
        name = name.replace(word.lower(), word)
    return name


def cell(value):
    if value is None:
        return "-"
    if isinstance(value, (str, int)):
        return str(value)
    return f"{value:.{0 if abs(value) >= 100 else 1 if abs(value) >= 10 else 3}f}"
