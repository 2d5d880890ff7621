"""The entropy coding of JPEG XL headers: as much as it takes to read past a profile and an order.

ISO/IEC 18181-1, annex C: ANS and prefix codes with clustered contexts, hybrid integers and LZ77.
The pixels use the same codes; nothing here reads pixels.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from worker.domain.image import Format
from worker.imaging import rejections

_LOG_TABLE = 12
_TABLE = 1 << _LOG_TABLE
_PREFIX_BITS = 15
_WINDOW = 1 << 20


class BitReader:
    """Bits of a codestream, the lowest of each byte first.

    Reading past the end raises ``IndexError``.
    """

    def __init__(self, data: bytes, at: int = 0) -> None:
        """Start at byte ``at``."""
        self._data = data
        self.at = 8 * at
        """Bits from the beginning of the data."""

    def bits(self, count: int) -> int:
        """A number of at most 56 bits."""
        byte, shift = divmod(self.at, 8)
        self.at += count
        if self.at > 8 * len(self._data):
            raise IndexError
        found = int.from_bytes(self._data[byte : byte + 8], "little")
        return found >> shift & (1 << count) - 1

    def peek(self, count: int) -> int:
        """The next bits, zeros behind the end, without going on."""
        byte, shift = divmod(self.at, 8)
        found = int.from_bytes(self._data[byte : byte + 8], "little")
        return found >> shift & (1 << count) - 1

    def u32(self, *ways: tuple[int, int]) -> int:
        """One of four ways to write a number, each an offset and a count of bits. B.2."""
        offset, count = ways[self.bits(2)]
        return offset + self.bits(count)

    def u64(self) -> int:
        """A number of up to 64 bits. B.3."""
        way = self.bits(2)
        if way == 0:
            return 0
        if way < 3:
            return 1 + self.bits(4) if way == 1 else 17 + self.bits(8)
        found, shift = self.bits(12), 12
        while self.bits(1):
            if shift == 60:
                return found | self.bits(4) << shift
            found |= self.bits(8) << shift
            shift += 8
        return found

    def enum(self) -> int:
        """B.5."""
        return self.u32((0, 0), (1, 0), (2, 4), (18, 6))

    def align(self) -> None:
        """Go on at the next whole byte."""
        self.at = (self.at + 7) // 8 * 8

    def skip(self, count: int) -> None:
        """Leave bits out."""
        self.at += count
        if self.at > 8 * len(self._data):
            raise IndexError


def damaged(what: str) -> Exception:
    """The error for contradictory codes."""
    return rejections.corrupt(Format.JXL, what)


@dataclass(frozen=True, slots=True)
class _Hybrid:
    """How an integer follows from a token and raw bits. C.2.3."""

    split: int
    msb: int
    lsb: int

    def read(self, reader: BitReader, token: int) -> int:
        start = 1 << self.split
        if token < start:
            return token
        both = self.msb + self.lsb
        count = self.split - both + (token - start >> both)
        if count > 32:
            raise damaged("a number is too long")
        low = token & (1 << self.lsb) - 1
        token >>= self.lsb
        high = 1 << self.msb | token & (1 << self.msb) - 1
        return (high << count | reader.bits(count)) << self.lsb | low


def _hybrid(reader: BitReader, log_alphabet: int) -> _Hybrid:
    split = reader.bits(log_alphabet.bit_length())
    msb = lsb = 0
    if split != log_alphabet:
        msb = reader.bits(split.bit_length())
        if msb <= split:
            lsb = reader.bits((split - msb).bit_length())
    if msb + lsb > split or split > log_alphabet:
        raise damaged("a code of numbers makes no sense")
    return _Hybrid(split, msb, lsb)


class Symbols:
    """A stream of integers, each in a context of its own."""

    def __init__(self, reader: BitReader, contexts: int, *, nested: bool = False) -> None:
        """Read the codes; the integers follow.

        Args:
            reader: where they stand.
            contexts: how many there are.
            nested: this is the code of a list of contexts.

        Raises:
            DamagedInput: CORRUPT.
            IndexError: the data ends.
        """
        self._reader = reader
        self._lz77 = bool(reader.bits(1))
        self._least_symbol = self._least_length = 0
        self._lengths = _Hybrid(0, 0, 0)
        if self._lz77:
            if nested and contexts == 1:
                # A list of contexts for two needs no repeats; each could ask for a list of its own.
                raise damaged("repeats in a list of contexts")
            self._least_symbol = reader.u32((224, 0), (512, 0), (4096, 0), (8, 15))
            self._least_length = reader.u32((3, 0), (4, 0), (5, 2), (9, 8))
            self._lengths = _hybrid(reader, 8)
            contexts += 1
        self._map = _contexts(reader, contexts) if contexts > 1 else [0]
        clusters = max(self._map) + 1
        self._prefix = bool(reader.bits(1))
        self._log_alphabet = _PREFIX_BITS if self._prefix else 5 + reader.bits(2)
        self._hybrids = [_hybrid(reader, self._log_alphabet) for _ in range(clusters)]
        self._codes: list[_PrefixCode] = []
        self._tables: list[list[tuple[int, int, int]]] = []
        if self._prefix:
            sizes = [1 + _sixteen(reader) for _ in range(clusters)]
            if max(sizes) > 1 << _PREFIX_BITS:
                raise damaged("too many symbols")
            self._codes = [_prefix_code(reader, size) for size in sizes]
        else:
            for _ in range(clusters):
                counts = _histogram(reader)
                if len(counts) > 1 << self._log_alphabet:
                    raise damaged("too many symbols")
                self._tables.append(_alias_table(counts, self._log_alphabet))
        self._state = 0 if self._prefix else reader.bits(32)
        self._window: list[int] = []
        self._copies = self._copy_from = 0

    def read(self, context: int) -> int:
        """The next integer."""
        if self._copies:
            return self._copied()
        cluster = self._map[context]
        token = self._token(cluster)
        if self._lz77 and token >= self._least_symbol:
            self._copies = self._least_length + self._lengths.read(
                self._reader, token - self._least_symbol
            )
            cluster = self._map[-1]
            distance = 1 + self._hybrids[cluster].read(self._reader, self._token(cluster))
            distance = min(distance, len(self._window), _WINDOW)
            self._copy_from = len(self._window) - distance
            return self._copied()
        value = self._hybrids[cluster].read(self._reader, token)
        if self._lz77:
            self._window.append(value)
        return value

    def _copied(self) -> int:
        value = self._window[self._copy_from] if self._copy_from < len(self._window) else 0
        self._copy_from += 1
        self._copies -= 1
        self._window.append(value)
        return value

    def _token(self, cluster: int) -> int:
        if self._prefix:
            return self._codes[cluster].read(self._reader)
        low = self._state & _TABLE - 1
        symbol, offset, count = self._tables[cluster][low]
        state = count * (self._state >> _LOG_TABLE) + offset
        if state < 1 << 16:
            state = state << 16 | self._reader.bits(16)
        self._state = state
        return symbol


def _contexts(reader: BitReader, count: int) -> list[int]:
    """Which contexts share a code. C.2.2."""
    if reader.bits(1):
        width = reader.bits(2)
        found = [reader.bits(width) for _ in range(count)]
    else:
        moved = bool(reader.bits(1))
        symbols = Symbols(reader, 1, nested=count <= 2)
        found = [symbols.read(0) for _ in range(count)]
        if max(found) > 255:
            raise damaged("too many codes")
        if moved:
            order = list(range(256))
            for index, place in enumerate(found):
                found[index] = order[place]
                order.insert(0, order.pop(place))
    if set(found) != set(range(max(found) + 1)):
        raise damaged("a code that nothing uses")
    return found


def _eight(reader: BitReader) -> int:
    """A number below 256 in 1 to 11 bits."""
    if not reader.bits(1):
        return 0
    count = reader.bits(3)
    return (1 << count) + reader.bits(count)


def _sixteen(reader: BitReader) -> int:
    """A number below 65536 in 1 to 20 bits."""
    if not reader.bits(1):
        return 0
    count = reader.bits(4)
    return (1 << count) + reader.bits(count)


# --- ANS ------------------------------------------------------------------------------------------


def _log_count(reader: BitReader) -> int:
    """The logarithm of a count plus 1; 0 is none, 13 repeats the one before. C.2.5, table C.2."""
    ahead = reader.peek(7)
    short = {0: 10, 2: 7, 4: 6, 5: 8, 6: 9}.get(ahead & 7)
    if short is not None:
        reader.skip(3)
        return short
    middle = {3: 3, 7: 5, 9: 4, 11: 1, 15: 2}.get(ahead & 15)
    if middle is not None:
        reader.skip(4)
        return middle
    for width, value in ((5, 0), (6, 11)):
        if ahead >> width - 1 & 1:
            reader.skip(width)
            return value
    reader.skip(7)
    return 13 if ahead >> 6 else 12


def _histogram(reader: BitReader) -> list[int]:
    """How often of 4096 times each symbol stands. C.2.5."""
    if reader.bits(1):
        symbols = [_eight(reader) for _ in range(1 + reader.bits(1))]
        counts = [0] * (max(symbols) + 1)
        counts[symbols[0]] = _TABLE if len(symbols) == 1 else reader.bits(_LOG_TABLE)
        if len(symbols) == 2:
            if symbols[0] == symbols[1]:
                raise damaged("a symbol stands twice")
            counts[symbols[1]] = _TABLE - counts[symbols[0]]
        return counts
    if reader.bits(1):
        size = _eight(reader) + 1
        share, more = divmod(_TABLE, size)
        return [share + (index < more) for index in range(size)]
    return _free_histogram(reader)


def _free_histogram(reader: BitReader) -> list[int]:
    width = 0
    while width < 3 and reader.bits(1):
        width += 1
    shift = (reader.bits(width) | 1 << width) - 1
    if shift > _LOG_TABLE + 1:
        raise damaged("a histogram makes no sense")
    size = _eight(reader) + 3
    logs, repeats, omitted = _logs(reader, size)
    return _counts(reader, logs, repeats, omitted, shift)


def _logs(reader: BitReader, size: int) -> tuple[list[int], list[int], int]:
    """Logarithms of the counts, how often each repeats, and whose count is what is left."""
    logs = [-1] * size
    repeats = [0] * size
    index, largest, omitted = 0, -1, -1
    while index < size:
        log = _log_count(reader) - 1
        logs[index] = log
        if log == _LOG_TABLE:
            repeats[index] = _eight(reader) + 4
            index += repeats[index]
            continue
        if log > largest:
            largest, omitted = log, index
        index += 1
    if omitted < 0 or (omitted + 1 < size and logs[omitted + 1] == _LOG_TABLE):
        raise damaged("a histogram makes no sense")
    return logs, repeats, omitted


def _counts(
    reader: BitReader, logs: list[int], repeats: list[int], omitted: int, shift: int
) -> list[int]:
    counts = [0] * len(logs)
    same = before = 0
    for index in range(len(logs)):
        if repeats[index]:
            same, before = repeats[index], counts[index - 1] if index else 0
        if same:
            counts[index] = before
            same -= 1
            continue
        log = logs[index]
        if log < 0 or index == omitted:
            continue
        if shift and log:
            exact = max(0, min(log, shift - (_LOG_TABLE - log >> 1)))
            counts[index] = (1 << log) + (reader.bits(exact) << log - exact)
        else:
            counts[index] = 1 << log
    counts[omitted] = _TABLE - sum(counts)
    if counts[omitted] <= 0:
        raise damaged("a histogram has too much")
    return counts


def _alias_table(counts: Sequence[int], log_alphabet: int) -> list[tuple[int, int, int]]:
    """Symbol, offset and count for each of 4096 states. C.2.6."""
    counts = list(counts)
    while counts and not counts[-1]:
        counts.pop()
    counts = counts or [_TABLE]
    if _TABLE in counts:
        symbol = counts.index(_TABLE)
        return [(symbol, state, _TABLE) for state in range(_TABLE)]
    size, width = 1 << log_alphabet, _TABLE >> log_alphabet
    counts += [0] * (size - len(counts))
    cutoffs, others, offsets = list(counts), [0] * size, [0] * size
    over = [index for index in range(size) if counts[index] > width]
    under = [index for index in range(size) if counts[index] < width]
    while over:
        full = over.pop()
        if not under:
            raise damaged("a histogram has too much")
        lacking = under.pop()
        cutoffs[full] -= width - cutoffs[lacking]
        others[lacking], offsets[lacking] = full, cutoffs[full]
        if cutoffs[full] < width:
            under.append(full)
        elif cutoffs[full] > width:
            over.append(full)
    table = []
    for index in range(size):
        cut = cutoffs[index]
        for place in range(width):
            if place < cut:
                table.append((index, place, counts[index]))
            else:
                other = others[index]
                table.append((other, offsets[index] - cut + place, counts[other]))
    return table


# --- prefix codes ---------------------------------------------------------------------------------

_LENGTH_ORDER = (1, 2, 3, 4, 0, 5, 17, 6, 16, 7, 8, 9, 10, 11, 12, 13, 14, 15)
"""In which lengths of the code of lengths stand. RFC 7932, 3.5."""
_REPEAT, _ZEROS = 16, 17


class _PrefixCode:
    """A prefix code by the length of each symbol's word, in the order of RFC 7932, 3.2."""

    def __init__(self, lengths: dict[int, int]) -> None:
        self._words: dict[tuple[int, int], int] = {}
        self._only = next(iter(lengths)) if len(lengths) == 1 else None
        self._longest = 0
        if self._only is not None:
            return
        code = before = 0
        for length, symbol in sorted((length, symbol) for symbol, length in lengths.items()):
            code <<= length - before
            before = length
            # Words are read from their highest bit on.
            self._words[length, int(f"{code:0{length}b}"[::-1], 2)] = symbol
            code += 1
        self._longest = before

    def read(self, reader: BitReader) -> int:
        if self._only is not None:
            return self._only
        ahead = reader.peek(self._longest)
        for length in range(1, self._longest + 1):
            symbol = self._words.get((length, ahead & (1 << length) - 1))
            if symbol is not None:
                reader.skip(length)
                return symbol
        raise damaged("a code that stands for nothing")


