"""The results of a run of the study: rows of values by column, and their explanation."""

import dataclasses


@dataclasses.dataclass
class Row:
    part: str     # nano, macro, processes, memory
    name: str
    title: str
    unit: str
    published: dict = dataclasses.field(default_factory=dict)  # other people's figures, by name
    # Column -> [value]: processor time for workloads, cycles for nanobenchmarks.
    values: dict = dataclasses.field(default_factory=dict)
    wall: dict = dataclasses.field(default_factory=dict)       # column -> [elapsed time]
    time: dict = dataclasses.field(default_factory=dict)       # column -> {where: seconds}
    counters: dict = dataclasses.field(default_factory=dict)   # column -> {event: per operation}


class Results:
    """Rows in the order in which they were first seen."""

    def __init__(self, machine, options=None):
        self.machine, self.options = machine, options or {}
        self.columns = []
        self.notes = []      # columns that were left out, runs that failed: one line each
        self.rows = {}
        self.counters = {}   # what was run -> column -> {counter: value}

    def row(self, part, name, title="", unit="", published=None):
        key = (part, name)
        if key not in self.rows:
            self.rows[key] = Row(part, name, title or name, unit, published or {})
        return self.rows[key]

    def part(self, part):
        return [row for row in self.rows.values() if row.part == part and any(row.values.values())]

    def add(self, row, column, values):
        row.values.setdefault(column, []).extend(values)

    def columns_of(self, rows):
        return [name for name in self.columns if any(row.values.get(name) for row in rows)]

    def note(self, text):
        if text not in self.notes:
            self.notes.append(text)

    def to_json(self):
        return {"machine": self.machine, "options": self.options, "columns": self.columns,
                "notes": self.notes, "counters": self.counters,
                "rows": [dataclasses.asdict(row) for row in self.rows.values()]}

    @classmethod
    def from_json(cls, known):
        result = cls(known["machine"], known["options"])
        result.columns, result.notes = known["columns"], known["notes"]
        result.counters = known["counters"]
        for row in known["rows"]:
            result.rows[row["part"], row["name"]] = Row(**row)
        return result
