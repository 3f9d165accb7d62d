"""The least that is a tree: all of it in memory, and one file that each flush replaces.

:data:`WRONG` has variants of it with one bug each, for a judge to find.
"""

import json


class MinimalTree:
    """Holds everything in a dict; a flush writes a new file, and renames it when it is synced."""

    def __init__(self, disk):
        self.disk, self.rows = disk, {}
        if "new" in disk.names():
            disk.remove("new")
        if "table" in disk.names():
            self.rows = self.unpacked(disk.read("table"))

    def put(self, key, value):
        self.rows[key] = value

    def delete(self, key):
        self.rows.pop(key, None)

    def get(self, key):
        return self.rows.get(key)

    def scan(self, start=b"", stop=None):
        for key in sorted(self.rows):
            if key >= start and (stop is None or key < stop):
                yield key, self.rows[key]

    def flush(self):
        self.disk.create("new")
        self.disk.append("new", self.packed())
        self.sync()
        self.disk.rename("new", "table")
        self.disk.sync_dir()

    def sync(self):
        self.disk.sync("new")

    def packed(self):
        rows = [[key.hex(), value.hex()] for key, value in self.rows.items()]
        return json.dumps(rows).encode()

    def unpacked(self, data):
        return {bytes.fromhex(key): bytes.fromhex(value) for key, value in json.loads(data)}


class ForgetsToSync(MinimalTree):
    def sync(self):
        pass


class ForgetsTheDirectory(MinimalTree):
    def flush(self):
        self.disk.create("new")
        self.disk.append("new", self.packed())
        self.sync()
        self.disk.rename("new", "table")


class OverwritesInPlace(MinimalTree):
    def flush(self):
        if "table" not in self.disk.names():
            self.disk.create("table")
        self.disk.truncate("table", 0)
        self.disk.append("table", self.packed())
        self.disk.sync("table")
        self.disk.sync_dir()


class EmptyIsDeleted(MinimalTree):
    def put(self, key, value):
        if value:
            super().put(key, value)
        else:
            self.delete(key)


class ScansUnsorted(MinimalTree):
    def scan(self, start=b"", stop=None):
        for key, value in self.rows.items():
            if key >= start and (stop is None or key < stop):
                yield key, value


class DropsEmptyKeys(MinimalTree):
    def packed(self):
        self.rows.pop(b"", None)
        return super().packed()


class RaisesOnUnknown(MinimalTree):
    def delete(self, key):
        del self.rows[key]


WRONG = [
    ForgetsToSync,
    ForgetsTheDirectory,
    OverwritesInPlace,
    EmptyIsDeleted,
    ScansUnsorted,
    DropsEmptyKeys,
    RaisesOnUnknown,
]
"""All of the variants."""
