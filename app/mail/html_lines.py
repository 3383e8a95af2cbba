"""Turn the HTML of a mail into the lines that a person sees. Pure, never raises."""

import re

from selectolax.lexbor import LexborHTMLParser, LexborNode

# The parser takes quadratic time over some nestings; Tickets.description has 8,000 characters.
MAX_HTML = 32_000

_TAG = re.compile(
    r"<(?:!doctype|!--|\?xml|/?(?:html|head|meta|title|style|body|div|section|article|p|br|hr|pre"
    r"|span|font|b|strong|i|em|u|a|center|blockquote|table|tbody|tr|td|th|ul|ol|li|h[1-6]|o:p)"
    r"(?=[\s/>]))",
    re.I,
)
_SPACES = re.compile(r"[ \t\r\n\f]+")
_BLOCKS = frozenset(
    {"address", "article", "blockquote", "body", "center", "dd", "div", "dl", "dt", "fieldset"}
    | {"footer", "form", "h1", "h2", "h3", "h4", "h5", "h6", "header", "hr", "li", "main", "ol"}
    | {"p", "pre", "section", "table", "tbody", "thead", "tr", "ul"}
)
_UNSEEN = frozenset(
    {"head", "noscript", "object", "script", "select", "style", "svg", "template", "textarea"}
    | {"title"}
)
_UNSEEN_STYLE = re.compile(
    r"(?:\A|;)(?:display:none|visibility:hidden|mso-hide:all|font-size:0(?:[a-z%]*)(?:;|!|\Z))"
)


def is_html(text: str) -> bool:
    """Return True if the first line has an HTML tag: below it, plain text may quote tags."""
    return _TAG.search(text.lstrip().partition("\n")[0]) is not None


def html_lines(html: str) -> list[str]:
    """Return the visible lines of HTML; an empty paragraph or a second <br> is a blank line.

    Comments, <style>, <script> and elements hidden by their own style attribute are left out.
    Style sheets are not applied. Only the first MAX_HTML characters are read.
    """
    root = LexborHTMLParser(html[:MAX_HTML]).root
    page = _Page()
    depth, node, is_leaving = 0, root, False
    while node is not None:  # no recursion: the sender chooses how deep it nests
        child = None if is_leaving or not page.enter(node) else node.first_child
        if child is not None:
            depth, node = depth + 1, child
            continue
        page.leave(node)
        if depth == 0:
            break
        is_leaving = node.next is None
        depth, node = (depth - 1, node.parent) if is_leaving else (depth, node.next)
    page.break_line()
    return page.lines


class _Page:
    def __init__(self) -> None:
        self.lines: list[str] = []
        self.line: list[str] = []
        self.pre = 0  # how many <pre> are open

    def enter(self, node: LexborNode) -> bool:
        """Add a node's own text or line break; return False to skip its children."""
        tag = node.tag or ""
        if tag == "-text":
            self._add(node.text_content or "")
        elif tag == "br":
            self.break_line(even_empty=True)
        elif tag in _UNSEEN or (not tag.startswith("-") and _is_hidden(node)):
            return False
        elif tag in _BLOCKS:
            self.break_line()
            self.pre += tag == "pre"
        elif "@" in tag and not node.attributes:
            # `Bob <bob@x.com>` that a template did not escape: no element has such a name.
            self.line.append(f"<{tag}>")
        return True

    def leave(self, node: LexborNode) -> None:
        """Add the space or line break at a node's end."""
        tag = node.tag or ""
        if tag in ("td", "th"):
            self.line.append(" ")
        elif tag in _BLOCKS:
            self.break_line()
            self.pre = max(0, self.pre - (tag == "pre"))

    def break_line(self, *, even_empty: bool = False) -> None:
        """End a line."""
        line = "".join(self.line)
        line = line if self.pre else _SPACES.sub(" ", line).strip(" ")
        if line or even_empty:
            self.lines.append(line)
        self.line = []

    def _add(self, text: str) -> None:
        if not self.pre:
            self.line.append(_SPACES.sub(" ", text))
            return
        first, *rest = text.replace("\r\n", "\n").split("\n")
        self.line.append(first)
        for line in rest:
            self.break_line(even_empty=True)
            self.line.append(line)


def _is_hidden(node: LexborNode) -> bool:
    attributes = node.attributes
    style = "".join((attributes.get("style") or "").split()).lower()
    return "hidden" in attributes or _UNSEEN_STYLE.search(style) is not None
