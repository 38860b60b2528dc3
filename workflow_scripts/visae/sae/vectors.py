"""Vectors of 16 numbers in kernels, as LLVM has them: for loops that its optimiser does not find.

What is made of these stands in the kernel's own file: numba's cache on disk notices changes of the
file of the compiled function only.
"""

from __future__ import annotations

from llvmlite import ir
from numba.core import cgutils

LANES = 16
FLOAT, INT, INDEX = ir.FloatType(), ir.IntType(32), ir.IntType(64)
FLOATS, INTS = ir.VectorType(FLOAT, LANES), ir.VectorType(INT, LANES)


def constant(values):
    """A vector of integers."""
    return ir.Constant(ir.VectorType(INT, len(values)), list(values))


def at(context, builder, kind, array, index):
    """The address of array[index]."""
    return builder.gep(context.make_array(kind)(context, builder, array).data, [index])


def load(builder, address, vector):
    """A vector of that type, from where a number lies."""
    return builder.load(builder.bitcast(address, vector.as_pointer()), align=4)


def spread(builder, scalar):
    """A vector of 16 times the scalar."""
    empty = ir.Constant(ir.VectorType(scalar.type, LANES), ir.Undefined)
    first = builder.insert_element(empty, scalar, ir.Constant(INT, 0))
    return builder.shuffle_vector(first, empty, constant([0] * LANES))


def called(builder, name, result, *arguments):
    """What one of LLVM's own functions gives, of that type."""
    kinds = [argument.type for argument in arguments]
    function = cgutils.get_or_insert_function(builder.module, ir.FunctionType(result, kinds), name)
    return builder.call(function, arguments)
