"""What the helpers of generated kernels make of numbers: built, compiled and called here."""

import ctypes
from types import SimpleNamespace

import llvmlite.binding as llvm
import numba  # noqa: F401  # makes LLVM ready for this processor
import numpy as np
from llvmlite import ir

from visae.sae.vectors import FLOAT, FLOATS, INDEX, INTS, LANES, at, called, constant, load, spread


def test_sixteen_numbers_at_once():
    """out = fma(spread(scalar), numbers[first : first + 16], 3); whole = constant(0 … 15)."""
    module = ir.Module()
    pointer, whole = FLOAT.as_pointer(), ir.IntType(32).as_pointer()
    kind = ir.FunctionType(ir.VoidType(), [FLOAT, pointer, INDEX, pointer, whole])
    function = ir.Function(module, kind, "calculate")
    scalar, numbers, first, out, counted = function.args
    builder = ir.IRBuilder(function.append_basic_block())
    arrays = []

    def make_array(kind):
        def made(context, builder, array):
            arrays.append((kind, context, builder))
            return SimpleNamespace(data=array)

        return made

    context = SimpleNamespace(make_array=make_array)
    own = load(builder, at(context, builder, "float32", numbers, first), FLOATS)
    assert arrays == [("float32", context, builder)]
    three = spread(builder, ir.Constant(FLOAT, 3.0))
    total = called(builder, "llvm.fma.v16f32", FLOATS, spread(builder, scalar), own, three)
    for value, place, vector in ((total, out, FLOATS), (constant(range(LANES)), counted, INTS)):
        builder.store(value, builder.bitcast(place, vector.as_pointer()), align=4)
    builder.ret_void()
    compiled = llvm.parse_assembly(str(module))
    compiled.verify()
    machine = llvm.Target.from_default_triple().create_target_machine()
    engine = llvm.create_mcjit_compiler(compiled, machine)
    engine.finalize_object()
    given = np.random.default_rng(0).normal(size=40).astype(np.float32)
    found, order = np.zeros(LANES + 1, np.float32), np.zeros(LANES + 1, np.int32)
    ctypes.CFUNCTYPE(None, ctypes.c_float, ctypes.c_void_p, ctypes.c_int64, *2 * [ctypes.c_void_p])(
        engine.get_function_address("calculate")
    )(2.5, given.ctypes.data, 7, found[1:].ctypes.data, order[1:].ctypes.data)
    np.testing.assert_allclose(found[1:], 2.5 * given[7:23] + 3, rtol=1e-6)
    assert order.tolist() == [0, *range(16)]
    assert found[0] == 0
