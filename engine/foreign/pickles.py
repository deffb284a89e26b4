"""Reads the structure of a pickle without building anything that it asks for.

A pickle is a program. This is an interpreter of our own for the part of its language that plain data and torch's tensors
need (https://docs.python.org/3/library/pickletools.html has the opcodes): numbers, texts, lists, tuples, dicts come out
as they are; a global becomes a ``Global`` (its name), a call a ``Call`` (name and arguments), a tensor's bytes a
``Persistent``. Nothing is imported, called or set. A global outside ``KNOWN`` is refused by its name. Memory is bounded
by the pickle's own length and by how many operations it may have: a byte can ask for an object of a hundred. Unlike in the
standard library's reader, a memo's index is no array's size here.
"""

from __future__ import annotations

import gc
import re
import struct
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Final, NoReturn

from engine.foreign.errors import ForeignFileError, HostilePickleError

_STORAGES: Final = frozenset(
    f"torch {kind}Storage"
    for kind in (
        *("Double", "Float", "Half", "BFloat16", "Long", "Int", "Short", "Char", "Byte", "Bool", "Untyped"),
        *("ComplexDouble", "ComplexFloat", "QInt8", "QUInt8", "QInt32", "Float8_e4m3fn", "Float8_e5m2"),
    )
)
_DTYPES: Final = frozenset(
    f"torch {name}"
    for name in (
        *("float32", "float64", "float16", "bfloat16", "int64", "int32", "int16", "int8", "uint8", "bool"),
        *("float8_e4m3fn", "float8_e5m2", "uint16", "uint32", "uint64"),
    )
)
KNOWN: Final = (
    _STORAGES
    | _DTYPES
    | {
        "collections OrderedDict",
        "collections defaultdict",
        "collections Counter",
        "builtins dict",
        "builtins list",
        "builtins set",
        "builtins int",
        "builtins float",
        "__builtin__ set",
        "_codecs encode",
        "torch._utils _rebuild_tensor_v2",
        "torch._utils _rebuild_tensor_v3",
        "torch._utils _rebuild_parameter",
        "torch._utils _rebuild_parameter_with_state",
        "torch.storage UntypedStorage",
        "torch.storage TypedStorage",
        "torch.storage _load_from_bytes",
        "torch.serialization _get_layout",
        "torch Size",
        "torch device",
        "torch.nn.parameter Parameter",
        "torch.optim.lr_scheduler EPOCH_DEPRECATION_WARNING",
        "numpy dtype",
        "numpy ndarray",
        "numpy.core.multiarray scalar",
        "numpy.core.multiarray _reconstruct",
        "numpy._core.multiarray scalar",
        "numpy._core.multiarray _reconstruct",
    }
)
"""``module name`` of every global that a training state may name. Naming is all that happens to them."""
OPERATIONS: Final = 2_000_000
"""Some 30 per tensor are usual, and an SDXL LoRA has at most some 20,000 tensors in its optimizer's state."""
_NAME: Final = re.compile(r"[A-Za-z_][\w.]* [A-Za-z_][\w.]*", re.ASCII)


@dataclass(frozen=True, slots=True)
class Global:
    """Something the pickle names; it is not looked up."""

    name: str
    """``module name``."""


@dataclass(slots=True)
class Call:
    """A call the pickle asks for; it is not made."""

    name: str
    arguments: Any
    state: Any = None
    """What the result would be given afterwards."""


@dataclass(frozen=True, slots=True)
class Persistent:
    """A reference to data outside the pickle, such as a tensor's bytes."""

    id: Any


def read_pickle(data: bytes, *, result_of: Callable[[Call], Any] = lambda call: call) -> Any:
    """The structure in ``data``; a call is shown as what ``result_of`` makes of it.

    Raises ``HostilePickleError`` or, for what is no whole pickle, ``ForeignFileError``.
    """
    try:
        with _no_collections():
            return _Reader(data, result_of).run()
    except (IndexError, struct.error, ValueError, KeyError, TypeError, AttributeError, OverflowError) as error:
        raise ForeignFileError(f"the pickle is damaged ({type(error).__name__}: {error})") from error


@contextmanager
def _no_collections() -> Iterator[None]:
    """Thousands of small objects that all stay: looking for garbage among them would take longer than reading them."""
    was_on = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_on:
            gc.enable()


