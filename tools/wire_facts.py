"""Take the facts of WhatsApp's wire format from a published copy of `baileys`, in our own format.

Two kinds of facts are needed that nobody can derive: which byte stands for which word (the token
dictionary), and which number stands for which field (the protobuf definitions). This script reads
both from the folder of the npm package, records package and version, and writes

- `src/perene/wire/tokens.py`: the tables of the binary node format, dictionary version 3;
- `src/perene/wire/proto/wa.proto`: the messages that are used, the transitive closure of ROOTS.

`make generate` then makes Python of the latter.

    python -m tools.wire_facts tests/node/node_modules/baileys
"""

import argparse
import json
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

WIRE = Path(__file__).parents[1] / "src" / "perene" / "wire"

ROOTS = (
    # connection
    "HandshakeMessage",
    "CertChain",
    "ClientPayload",
    # pairing
    "DeviceProps",
    "ADVDeviceIdentity",
    "ADVSignedDeviceIdentity",
    "ADVSignedDeviceIdentityHMAC",
    "ADVKeyIndexList",
    "ADVSignedKeyIndexList",
    "CompanionEphemeralIdentity",
    "PrimaryEphemeralIdentity",
    "ClientPairingProps",
    # messages
    "Message",
    "MessageKey",
    "WebMessageInfo",
    "MediaRetryNotification",
    "ServerErrorReceipt",
    "VerifiedNameCertificate",
    # history
    "HistorySync",
    "LIDMigrationMappingSyncPayload",
    # app state
    "CollectionName",
    "SyncActionData",
    "SyncdPatch",
    "SyncdSnapshot",
    "SyncdMutations",
)


@dataclass
class Block:
    """One `message`, `enum` or `oneof`, with its lines in order."""

    kind: str
    name: str
    body: list["Block | str"] = field(default_factory=list)


def parse_proto(text: str) -> Block:
    """Read the subset of proto3 that the package uses; raises ValueError on anything else."""
    root = Block("file", "")
    stack = [root]
    for number, raw in enumerate(text.splitlines(), 1):
        line = raw.split("//")[0].strip()
        if not line or line.startswith(("syntax ", "package ")):
            continue
        opening = re.fullmatch(r"(message|enum|oneof) (\w+) \{", line)
        if opening:
            block = Block(opening[1], opening[2])
            stack[-1].body.append(block)
            stack.append(block)
        elif line == "}":
            stack.pop()
        elif line.endswith(";") and len(stack) > 1:
            stack[-1].body.append(line)
        else:
            raise ValueError(f"line {number} is not understood: {line}")
    if len(stack) != 1:
        raise ValueError("the file ends inside a block")
    return root


_FIELD = re.compile(
    r"(?:(optional|repeated|required) )?(map<\w+, ?[\w.]+>|[\w.]+) (\w+) = (\d+)"
    r"(?: \[packed=true\])?;"
)


def references(block: Block) -> Iterator[str]:
    """Yield the type names in the fields of a block and of everything inside it."""
    for item in block.body:
        if isinstance(item, Block):
            yield from references(item)
        elif block.kind != "enum":
            match = _FIELD.fullmatch(item)
            if match is None:
                raise ValueError(f"{block.name}: not understood: {item}")
            yield match[2].removeprefix("map<").removesuffix(">").split(",")[-1].strip()


def closure(file: Block, roots: tuple[str, ...]) -> list[Block]:
    """Return the top-level blocks that `roots` need, themselves included, in the file's order."""
    tops = {block.name: block for block in file.body if isinstance(block, Block)}
    needed: set[str] = set()
    pending = list(roots)
    while pending:
        name = pending.pop()
        if name in needed:
            continue
        needed.add(name)
        # A reference that is not a top-level name is a scalar, or is nested in the block itself.
        pending += [
            top for top in (ref.split(".")[0] for ref in references(tops[name])) if top in tops
        ]
    return [block for block in tops.values() if block.name in needed]


def render(block: Block, depth: int = 0) -> Iterator[str]:
    """Yield the lines of a block in the 2023 edition, where presence is the default."""
    indent = "  " * depth
    yield f"{indent}{block.kind} {block.name} {{"
    if block.kind == "enum" and not any(str(item).endswith("= 0;") for item in block.body):
        # The edition wants a zero in an open enum; inventing one would change what unset means.
        yield f"{indent}  option features.enum_type = CLOSED;"
    for item in block.body:
        if isinstance(item, Block):
            yield from render(item, depth + 1)
        else:
            line = item.removeprefix("optional ").removeprefix("required ")
            packed = "[features.repeated_field_encoding = PACKED]"
            yield f"{indent}  {line.replace('[packed=true]', packed)}"
    yield f"{indent}}}"