def _prefix_code(reader: BitReader, size: int) -> _PrefixCode:
    """A code as Brotli writes it. RFC 7932, 3.4 and 3.5."""
    if size == 1:
        return _PrefixCode({0: 0})
    kind = reader.bits(2)
    return _PrefixCode(_simple(reader, size) if kind == 1 else _complex(reader, size, kind))


def _simple(reader: BitReader, size: int) -> dict[int, int]:
    """Lengths of a code of one to four symbols. RFC 7932, 3.4."""
    count = reader.bits(2) + 1
    width = (size - 1).bit_length()
    symbols = [reader.bits(width) for _ in range(count)]
    if len(set(symbols)) < count or max(symbols) >= size:
        raise damaged("a symbol stands twice")
    uneven = count == 4 and reader.bits(1)
    lengths = (1, 2, 3, 3) if uneven else ((1,), (1, 1), (1, 2, 2), (2, 2, 2, 2))[count - 1]
    return dict(zip(symbols, lengths, strict=True))


def _complex(reader: BitReader, size: int, skipped: int) -> dict[int, int]:
    """Lengths of a code of any size. RFC 7932, 3.5."""
    ladder = {}
    space = 32
    for symbol in _LENGTH_ORDER[skipped:]:
        if space <= 0:
            break
        ahead = reader.peek(4)
        value, width = {0: (0, 2), 1: (4, 2), 2: (3, 2)}.get(ahead & 3, (0, 0))
        if not width:
            value, width = (2, 3) if not ahead & 4 else (5 if ahead & 8 else 1, 4)
        reader.skip(width)
        if value:
            ladder[symbol] = value
            space -= 32 >> value
    if space and len(ladder) != 1:
        raise damaged("a code has gaps")
    return _lengths(reader, _PrefixCode(ladder), size)


def _lengths(reader: BitReader, code: _PrefixCode, size: int) -> dict[int, int]:
    lengths: dict[int, int] = {}
    symbol = repeat = repeated = 0
    before, space = 8, 1 << _PREFIX_BITS
    while symbol < size and space > 0:
        length = code.read(reader)
        if length < _REPEAT:
            repeat = 0
            if length:
                lengths[symbol] = before = length
                space -= 1 << _PREFIX_BITS >> length
            symbol += 1
            continue
        extra = length - 14
        new = before if length == _REPEAT else 0
        if repeated != new:
            repeat, repeated = 0, new
        old = repeat
        if repeat:
            repeat = repeat - 2 << extra
        repeat += reader.bits(extra) + 3
        if symbol + repeat - old > size:
            raise damaged("a code is too long")
        for index in range(symbol, symbol + repeat - old):
            if repeated:
                lengths[index] = repeated
                space -= 1 << _PREFIX_BITS >> repeated
        symbol += repeat - old
    if space:
        raise damaged("a code has gaps")
    return lengths
