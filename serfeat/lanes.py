"""Numbers side by side: what a kernel does with whole registers, written as ordinary Python.

A compiler turns a simple loop over neighbours into instructions that work on several numbers at a
time. Of a Fourier transform it does not find out that its many streams never overlap. With
`side_by_side` we say it: the decorated function is not compiled but run once, while the kernel
around it is compiled, with values that write down each ``+ - *`` as an instruction on a row of
`WIDTH` numbers. Loops and lists in it are unrolled by running them.

A row is 64 bytes, one line of the cache: one register of AVX-512, two of AVX2, four of SSE or NEON.
What one lane holds depends on that lane alone, in every bit.

Contents
--------
`WIDTH`        : numbers in a row, by the size of a number in bytes.
`side_by_side` : the decorator.
`summed`       : the same for a function that returns a row: the kernel gets the sum of its numbers.
`pairwise`     : the sum of several rows.
`squares`      : sum of the squares of `SUMMED` numbers, for kernels.
`Row`, `Rows`  : a row or an index, and an array of rows, while a kernel is compiled.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

from serfeat.jit import COMPILED, Kernel

__all__ = ["SUMMED", "WIDTH", "Row", "Rows", "pairwise", "side_by_side", "squares", "summed"]

WIDTH = {4: 16, 8: 8}


class Row:
    """A row of numbers or an integer: arithmetic on it becomes instructions of the kernel."""

    def __init__(self, builder: Any, value: Any) -> None:
        self.builder = builder
        self.value = value

    def _constant(self, number: float) -> Any:
        kind = self.value.type
        return kind([number] * kind.count) if hasattr(kind, "count") else kind(int(number))

    def _with(self, other: Row | float, names: tuple[str, str]) -> Row:
        kind = self.value.type
        of_integers = not hasattr(kind, "count")
        value = other.value if isinstance(other, Row) else self._constant(other)
        if of_integers:
            return Row(self.builder, getattr(self.builder, names[1])(self.value, value))
        # a product and a sum may become one instruction, where the processor has it
        made = getattr(self.builder, names[0])(self.value, value, flags=("contract",))
        return Row(self.builder, made)

    def __add__(self, other: Row | float) -> Row:
        return self._with(other, ("fadd", "add"))

    def __sub__(self, other: Row | float) -> Row:
        return self._with(other, ("fsub", "sub"))

    def __mul__(self, other: Row | float) -> Row:
        return self._with(other, ("fmul", "mul"))

    def __truediv__(self, other: Row) -> Row:
        return self._with(other, ("fdiv", "sdiv"))

    def __lt__(self, other: Row | float) -> Row:
        return self._compared("<", other)

    def __le__(self, other: Row | float) -> Row:
        return self._compared("<=", other)

    def _compared(self, sign: str, other: Row | float) -> Row:
        value = other.value if isinstance(other, Row) else self._constant(other)
        return Row(self.builder, self.builder.fcmp_ordered(sign, self.value, value))

    def choose(self, where: Row | float, elsewhere: Row) -> Row:
        """Of a row that says where something holds: take one row's numbers there, or another's."""
        value = where.value if isinstance(where, Row) else elsewhere._constant(where)
        return Row(self.builder, self.builder.select(self.value, value, elsewhere.value))

    def sqrt(self) -> Row:
        """Square roots."""
        kind = self.value.type
        name = f"llvm.sqrt.v{kind.count}f{64 if 'double' in str(kind) else 32}"
        from llvmlite import ir

        function = self.builder.module.globals.get(name) or ir.Function(
            self.builder.module, ir.FunctionType(kind, [kind]), name
        )
        return Row(self.builder, self.builder.call(function, [self.value]))

    def magnitude(self) -> Row:
        """Absolute values."""
        return (self < 0.0).choose(self * -1.0, self)

    def interleaved(self, other: Row) -> tuple[Row, Row]:
        """First halves of both rows with their numbers in turn, and second halves likewise."""
        from llvmlite import ir

        width = self.value.type.count
        halves = []
        for first in (0, width // 2):
            order = [first + i // 2 + width * (i % 2) for i in range(width)]
            places = ir.Constant(ir.VectorType(ir.IntType(32), width), order)
            made = self.builder.shuffle_vector(self.value, other.value, places)
            halves.append(Row(self.builder, made))
        return halves[0], halves[1]

    def total(self) -> Any:
        """Sum of the row's numbers, added by halves: in one order, whatever the machine."""
        from llvmlite import ir

        value, width, whole = self.value, self.value.type.count, ir.IntType(32)
        while width > 1:
            width //= 2
            low, high = (
                self.builder.shuffle_vector(
                    value, value, ir.Constant(ir.VectorType(whole, width), list(places))
                )
                for places in (range(width), range(width, 2 * width))
            )
            value = self.builder.fadd(low, high)
        return self.builder.extract_element(value, whole(0))


