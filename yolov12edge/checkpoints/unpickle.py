"""A pickle interpreter that can only build plain data.

It knows the opcodes that `torch.save` emits (protocols 2 to 5) and no others; every loop is bounded
by the number of operations.

By hand, since Python's own unpickler calls what the file names, and its C memo grows to any index
the file picks; torch's `weights_only` refuses the trainers' classes, or calls them once allowed.
"""

from __future__ import annotations

import pickletools
import struct
from collections.abc import Callable
from typing import Any

from yolov12edge.checkpoints.allowlist import (
    Global,
    InertClass,
    NumpyType,
    StorageClass,
    Stub,
    check_key,
    refusal,
    resolve,
)
from yolov12edge.checkpoints.tensors import Storage
from yolov12edge.checkpoints.text import printable
from yolov12edge.errors import CheckpointError

# The largest scale with its optimizer needs 250 000 operations and 1 MB.
MAX_OPERATIONS = 600_000
MAX_PICKLE_BYTES = 16 << 20
MAX_INTEGER_BYTES = 9

OpenStorage = Callable[[StorageClass, str, int], Storage]


def unpickle(content: bytes | bytearray, open_storage: OpenStorage) -> Any:
    """The object that `content` describes, made of plain data, stubs and lazy tensors.

    Args:
        content: the pickle.
        open_storage: gives the storage of an element type, a key and a number of elements.

    Raises:
        CheckpointError: the pickle is damaged, too large, or asks for anything off the list.
    """
    if len(content) > MAX_PICKLE_BYTES:
        raise CheckpointError(
            f"the pickle has {len(content)} bytes; no YOLOv12 checkpoint needs more than "
            f"{MAX_PICKLE_BYTES}",
            "save only the weights: torch.save(model.state_dict(), 'weights.pt')",
        )
    try:
        return _Machine(bytes(content), open_storage).run()
    except (IndexError, KeyError, TypeError, ValueError, struct.error) as error:
        raise CheckpointError("the pickle is damaged", "download or copy the file again") from error


class _Machine:
    """State of one run: the position, the stack above the last mark, the marks, the memo."""

    def __init__(self, content: bytes, open_storage: OpenStorage) -> None:
        self.content = content
        self.open_storage = open_storage
        self.position = 0
        self.stack: list[Any] = []
        self.marks: list[list[Any]] = []
        self.memo: dict[int, Any] = {}

    def run(self) -> Any:
        handlers, content = _HANDLERS, self.content
        for _ in range(MAX_OPERATIONS):
            opcode = content[self.position]
            self.position += 1
            if opcode == _STOP:
                return self.stack.pop()
            handler = handlers[opcode]
            if handler is None:
                raise refusal(f"uses the operation {_opcode_name(opcode)}")
            handler(self)
        raise refusal(f"has more than {MAX_OPERATIONS} operations")

    def take(self, count: int) -> bytes:
        """The next `count` bytes."""
        end = self.position + count
        if end > len(self.content):
            raise ValueError("past the end")
        taken = self.content[self.position : end]
        self.position = end
        return taken

    def line(self) -> str:
        """The bytes up to the next line feed, as text."""
        end = self.content.index(b"\n", self.position)
        taken = self.content[self.position : end].decode()
        self.position = end + 1
        return taken

    def unmark(self) -> list[Any]:
        """Everything above the last mark, which goes away."""
        items = self.stack
        self.stack = self.marks.pop()
        return items


def _reduce(machine: _Machine) -> None:
    arguments = machine.stack.pop()
    function = machine.stack[-1]
    if not isinstance(function, Global) or function.call is None:
        raise refusal(f"calls {_describe(function)}")
    if not isinstance(arguments, tuple) or len(arguments) > 16:
        raise refusal(f"calls {_describe(function)} in an unknown way")
    machine.stack[-1] = function.call(*arguments)


def _new_object(machine: _Machine) -> None:
    machine.stack.pop()
    kind = machine.stack[-1]
    if not isinstance(kind, InertClass):
        raise refusal(f"makes an object of {_describe(kind)}")
    machine.stack[-1] = Stub(kind.name)


def _new_object_with_keywords(machine: _Machine) -> None:
    machine.stack.pop()
    _new_object(machine)


