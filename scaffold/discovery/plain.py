"""One kind of text from all that people write: bytes to text, HTML and reStructuredText to plain Markdown.

What is hostile in it costs no more than what is not: every pass is linear, long lines are cut, and no expression
can backtrack over more than one tag or line.
"""

from __future__ import annotations

import html
import re

MAX_BYTES = 4_000_000
_MAX_LINE = 20_000
_INVISIBLE = re.compile("[\u200b-\u200f\u2028-\u202e\u2060-\u2069\ufeff\u00ad\x00-\x08\x0b-\x1f\x7f-\x9f]")
_SPACES = re.compile("[\u00a0\u2000-\u200a\u202f\u205f\u3000]")
_ESCAPES = re.compile("\x1b(?:\\][^\x07\x1b]{0,500}(?:\x07|\x1b\\\\)?|\\[[0-?]{0,30}[ -/]{0,10}[@-~]?)")
_FENCE = re.compile(r"[ \t>]*(?:(?:[-*+]|\d{1,9}[.)])[ \t]+)?(`{3,}|~{3,})")
_TAG = re.compile(r"<(/?)([A-Za-z][A-Za-z0-9]*)((?:\s[^<>]*)?)/?>")
_HREF = re.compile(r"""\bhref\s*=\s*(?:"([^"]*)"|'([^']*)'|([^\s"'>]+))""", re.IGNORECASE)
_ALT = re.compile(r"""\balt\s*=\s*(?:"([^"]*)"|'([^']*)')""", re.IGNORECASE)
_ALT_WORD = re.compile(r"\w+")
_ITEM = re.compile(r"(?:[-*+]|\d{1,9}[.)])[ \t]")
_FOOTNOTE = re.compile(r"\[\^[\w-]{1,20}\](?![:(\[])")
_INLINE = frozenset(
    ("b strong i em u sup sub span font small big kbd code samp var tt mark ins abbr cite q wbr").split()
)
_LISTS = frozenset("ul ol li table tbody thead tr td th".split())
_UNDERLINE = re.compile(r"([=\-~^\"'`#*+.:_])\1{2,}[ \t]*$")


def decoded(content: bytes | str) -> str:
    """Text from bytes: UTF-8, else Windows-1252 as a last resort; at most `MAX_BYTES`; lines ended by one newline.

    Control characters, terminal sequences and invisible ones are gone, odd spaces are spaces.
    """
    if isinstance(content, bytes):
        content = content[:MAX_BYTES]
        if content[:2] in (b"\xff\xfe", b"\xfe\xff"):
            text = content.decode("utf-16", "replace")
        else:
            try:
                text = content.decode("utf-8")
            except UnicodeDecodeError as error:
                # A cut or one bad letter is no other encoding.
                lost = content.decode("utf-8", "replace")
                few = lost.count("\ufffd") * 200 < len(lost) or error.start > len(content) - 4
                text = lost if few else content.decode("cp1252", "replace")
    else:
        text = content[:MAX_BYTES]
    text = text.replace("\r\n", "\n").replace("\r", "\n")
    if not text.isascii() or not text.isprintable():
        text = _SPACES.sub(" ", _INVISIBLE.sub("", _ESCAPES.sub("", text)))
    if len(text) > _MAX_LINE:
        text = "\n".join(line[:_MAX_LINE] for line in text.split("\n"))
    return text


def to_markdown(text: str) -> str:
    """Markdown without comments, fenced code and HTML: tags become the Markdown that means the same."""
    return _Html().convert(_FOOTNOTE.sub("", _without_fences(_without_comments(text))))


def _without_comments(text: str) -> str:
    kept, position = [], 0
    while (start := text.find("<!--", position)) >= 0:
        end = text.find("-->", start + 4)
        if end < 0:
            break  # a comment that nobody closed hides nothing
        kept.append(text[position:start])
        position = end + 3
    kept.append(text[position:])
    return "".join(kept)


def _without_fences(text: str) -> str:
    lines = text.split("\n")
    kept: list[str] = []
    number = 0
    closing: dict[str, int] = {}  # the last line that can close a fence of this sign
    for at, line in enumerate(lines):
        found = _FENCE.match(line)
        if found:
            closing[found[1][0]] = at
    while number < len(lines):
        found = _FENCE.match(lines[number])
        if found and closing[found[1][0]] > number and "`" not in lines[number][found.end() :]:
            sign = found[1]
            end = number + 1
            while end < len(lines) and not lines[end].lstrip(" \t>").startswith(sign):
                end += 1
            if end < len(lines):
                kept.append("")
                number = end + 1
                continue
        kept.append(lines[number])
        number += 1
    return "\n".join(kept)


