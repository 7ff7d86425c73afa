"""Arrays whose slices cost nothing: in short loops, counting references is what costs."""

from typing import Any

from numba.extending import intrinsic


@intrinsic
def borrowed(typing: Any, x: Any) -> Any:
    """The same array, owned by whoever called the kernel: nothing counts references to it."""

    def build(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        array = context.make_array(signature.args[0])(context, builder, arguments[0])
        array.meminfo = array.meminfo.type(None)
        array.parent = array.parent.type(None)
        return array._getvalue()

    return x(x), build