PROTO_HEAD = """\
// Written by tools/wire_facts.py from the npm package {source}; do not edit.
//
// Presence is explicit, enums are open and strings are not validated: what a newer client sends
// survives a round trip, and a string that is not UTF-8 (other clients cut emoji in half) does not
// cost the message it is in. Such a string reads as bytes: see perene.wire.text.
edition = "2023";

package perene.wa;

option features.utf8_validation = NONE;
option features.repeated_field_encoding = EXPANDED;
"""


def proto_of(folder: Path, source: str) -> str:
    """Return wa.proto."""
    file = parse_proto((folder / "WAProto" / "WAProto.proto").read_text("utf-8"))
    lines = [PROTO_HEAD.format(source=source)]
    for block in closure(file, ROOTS):
        lines += [*render(block), ""]
    return "\n".join(lines)


def read_tokens(folder: Path) -> tuple[list[str], list[list[str]]]:
    """Return the single-byte table and the four double-byte tables."""
    source = (folder / "lib" / "WABinary" / "constants.js").read_text("utf-8")
    single, double = (
        # The tables are literals of strings in single quotes, some with a comma at the end.
        json.loads(re.sub(r",(\s*\])", r"\1", match[1].replace("'", '"')))
        for match in (
            re.search(rf"export const {name} = (\[.*?\n?\]);", source, re.DOTALL)
            for name in ("SINGLE_BYTE_TOKENS", "DOUBLE_BYTE_TOKENS")
        )
        if match
    )
    if len(single) != 236 or [len(table) for table in double] != [256] * 4:
        raise ValueError("the tables do not have the size of dictionary version 3")
    return single, double


TOKENS_HEAD = '''\
"""The words that the binary node format writes as one or two bytes, dictionary version 3.

Written by tools/wire_facts.py from the npm package {source}; do not edit.
"""

DICTIONARY_VERSION = 3


def _table(text: str) -> tuple[str, ...]:
    return tuple(text.split())

'''


def table(name: str, words: list[str]) -> Iterator[str]:
    """Yield a table of words, as many on a line as fit; no word holds a space."""
    if any(not word or " " in word for word in words):
        raise ValueError("a token is empty or holds a space")
    yield f"{name} = _table("
    row = ""
    for word in words:
        if len(row) + len(word) > 84:
            yield f"    {json.dumps(row)}"
            row = ""
        if word.startswith("AIza"):
            # A word of the dictionary has the shape of an API key; written in one piece it would
            # keep every scanner for leaked secrets busy.
            yield f"    {json.dumps(row + word[:20])}"
            row = word[20:] + " "
        else:
            row += f"{word} "
    yield f"    {json.dumps(row)}"
    yield ")"


def tokens_of(folder: Path, source: str) -> str:
    """Return tokens.py."""
    single, double = read_tokens(folder)
    lines = [TOKENS_HEAD.format(source=source)]
    lines += table("_SINGLE", single[1:])
    for index, words in enumerate(double):
        lines += ["", *table(f"_DOUBLE_{index}", words)]
    lines += [
        "",
        "# Byte 0 stands for the empty list, so the words begin at 1.",
        'SINGLE_BYTE: tuple[str, ...] = ("", *_SINGLE)',
        "DOUBLE_BYTE: tuple[tuple[str, ...], ...] = (_DOUBLE_0, _DOUBLE_1, _DOUBLE_2, _DOUBLE_3)",
        "",
    ]
    return "\n".join(lines)


def files_of(folder: Path) -> dict[Path, str]:
    """Return what the package in `folder` says, by the file that holds it."""
    package = json.loads((folder / "package.json").read_text("utf-8"))
    source = f"{package['name']} {package['version']}"
    return {
        WIRE / "tokens.py": tokens_of(folder, source),
        WIRE / "proto" / "wa.proto": proto_of(folder, source),
    }


def main() -> None:
    """Write everything from the folder named on the command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("folder", type=Path, help="unpacked npm package baileys")
    for path, content in files_of(parser.parse_args().folder).items():
        path.write_text(content, "utf-8")


if __name__ == "__main__":
    main()
