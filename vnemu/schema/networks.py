"""One virtual network out of a file, or as plain data, for a lab that runs."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any

from pydantic import Field

from vnemu.errors import InputError
from vnemu.schema.document import Document, examine
from vnemu.schema.fields import Name, Strict
from vnemu.schema.nodes import Child, mapping_node
from vnemu.schema.texts import NO_TEXTS, TextFile, Texts, read_texts
from vnemu.schema.topology import NetworkDoc
from vnemu.schema.violations import plain_tree, validate
from vnemu.schema.wording import Finding, KeyPath, Mark, in_file_order, instead_of


class NetworksDoc(Strict):
    """Networks without an underlay."""

    networks: Annotated[dict[Name, NetworkDoc], Field(min_length=1)]


@dataclass(frozen=True)
class WrittenNetwork:
    """A network as somebody wrote it.

    Parameters:
        name: that it shall have.
        document: what was written, as a file of this network alone.
        texts: the files that it names for its VRs, by the place of the name in `document`.
    """

    name: str
    doc: NetworkDoc
    document: Document
    texts: Mapping[KeyPath, TextFile] = field(default_factory=dict)


def read_network(
    path: Path, name: str, of: str | None = None, said_at: Mark | None = None
) -> tuple[WrittenNetwork | None, list[Finding]]:
    """Read a network from a topology file, or from a file that says one network and no more.

    The underlay of a topology file is not looked at.

    Parameters:
        name: that the network shall have.
        of: which of the file's networks it is; None: that of the same name, or the only one.
        said_at: where the user named the file, when not on the command line.

    Returns:
        The network, or None, and all that is wrong with it.
    """
    document, findings = examine(path, said_at)
    alone = _alone(document, name, of, findings) if document else None
    if alone is None:
        return None, findings
    return _checked(alone, name, path.parent, findings)


def load_network(path: Path, name: str, of: str | None = None) -> WrittenNetwork:
    """As `read_network`.

    Raises:
        InputError: with all that is wrong with the file.
    """
    return _sound(*read_network(path, name, of))


def network_from(
    data: Mapping[str, Any] | NetworkDoc, name: str, known: Texts = NO_TEXTS
) -> WrittenNetwork:
    """A network from the keys that a file would have; files it names are seen from here.

    Parameters:
        known: those of these files that have been read.

    Raises:
        InputError: with all that is wrong with it.
    """
    if isinstance(data, NetworkDoc):
        data = data.model_dump(mode="json", by_alias=True, exclude_unset=True)
    tree = plain_tree(dict(data))
    document = _document(Child(tree.mark, tree), name, "")
    return _sound(*_checked(document, name, Path(), [], known))


def _sound(network: WrittenNetwork | None, findings: list[Finding]) -> WrittenNetwork:
    if network is None or findings:
        raise InputError(in_file_order(findings))
    return network


def _alone(
    document: Document, name: str, of: str | None, findings: list[Finding]
) -> Document | None:
    """The document with one network alone, under the name that it shall have."""
    networks = document.root.children.get("networks")
    if networks is None:
        return _document(Child(document.root.mark, document.root), name, document.name)
    there = networks.node.children
    found = there.get(of or name)
    if found is None and of is None and len(there) == 1:
        found = next(iter(there.values()))
    if found is None:
        names = [str(key) for key in there]
        findings.append(_missing(networks, of or name, names))
        return None
    return _document(found, name, document.name)


def _missing(networks: Child, name: str, names: list[str]) -> Finding:
    message = f"there is no network '{name}' in this file"
    return Finding(networks.key_mark, message, instead_of(name, names) if names else "")


def _document(network: Child, name: str, file: str) -> Document:
    mark = network.node.mark
    inner = mapping_node(mark, {name: network})
    return Document(mapping_node(mark, {"networks": Child(mark, inner)}), file)


def _checked(
    document: Document,
    name: str,
    folder: Path,
    findings: list[Finding],
    known: Texts = NO_TEXTS,
) -> tuple[WrittenNetwork | None, list[Finding]]:
    doc, violations = validate(NetworksDoc, document)
    marks = {finding.mark for finding in findings if finding.mark.line}
    findings = findings + [v for v in violations if v.mark not in marks]
    if doc is None:
        return None, findings
    texts, more = read_texts(folder, doc.networks, document, known)
    return WrittenNetwork(name, doc.networks[name], document, texts), findings + more
