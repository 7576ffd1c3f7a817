"""What a file says of the ends of links: NICs by name, and addresses of their own."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from itertools import count

from vnemu.model.addressing import Pools
from vnemu.model.overlay import Interface, Nic
from vnemu.schema.ends import EndDoc
from vnemu.schema.topology import NetworkDoc, RouterDoc
from vnemu.schema.wording import instead_of

Path = tuple[str | int, ...]
Report = Callable[[Path, str, str], None]
Ends = Mapping[str, EndDoc]


def nic_name(number: int, end: EndDoc | None = None) -> str:
    """The name of a node's NIC `number` (from 0): the one given to it, else like eth0."""
    return (end and end.nic) or f"eth{number}"


def later_nics(taken: Collection[Nic]) -> Iterator[tuple[int, str]]:
    """Numbers and names of the NICs that a node with those NICs gets later."""
    names = {nic.name for nic in taken}
    for number in count(1 + max((nic.number for nic in taken), default=-1)):
        if nic_name(number) not in names:
            yield number, nic_name(number)


def own_addresses(
    ends: Ends, nodes: Sequence[str]
) -> tuple[tuple[Interface, ...], tuple[Interface, ...]] | None:
    """The addresses given to the two ends of a link; None: they are numbered from the pools."""
    given = [ends[node].addresses if node in ends else None for node in nodes]
    if given[0] is None or given[1] is None:
        return None
    return in_order(given[0]), in_order(given[1])


def in_order(addresses: Sequence[Interface]) -> tuple[Interface, ...]:
    """Addresses, IPv4 first."""
    return tuple(sorted(addresses, key=lambda address: address.version))


def loopbacks_of(router: RouterDoc, number: int, pools: Pools) -> tuple[Interface, ...]:
    """The loopback addresses of the router `number` (from 1): its own, or from the pools."""
    return pools.loopbacks(number) if router.loopbacks is None else in_order(router.loopbacks)


def attachments(network: NetworkDoc) -> Iterator[tuple[Path, tuple[str, str], Ends]]:
    """The ends of all links in the order in which NICs are handed out.

    Returns:
        Where a link was written, below the network; its two nodes; what is said of them.
    """
    for index, link in enumerate(network.links):
        yield ("links", index), (link.endpoints[0], link.endpoints[1]), link.ends
    for name, host in network.hosts.items():
        yield ("hosts", name), (name, host.at), host.ends


def is_numbered(network: NetworkDoc) -> bool:
    """Whether any address of a network is from its pools."""
    if any(router.loopbacks is None for router in network.routers.values()):
        return True
    return any(own_addresses(ends, nodes) is None for _, nodes, ends in attachments(network))


def check_link_ends(network: NetworkDoc, own: Pools, where: Path, report: Report) -> None:
    """Report all that is wrong with what a network says of the ends of its links."""
    for place, nodes, ends in attachments(network):
        for message, hint in end_problems(ends, nodes, own.versions):
            report((*where, *place, "ends"), message, hint)
    for name, router in network.routers.items():
        path = (*where, "routers", name, "loopbacks")
        for message, hint in _version_problems(name, router.loopbacks or (), own.versions):
            report(path, message, hint)
    if is_numbered(network):
        _check_pools(network, own, where, report)
    _check_names(network, where, report)


def _check_pools(network: NetworkDoc, own: Pools, where: Path, report: Report) -> None:
    """What is numbered from the pools cannot meet an address that was given."""
    for path, address in _given(network, where):
        pool = own.ipv4 if address.version == 4 else own.ipv6
        if pool is not None and pool.overlaps(address.network):
            words = f"{address} overlaps the network's pool {pool}, from which others are numbered"
            hint = f"choose another ipv{address.version}: pool for the network"
            report(path, words, hint)


def _given(network: NetworkDoc, where: Path) -> Iterator[tuple[Path, Interface]]:
    for place, _, ends in attachments(network):
        for end in ends.values():
            yield from (((*where, *place, "ends"), a) for a in end.addresses or ())
    for name, router in network.routers.items():
        path = (*where, "routers", name, "loopbacks")
        yield from ((path, address) for address in router.loopbacks or ())


def end_problems(
    ends: Ends, nodes: Sequence[str], versions: Collection[int]
) -> Iterator[tuple[str, str]]:
    """What is wrong with the ends of one link, as message and hint."""
    for end in ends:
        if end not in nodes:
            yield f"'{end}' is not an end of it", instead_of(end, list(nodes))
    given = {end: doc.addresses for end, doc in ends.items() if doc.addresses is not None}
    for end, addresses in given.items():
        yield from _version_problems(end, addresses, versions)
    missing = [node for node in nodes if node not in given]
    if given and missing and set(given) <= set(nodes):
        hint = "say those of both ends, [] for none"
        yield f"{next(iter(given))} has addresses of its own, {missing[0]} has not", hint
    yield from _meeting([in_order(given[node]) for node in nodes if node in given])


def _version_problems(
    node: str, addresses: Sequence[Interface], versions: Collection[int]
) -> Iterator[tuple[str, str]]:
    for address in addresses:
        if address.version not in versions:
            version = f"IPv{address.version}"
            hint = f"take away ipv{address.version}: false of the network"
            yield f"{node} has the address {address}, but the network has no {version}", hint


def _meeting(given: Sequence[tuple[Interface, ...]]) -> Iterator[tuple[str, str]]:
    """Both ends have addresses of a version: then they share a subnet, but not an address."""
    if len(given) < 2:
        return
    same = [str(a.ip) for a in given[0] for b in given[1] if a.ip == b.ip]
    if same:
        yield f"both of its ends have the address {same[0]}", "change one"
    for version in (4, 6):
        near, far = ([a for a in end if a.version == version] for end in given)
        if (
            near
            and far
            and not any(a.ip in b.network or b.ip in a.network for a in near for b in far)
        ):
            words = f"{near[0]} and {far[0]} have no subnet in common"
            yield words, "the ends of a link are neighbours: change one"


def _check_names(network: NetworkDoc, where: Path, report: Report) -> None:
    """No node has two NICs of one name."""
    names: dict[str, list[str]] = {}
    last: dict[str, Path] = {}
    for place, nodes, ends in attachments(network):
        for node in nodes:
            own = names.setdefault(node, [])
            own.append(nic_name(len(own), ends.get(node)))
            last[node] = place
    for node, router in network.routers.items():
        own = names.setdefault(node, [])
        own += [nic_name(number) for number in range(len(own), router.nics or 0)]
    for node, own in names.items():
        for name in (name for name, times in Counter(own).items() if times > 1):
            hint = f"unnamed ones are called eth0, eth1, …: give nic: to all of {node}'s"
            report((*where, *last.get(node, ())), f"two NICs of {node} are called '{name}'", hint)