class _Reader:
    def __init__(self, data: bytes, result_of: Callable[[Call], Any]) -> None:
        self.data = data
        self.result_of = result_of
        self.stack: list[Any] = []
        self.marks: list[int] = []
        self.memo: dict[int, Any] = {}

    def run(self) -> Any:  # noqa: PLR0912, PLR0915 - one branch per opcode, the frequent ones first
        data, stack, memo = self.data, self.stack, self.memo
        push, pop, mark = stack.append, stack.pop, self.marks.append
        u2, u4 = struct.Struct("<H").unpack_from, struct.Struct("<I").unpack_from
        at, end = 0, len(data)
        for _ in range(OPERATIONS):
            if at >= end:
                raise ForeignFileError("the pickle is cut short")
            op = data[at]
            at += 1
            if op == 0x71:  # BINPUT
                memo[data[at]] = stack[-1]
                at += 1
            elif op == 0x72:  # LONG_BINPUT
                memo[u4(data, at)[0]] = stack[-1]
                at += 4
            elif op == 0x4B:  # BININT1
                push(data[at])
                at += 1
            elif op == 0x68:  # BINGET
                push(memo[data[at]])
                at += 1
            elif op == 0x6A:  # LONG_BINGET
                push(memo[u4(data, at)[0]])
                at += 4
            elif op == 0x28:  # MARK
                mark(len(stack))
            elif op == 0x74:  # TUPLE
                items = self._since_mark()
                push(tuple(items))
            elif op == 0x4D:  # BININT2
                push(u2(data, at)[0])
                at += 2
            elif op == 0x86:  # TUPLE2
                second = pop()
                stack[-1] = (stack[-1], second)
            elif op == 0x85:  # TUPLE1
                stack[-1] = (stack[-1],)
            elif op == 0x87:  # TUPLE3
                third, second = pop(), pop()
                stack[-1] = (stack[-1], second, third)
            elif op == 0x29:  # EMPTY_TUPLE
                push(())
            elif op == 0x51:  # BINPERSID
                stack[-1] = Persistent(stack[-1])
            elif op == 0x52:  # REDUCE
                arguments = pop()
                stack[-1] = self._called(stack[-1], arguments)
            elif op == 0x58:  # BINUNICODE
                at, text = _text(data, at + 4, u4(data, at)[0])
                push(text)
            elif op == 0x47:  # BINFLOAT
                push(struct.unpack_from(">d", data, at)[0])
                at += 8
            elif op == 0x89:  # NEWFALSE
                push(False)
            elif op == 0x88:  # NEWTRUE
                push(True)
            elif op == 0x4E:  # NONE
                push(None)
            elif op == 0x7D:  # EMPTY_DICT
                push({})
            elif op == 0x5D:  # EMPTY_LIST
                push([])
            elif op == 0x75:  # SETITEMS
                items = self._since_mark()
                _set_items(stack[-1], items)
            elif op == 0x73:  # SETITEM
                value, key = pop(), pop()
                _set_items(stack[-1], [key, value])
            elif op == 0x65:  # APPENDS
                items = self._since_mark()
                _extend(stack[-1], items)
            elif op == 0x61:  # APPEND
                item = pop()
                _extend(stack[-1], [item])
            elif op == 0x63:  # GLOBAL
                middle = data.index(b"\n", at)
                last = data.index(b"\n", middle + 1)
                push(_known(f"{_ascii(data[at:middle])} {_ascii(data[middle + 1 : last])}"))
                at = last + 1
            elif op == 0x93:  # STACK_GLOBAL
                name, module = pop(), pop()
                push(_known(f"{module} {name}"))
            elif op == 0x81:  # NEWOBJ
                arguments = pop()
                stack[-1] = self._called(stack[-1], arguments)
            elif op == 0x62:  # BUILD
                state = pop()
                _build(stack[-1], state)
            elif op == 0x4A:  # BININT
                push(struct.unpack_from("<i", data, at)[0])
                at += 4
            elif op == 0x8A:  # LONG1
                size = data[at]
                push(int.from_bytes(_bytes(data, at + 1, size), "little", signed=True))
                at += 1 + size
            elif op in _SIZED:
                layout, is_text = _SIZED[op]
                (size,) = layout.unpack_from(data, at)
                at += layout.size
                if is_text:
                    at, text = _text(data, at, size)
                    push(text)
                else:
                    push(_bytes(data, at, size))
                    at += size
            elif op == 0x94:  # MEMOIZE
                memo[len(memo)] = stack[-1]
            elif op == 0x80:  # PROTO
                at += 1
            elif op == 0x95:  # FRAME
                at += 8
            elif op == 0x8F:  # EMPTY_SET
                push([])
            elif op == 0x90:  # ADDITEMS
                items = self._since_mark()
                _extend(stack[-1], items)
            elif op == 0x30:  # POP
                pop()
            elif op == 0x31:  # POP_MARK
                self._since_mark()
            elif op == 0x2E:  # STOP
                return pop()
            else:
                _refuse(op)
        raise ForeignFileError(f"its structure has more than {OPERATIONS:,} operations, which no training state has")

    def _called(self, what: Any, arguments: Any) -> Any:
        if not isinstance(what, Global):
            raise ForeignFileError("the pickle is damaged (it calls something that has no name)")
        if what.name in {"collections OrderedDict", "collections Counter", "builtins dict"}:
            return dict(arguments[0]) if arguments and isinstance(arguments[0], (list, dict)) else {}
        if what.name == "collections defaultdict":
            return {}
        return self.result_of(Call(what.name, arguments))

    def _since_mark(self) -> list[Any]:
        """What lies above the last mark, taken off the stack with it."""
        if not self.marks:
            raise ForeignFileError("the pickle is damaged (a mark is missing)")
        start = self.marks.pop()
        items = self.stack[start:]
        del self.stack[start:]
        return items