def _build(machine: _Machine) -> None:
    state = machine.stack.pop()
    target = machine.stack[-1]
    if isinstance(target, Stub):
        if isinstance(state, dict):
            target.state.update(state)
    elif isinstance(target, NumpyType):
        if isinstance(state, tuple) and len(state) > 1 and isinstance(state[1], str):
            target.order = state[1]
    elif not isinstance(target, dict):
        # A state dict carries its `_metadata` as state; it is of no use here.
        raise refusal(f"sets the state of {_describe(target)}")


def _persistent_id(machine: _Machine) -> None:
    match machine.stack.pop():
        case ("storage", StorageClass() as kind, str(key), _, int(numel), *_):
            machine.stack.append(machine.open_storage(kind, key, numel))
        case _:
            raise refusal("refers to an unknown kind of storage")


def _global(machine: _Machine) -> None:
    module = machine.line()
    machine.stack.append(resolve(module, machine.line()))


def _stack_global(machine: _Machine) -> None:
    name, module = machine.stack.pop(), machine.stack.pop()
    if not isinstance(name, str) or not isinstance(module, str):
        raise ValueError("a name that is no text")
    machine.stack.append(resolve(module, name))


def _set_items(machine: _Machine) -> None:
    items = machine.unmark()
    _extend_dict(machine.stack[-1], items)


def _set_item(machine: _Machine) -> None:
    value, key = machine.stack.pop(), machine.stack.pop()
    _extend_dict(machine.stack[-1], [key, value])


def _extend_dict(target: object, items: list[Any]) -> None:
    if not isinstance(target, dict) or len(items) % 2:
        raise refusal(f"sets items of {_describe(target)}")
    target.update(zip(map(check_key, items[::2]), items[1::2], strict=True))


def _append(machine: _Machine) -> None:
    _extend_list(machine, [machine.stack.pop()])


def _appends(machine: _Machine) -> None:
    _extend_list(machine, machine.unmark())


def _extend_list(machine: _Machine, items: list[Any]) -> None:
    target = machine.stack[-1]
    if not isinstance(target, list):
        raise refusal(f"appends to {_describe(target)}")
    target.extend(items)


def _add_items(machine: _Machine) -> None:
    items = machine.unmark()
    target = machine.stack[-1]
    if not isinstance(target, set):
        raise refusal(f"adds to {_describe(target)}")
    target.update(map(check_key, items))


def _tuple(machine: _Machine) -> None:
    items = machine.unmark()
    machine.stack.append(tuple(items))


def _list(machine: _Machine) -> None:
    items = machine.unmark()
    machine.stack.append(items)


def _dict(machine: _Machine) -> None:
    items = machine.unmark()
    machine.stack.append({})
    _extend_dict(machine.stack[-1], items)


def _frozen_set(machine: _Machine) -> None:
    items = machine.unmark()
    machine.stack.append(frozenset(map(check_key, items)))


def _last(count: int) -> Callable[[_Machine], None]:
    def handler(machine: _Machine) -> None:
        items = machine.stack[-count:]
        if len(items) < count:
            raise IndexError("too few items")
        machine.stack[-count:] = [tuple(items)]

    return handler


def _mark(machine: _Machine) -> None:
    machine.marks.append(machine.stack)
    machine.stack = []


def _pop(machine: _Machine) -> None:
    if machine.stack:
        machine.stack.pop()
    else:
        machine.unmark()


def _pop_mark(machine: _Machine) -> None:
    machine.unmark()


def _duplicate(machine: _Machine) -> None:
    machine.stack.append(machine.stack[-1])


def _get(machine: _Machine) -> None:
    machine.stack.append(machine.memo[machine.content[machine.position]])
    machine.position += 1


def _long_get(machine: _Machine) -> None:
    machine.stack.append(machine.memo[int.from_bytes(machine.take(4), "little")])


def _put(machine: _Machine) -> None:
    machine.memo[machine.content[machine.position]] = machine.stack[-1]
    machine.position += 1


def _long_put(machine: _Machine) -> None:
    machine.memo[int.from_bytes(machine.take(4), "little")] = machine.stack[-1]