class Rows:
    """An array of a kernel, by rows: ``rows[i]`` loads, ``rows[i] = row`` stores."""

    def __init__(self, builder: Any, data: Any, vector: Any) -> None:
        self.builder, self.data, self.vector = builder, data, vector
        self.width = vector.count

    def _pointer(self, index: Row) -> Any:
        at = self.builder.gep(self.data, [index.value])
        return self.builder.bitcast(at, self.vector.as_pointer())

    def __getitem__(self, row: Row) -> Row:
        return self.at(row * self.width)

    def __setitem__(self, row: Row, value: Row) -> None:
        self.builder.store(value.value, self._pointer(row * self.width), align=4)

    def at(self, index: Row) -> Row:
        """Load the row that begins at any number."""
        return Row(self.builder, self.builder.load(self._pointer(index), align=4))

    def spread(self, index: Row) -> Row:
        """Load a single number into every lane."""
        return Row(
            self.builder,
            self._spread(self.builder.load(self.builder.gep(self.data, [index.value]))),
        )

    def one(self, index: Row) -> Row:
        """Load a single number into every lane; nothing ever changes it."""
        load = self.builder.load(self.builder.gep(self.data, [index.value]))
        load.set_metadata("invariant.load", self.builder.module.add_metadata([]))
        return Row(self.builder, self._spread(load))

    def _spread(self, number: Any) -> Any:
        from llvmlite import ir

        first = ir.Constant(self.vector, ir.Undefined)
        first = self.builder.insert_element(first, number, ir.IntType(32)(0))
        zeros = ir.Constant(ir.VectorType(ir.IntType(32), self.vector.count), None)
        return self.builder.shuffle_vector(first, first, zeros)


def pairwise(rows: Sequence[Row]) -> Row:
    """Add rows up, neighbours first: none of the sums waits for all before it."""
    if len(rows) == 1:
        return rows[0]
    half = len(rows) // 2
    return pairwise(rows[:half]) + pairwise(rows[half:])


def side_by_side(function: Callable[..., None]) -> Callable[..., None]:
    """Make a function of two arrays and integers usable in a kernel, a row at a time.

    Parameters
    ----------
    function : ``function(work, table, *indices)``: two `Rows` and any number of integers; the
        arrays are contiguous and of one precision.
    """
    return Kernel(function, partial(_intrinsic, False)) if COMPILED else function


def summed(function: Callable[..., Row]) -> Callable[..., float]:
    """Make a function that returns a row usable in a kernel, which gets the sum of its numbers.

    Parameters
    ----------
    function : ``function(left, right, *indices)``, as for `side_by_side`.
    """
    return Kernel(function, partial(_intrinsic, True))


def _intrinsic(summing: bool, function: Callable[..., Any]) -> Callable[..., Any]:
    """Make what numba replaces by the instructions that `function` writes down."""
    from llvmlite import ir
    from numba import types
    from numba.extending import intrinsic
    from numba.np import arrayobj

    structure: Any = arrayobj.make_array

    def typed(_typing: Any, work: Any, table: Any, indices: Any) -> Any:
        width = WIDTH[work.dtype.bitwidth // 8]

        def generate(context: Any, builder: Any, _signature: Any, args: Any) -> Any:
            vector = ir.VectorType(context.get_value_type(work.dtype), width)
            arrays = [
                Rows(builder, structure(kind)(context, builder, given).data, vector)
                for kind, given in zip((work, table), args[:2], strict=True)
            ]
            count = len(indices)
            whole = [Row(builder, builder.extract_value(args[2], i)) for i in range(count)]
            row = function(*arrays, *whole)
            return row.total() if summing else context.get_dummy_value()

        returns = work.dtype if summing else types.void
        return returns(work, table, indices), generate

    made: Callable[..., Any] = intrinsic(typed)
    return made


ROWS = 5  # added up at a time where sums are long: at 16 kHz half of 5 ms
SUMMED = ROWS * WIDTH[8]


@summed
def squares(x: Rows, _: Rows, at: Row) -> Row:
    """Sum of the squares of `SUMMED` doubles."""
    return pairwise([x.at(at + k * x.width) * x.at(at + k * x.width) for k in range(ROWS)])