_SIZED: Final = {
    0x8C: (struct.Struct("<B"), True),  # SHORT_BINUNICODE
    0x8D: (struct.Struct("<Q"), True),  # BINUNICODE8
    0x43: (struct.Struct("<B"), False),  # SHORT_BINBYTES
    0x42: (struct.Struct("<I"), False),  # BINBYTES
    0x8E: (struct.Struct("<Q"), False),  # BINBYTES8
    0x55: (struct.Struct("<B"), False),  # SHORT_BINSTRING
    0x54: (struct.Struct("<I"), False),  # BINSTRING
}
_NAMES: Final = {
    0x69: "INST",
    0x6F: "OBJ",
    0x92: "NEWOBJ_EX",
    0x82: "EXT1",
    0x83: "EXT2",
    0x84: "EXT4",
    0x97: "NEXT_BUFFER",
    0x50: "PERSID",
}


def _refuse(op: int) -> NoReturn:
    name = _NAMES.get(op)
    if name is None:
        raise ForeignFileError(f"the pickle is damaged or of an unknown kind (opcode 0x{op:02x})")
    raise HostilePickleError(f"the pickle uses {name}, which no training state needs")


def _known(name: str) -> Global:
    if name not in KNOWN:
        if len(name) > 200 or not _NAME.fullmatch(name):
            raise ForeignFileError("the pickle is damaged (it names something that cannot be a name)")
        shown = name.replace(" ", ".", 1)
        raise HostilePickleError(
            f"the pickle asks for {shown!r}, which no training state needs; nothing was run",
            hint="Do not open this file with a program that unpickles it, unless you trust where it comes from.",
        )
    return Global(name)


def _set_items(target: Any, items: list[Any]) -> None:
    if not isinstance(target, dict):
        raise ForeignFileError("the pickle is damaged (it fills something that is no dict)")
    for index in range(0, len(items), 2):
        key = items[index]
        if not isinstance(key, (str, int, float, bytes)):
            raise ForeignFileError(f"the pickle has a dict key of an odd kind ({type(key).__name__})")
        target[key] = items[index + 1]


def _extend(target: Any, items: list[Any]) -> None:
    if not isinstance(target, list):
        raise ForeignFileError("the pickle is damaged (it appends to something that is no list)")
    target.extend(items)


def _build(target: Any, state: Any) -> None:
    """Attributes of plain containers (torch gives an OrderedDict ``_metadata``) say nothing that is shown."""
    if isinstance(target, Call):
        target.state = state


def _text(data: bytes, at: int, size: int) -> tuple[int, str]:
    return at + size, _bytes(data, at, size).decode("utf-8", "surrogatepass")


def _bytes(data: bytes, at: int, size: int) -> bytes:
    if size > len(data) - at:
        raise ForeignFileError("the pickle is cut short")
    return data[at : at + size]


def _ascii(name: bytes) -> str:
    return name.decode("ascii", "replace")