def _memoize(machine: _Machine) -> None:
    machine.memo[len(machine.memo)] = machine.stack[-1]


def _constant(value: Any) -> Callable[[_Machine], None]:
    def handler(machine: _Machine) -> None:
        machine.stack.append(value)

    return handler


def _fresh(kind: type) -> Callable[[_Machine], None]:
    def handler(machine: _Machine) -> None:
        machine.stack.append(kind())

    return handler


def _number(layout: str) -> Callable[[_Machine], None]:
    packed = struct.Struct(layout)

    def handler(machine: _Machine) -> None:
        machine.stack.append(packed.unpack(machine.take(packed.size))[0])

    return handler


def _long(machine: _Machine) -> None:
    size = machine.take(1)[0]
    if size > MAX_INTEGER_BYTES:
        raise refusal(f"holds an integer of {size} bytes")
    machine.stack.append(int.from_bytes(machine.take(size), "little", signed=True))


def _counted(width: int, convert: Callable[[bytes], Any]) -> Callable[[_Machine], None]:
    def handler(machine: _Machine) -> None:
        size = int.from_bytes(machine.take(width), "little")
        machine.stack.append(convert(machine.take(size)))

    return handler


def _text(content: bytes) -> str:
    return content.decode("utf-8", "surrogatepass")


def _ascii(content: bytes) -> str:
    return content.decode("ascii")


def _skip(width: int) -> Callable[[_Machine], None]:
    def handler(machine: _Machine) -> None:
        machine.take(width)

    return handler


def _describe(value: object) -> str:
    return printable(value.name) if isinstance(value, Global) else f"a {type(value).__name__}"


def _opcode_name(opcode: int) -> str:
    return next((name for name, code in _CODES.items() if code == opcode), f"0x{opcode:02x}")


_OPERATIONS: dict[str, Callable[[_Machine], None]] = {
    "PROTO": _skip(1),
    "FRAME": _skip(8),
    "GLOBAL": _global,
    "STACK_GLOBAL": _stack_global,
    "REDUCE": _reduce,
    "NEWOBJ": _new_object,
    "NEWOBJ_EX": _new_object_with_keywords,
    "BUILD": _build,
    "BINPERSID": _persistent_id,
    "MARK": _mark,
    "POP": _pop,
    "POP_MARK": _pop_mark,
    "DUP": _duplicate,
    "BINGET": _get,
    "LONG_BINGET": _long_get,
    "BINPUT": _put,
    "LONG_BINPUT": _long_put,
    "MEMOIZE": _memoize,
    "NONE": _constant(None),
    "NEWTRUE": _constant(True),
    "NEWFALSE": _constant(False),
    "BININT": _number("<i"),
    "BININT1": _number("<B"),
    "BININT2": _number("<H"),
    "BINFLOAT": _number(">d"),
    "LONG1": _long,
    "BINUNICODE": _counted(4, _text),
    "SHORT_BINUNICODE": _counted(1, _text),
    "BINUNICODE8": _counted(8, _text),
    "BINSTRING": _counted(4, _ascii),
    "SHORT_BINSTRING": _counted(1, _ascii),
    "BINBYTES": _counted(4, bytes),
    "SHORT_BINBYTES": _counted(1, bytes),
    "BINBYTES8": _counted(8, bytes),
    "EMPTY_TUPLE": _constant(()),
    "TUPLE": _tuple,
    "TUPLE1": _last(1),
    "TUPLE2": _last(2),
    "TUPLE3": _last(3),
    "EMPTY_LIST": _fresh(list),
    "LIST": _list,
    "APPEND": _append,
    "APPENDS": _appends,
    "EMPTY_DICT": _fresh(dict),
    "DICT": _dict,
    "SETITEM": _set_item,
    "SETITEMS": _set_items,
    "EMPTY_SET": _fresh(set),
    "ADDITEMS": _add_items,
    "FROZENSET": _frozen_set,
}

_CODES = {operation.name: ord(operation.code) for operation in pickletools.opcodes}
_STOP = _CODES["STOP"]
_HANDLERS: list[Callable[[_Machine], None] | None] = [None] * 256
for _name, _handler in _OPERATIONS.items():
    _HANDLERS[_CODES[_name]] = _handler
