"""HTML as a tree, read strictly: what is opened must be closed."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from html.parser import HTMLParser

VOID = {"meta", "link", "br"}


@dataclass
class Node:
    """An element."""

    name: str
    attributes: dict[str, str | None]
    children: list["Node"] = field(default_factory=list)
    texts: list[str] = field(default_factory=list)

    def all(self, name: str | None = None) -> Iterator["Node"]:
        """Elements within, of a name if one is given, in order."""
        for child in self.children:
            if name in (None, child.name):
                yield child
            yield from child.all(name)

    def first(self, name: str) -> "Node":
        """The first of a name within."""
        return next(self.all(name))

    @property
    def text(self) -> str:
        """All text within; apart where elements are."""
        return " ".join([*self.texts, *(child.text for child in self.children)])


class _Reader(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.root = Node("", {})
        self._open = [self.root]

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        assert len(dict(attrs)) == len(attrs), f"{tag}: an attribute comes twice"
        node = Node(tag, dict(attrs))
        self._open[-1].children.append(node)
        if tag not in VOID:
            self._open.append(node)

    def handle_endtag(self, tag: str) -> None:
        assert self._open.pop().name == tag

    def handle_data(self, data: str) -> None:
        self._open[-1].texts.append(data)

    def finished(self) -> Node:
        self.close()
        assert self._open == [self.root]
        return self.root


def parsed(page: str) -> Node:
    """The root, which holds the document."""
    reader = _Reader()
    reader.feed(page)
    return reader.finished()