class _Html:
    """Tags in order, with the links and lists that are open."""

    def __init__(self) -> None:
        self._links: list[str] = []
        self._lists = 0
        self._line_end = -1
        self._in_item = self._in_row = False

    def convert(self, text: str) -> str:
        """The text with every tag replaced."""
        return html.unescape(_TAG.sub(self._tag, text)) if "<" in text else html.unescape(text)

    def _tag(self, found: re.Match[str]) -> str:
        closing, name, attributes = bool(found[1]), found[2].lower(), found[3]
        if name == "a":
            return self._link(closing, attributes)
        if name == "img":
            alt = _ALT.search(attributes[:5000])
            words = " ".join(_ALT_WORD.findall(alt[1] or alt[2] or "")) if alt else ""
            return f" ![{words[:40] or 'image'}](image) "
        if name in _INLINE:
            return ""
        if name in ("del", "s", "strike"):
            return "~~"
        self._look_at_line(found)
        if name == "br":
            return " " if self._links or self._in_row else "\\\n"
        if self._links or ((self._in_item or self._in_row) and name not in _LISTS):
            return " "  # a block must not tear the link, the item or the row that it stands in
        return self._block(closing, name)

    def _look_at_line(self, found: re.Match[str]) -> None:
        """Notes whether the line of a tag is an item's first, or a table's row."""
        if found.start() < self._line_end:
            return
        text = found.string
        start = text.rfind("\n", 0, found.start()) + 1
        end = text.find("\n", start)
        self._line_end = len(text) if end < 0 else end
        line = text[start : self._line_end].lstrip(" \t>")
        self._in_item = bool(_ITEM.match(line))
        self._in_row = not self._in_item and ("|" in line)

    def _link(self, closing: bool, attributes: str) -> str:
        if not closing:
            href = _HREF.search(attributes[:5000])
            url = html.unescape(next((part for part in href.groups() if part), "")) if href else ""
            self._links = [url.strip().replace(" ", "%20").replace(")", "%29").replace("(", "%28")]
            return "[" if url else ""
        url = self._links.pop() if self._links else ""
        return f"](<{url}>)" if url else ""

    def _block(self, closing: bool, name: str) -> str:
        if re.fullmatch("h[1-6]", name):
            return "\n\n" if closing else f"\n\n{'#' * int(name[1])} "
        if name in ("ul", "ol"):
            self._lists = max(0, self._lists - 1) if closing else min(self._lists + 1, 8)
            return "\n"
        if name == "li":
            return "\n" if closing else f"\n{'  ' * max(0, self._lists - 1)}- "
        if name == "tr":
            return "\n" if closing else "\n\n- "
        if name in ("td", "th"):
            return " ¦ " if closing else " "
        return "\n\n"


def rst_to_markdown(text: str) -> str:
    """The parts of reStructuredText that lists use, as Markdown: headings, links, named links, bullets."""
    targets = {
        name.strip("` ").casefold(): url
        for name, url in re.findall(r"^\.\. _(`[^`\n]+`|[^:\n]+): (\S+)[ \t]*$", text, re.MULTILINE)
    }
    lines = text.split("\n")
    levels: list[str] = []
    out: list[str] = []
    number = 0
    while number < len(lines):
        line = lines[number]
        below = lines[number + 1] if number + 1 < len(lines) else ""
        underline = _UNDERLINE.match(below)
        if _UNDERLINE.match(line) and not line.startswith(" "):
            number += 1  # an overline, or a rule
            continue
        if underline and line.strip() and not line.startswith(" "):
            sign = underline[1]
            if sign not in levels:
                levels.append(sign)
            out += ["", "#" * min(6, levels.index(sign) + 1) + " " + line.strip(), ""]
            number += 2
            continue
        if line.startswith(".. "):
            number += 1
            while number < len(lines) and lines[number].startswith((" ", "\t")):
                number += 1  # what belongs to a directive
            continue
        out.append(line)
        number += 1
    return _rst_links("\n".join(out), targets)


def _rst_link(found: re.Match[str]) -> str:
    return f"[{found[1].strip()}](<{found[2].strip().replace(' ', '%20')}>)"


def _rst_links(text: str, targets: dict[str, str]) -> str:
    text = re.sub(r"`([^`<>\n]*(?:\n[^`<>\n]+)?)<([^`<>\n]+)>`__?", _rst_link, text)

    def named(found: re.Match[str]) -> str:
        words = found[1] or found[2]
        url = targets.get(words.casefold())
        return f"[{words}](<{url}>)" if url else words

    text = re.sub(r"`([^`<>\n]+)`__?|\b([A-Za-z][\w.-]*)_(?=[\s,.;:)]|$)", named, text)
    return re.sub(r"\|[^|\n]+\|_?|:\w+:`([^`]*)`", r"\1", text)


SHORTCODE = re.compile(r":[a-z0-9_+-]{2,40}:")
_EMPHASIS = re.compile(r"(?<!\w)(\*{1,3}|_{1,3})(?=\S)|(?<=\S)(\*{1,3}|_{1,3})(?!\w)")
_BACK = re.compile(r"\W{0,4}\b(?:back|return) to (?:the )?(?:top|(?:table of )?contents|toc)\W{0,4}$", re.IGNORECASE)
_EMOJI = re.compile(
    "[\U0001f000-\U0001faff\u2190-\u21ff\u2300-\u23ff\u2460-\u24ff\u25a0-\u27bf\u2900-\u297f\u2b00-\u2bff\ufe0e\ufe0f\u20e3]"
)


def tidy(text: str) -> str:
    """Words without emphasis marks and emoji shortcodes, with single spaces."""
    if "*" in text or "_" in text:
        text = _EMPHASIS.sub("", text)
    if ":" in text:
        text = SHORTCODE.sub("", text)
    return " ".join(text.split())


def heading_words(text: str) -> str:
    """The words of a heading: no emoji, no numbering, no way back to the top."""
    words = tidy(_EMOJI.sub("", text))
    words = re.sub(r"^(?:\d{1,2}(?:\.\d{1,2}){0,3}[.)]?|[IVX]{1,4}\.|[A-Za-z][.)])\s+", "", words)
    words = _BACK.sub("", words)
    return words.strip(" -–—:|•·#*[]").strip()[:120]
