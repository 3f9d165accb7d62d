"""What a simulated disk does that must not be trusted: calls succeed, and nothing of it is true.

::

    lie_at             an append succeeds, but its bytes are missing, zeros, too few or wrong
    misdirect_at       an append lands on other bytes, of the same file or of another one
    lie_about_syncs    syncs succeed and do nothing, so the next crash takes what they promised
    go_stale           a sector holds again what it held when that was remembered
    corrupt            bits flip

A member cannot see from a call that any of these happens; checksums show it when bytes are read.
Who stands outside can: :meth:`UntrustedFiles.as_written` returns the bytes that should be there.

Source: Bairavasundaram et al., *An Analysis of Data Corruption in the Storage Stack*, FAST 2008
(misdirected and lost writes).
"""

from __future__ import annotations

from random import Random

from kvraft import inputs
from kvraft.display import counted
from kvraft.errors import BadInput
from kvraft.sim.file import SimFile

SILENT_WRITE_FAULTS = ("missing", "zeros", "short", "flipped")
"""What a lying disk does with the bytes of an append."""


class UntrustedFiles:
    """The files of a disk that is not to be trusted; ``_files`` has them by name."""

    def __init__(self) -> None:
        self._files: dict[str, SimFile] = {}
        self._until_lie, self._lie = 0, ""  # appends until it lies, 0 if never; and how
        self._until_astray, self._where = 0, Random(0)  # the same, for one that lands elsewhere
        self._liar: Random | None = None  # who decides which syncs are lies, if some are
        self._share = 0.0  # of syncs that are
        self._lied = False  # about the directory, and no honest sync of it followed
        self._before: dict[str, bytes] | None = None  # a crash that took what was promised
        self._remembered: dict[int, bytes] = {}  # by number of the file
        self._spoilt = False

    # ── lies ────────────────────────────────────────────────────────────────────────────────────

    def lie_at(self, n: int, lie: str) -> None:
        """Make the ``n``-th append from now on write something else, and succeed.

        ``lie`` is one of :data:`SILENT_WRITE_FAULTS`: nothing is written, zeros are, half of it is,
        or one bit in the middle is flipped.  Later syncs make that durable.
        """
        if n < 1 or lie not in SILENT_WRITE_FAULTS:
            raise ValueError(
                f"an append lies at call 1 or later, and in one of the ways {SILENT_WRITE_FAULTS}"
            )
        self._until_lie, self._lie = n, lie

    def misdirect_at(self, n: int, random: Random) -> None:
        """Make the bytes of the ``n``-th append from now on land elsewhere, and succeed.

        Where they belong there are zeros; they replace bytes of the same file or of another one.
        """
        if inputs.whole_number(n, "the number of an append") < 1:
            raise BadInput(f"there is no append {n} from now on: the next one is 1")
        self._until_astray, self._where = n, random

    def lie_about_syncs(self, random: Random, share: float = 1.0) -> None:
        """Make syncs succeed and do nothing, each with the chance ``share``, until a repair.

        So does a drive that ignores the order to write its cache.  A later honest sync of the same
        file, or of the directory, makes good what it lied about, and so does :meth:`confess`.
        """
        self._liar, self._share = random, share

    @property
    def will_lie(self) -> bool:
        """Whether a call may still do something else than it says."""
        return self._until_lie > 0 or self._until_astray > 0 or self._liar is not None

    def confess(self) -> None:
        """End all of this, and make good what syncs promised; what is spoilt remains so."""
        self._until_lie = self._until_astray = 0
        self._liar = None
        for file in self._files.values():
            if file.lied:
                file.sync()
        if self._lied:
            self.make_names_durable()

    def make_names_durable(self) -> None:
        """Make the directory durable."""
        raise NotImplementedError

    # ── bytes that are not what they were ───────────────────────────────────────────────────────

    def corrupt(self, name: str, offset: int, mask: int = 0xFF) -> None:
        """Flip the bits of ``mask`` in one byte of a file."""
        file = self.file(name)
        if not 0 <= inputs.whole_number(offset, "the offset of a byte") < len(file.data):
            raise BadInput(f"{name} has {counted(len(file.data), 'byte')}, and none at {offset}")
        if not 1 <= inputs.whole_number(mask, "a mask of bits") <= 0xFF:
            raise BadInput(f"a mask of {mask} flips no bit of a byte: 1 to 255 would")
        self._spoil(file, offset, bytes((file.data[offset] ^ mask,)))

    def remember(self) -> None:
        """Remember what all files hold now, which :meth:`go_stale` brings back."""
        self._remembered = {file.number: bytes(file.data) for file in self._files.values()}

    def go_stale(self, random: Random, sector: int = 512) -> str:
        """Have a sector of ``sector`` bytes hold what it held when that was remembered.

        Only one that was written since is chosen; what was not there then is zeros.  Return the
        name of the file, ``""`` if nothing was written since.
        """
        stale: list[tuple[str, int, bytes]] = []
        for name, file in sorted(self._files.items()):
            old = self._remembered.get(file.number, b"").ljust(len(file.data), b"\0")
            for start in range(0, len(file.data), sector):
                then = old[start : min(start + sector, len(file.data))]
                if then != file.data[start : start + sector]:
                    stale.append((name, start, then))
        if not stale:
            return ""
        name, start, then = random.choice(stale)
        self._spoil(self._files[name], start, then)
        return name

    @property
    def spoilt(self) -> bool:
        """Whether it may hold anything else than it should: see :meth:`as_written`."""
        return self._spoilt or self._before is not None

    def as_written(self) -> dict[str, bytes]:
        """Return the bytes of every file as they would be on a disk that is to be trusted.

        That is as they were before any were spoilt, and before a crash took what a sync had
        promised; nothing may have been written since then.
        """
        if self._before is not None:
            return self._before
        return {name: file.as_written() for name, file in sorted(self._files.items())}

    def forgive(self) -> None:
        """Take what it holds for what it should hold, from now on."""
        self._before, self._spoilt = None, False
        for file in self._files.values():
            file.right = []

    # ── for the disk ────────────────────────────────────────────────────────────────────────────

    def file(self, name: str) -> SimFile:
        """Return a file; raise ``FileNotFoundError`` if it does not exist."""
        raise NotImplementedError

    def is_honest(self) -> bool:
        """Return whether a sync that is made now does what it says."""
        return self._liar is None or self._liar.random() >= self._share

    def note_crash(self) -> None:
        """Remember all bytes before a crash takes some that syncs have promised."""
        if self._lied or any(file.lied for file in self._files.values()):
            self._before = self.as_written()
        self._lied = False

    def write(self, file: SimFile, data: bytes) -> None:
        """Append ``data`` to a file, or whatever the disk makes of it."""
        if self._until_astray:
            self._until_astray -= 1
            if not self._until_astray and data:
                file.data += bytes(len(data))
                self._spoil(file, len(file.data) - len(data), bytes(len(data)), right=data)
                self._land(data)
                return
        file.data += self._kept(data)

    def _land(self, data: bytes) -> None:
        """Have ``data`` replace bytes of a file somewhere."""
        files = [file for _, file in sorted(self._files.items()) if file.data]
        file = self._where.choice(files)
        self._spoil(file, self._where.randrange(len(file.data)), data)

    def _spoil(self, file: SimFile, start: int, data: bytes, right: bytes | None = None) -> None:
        self._spoilt = True
        file.spoil(start, data, right)

    def _kept(self, data: bytes) -> bytes:
        """Return the bytes that an append writes, other ones if the disk lies about it."""
        self._until_lie -= 1
        if self._until_lie != 0 or not data:
            return data
        if self._lie in ("missing", "short"):
            return data[: len(data) // 2 if self._lie == "short" else 0]
        if self._lie == "zeros":
            return bytes(len(data))
        at = len(data) // 2
        return data[:at] + bytes((data[at] ^ 0x10,)) + data[at + 1 :]
