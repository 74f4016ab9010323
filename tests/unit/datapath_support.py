"""What a node's goal state means to its switch, all at once."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from lab.datapath.goal import GoalBook, node_of, ports_of
from lab.datapath.policy import CustomerRoute, LookupRecord, Policy, ProviderMember, Subnet, UserRoute
from lab.southbound.keys import GoalState


def policy_of(state: GoalState, ports: Mapping[str, int], uplinks: Sequence[int]) -> Policy:
    """What a goal state means on a node with these interfaces."""
    draft = GoalBook().draft(state)
    node = node_of(draft.meaning, uplinks, 0)
    return Policy(
        node.provider_addresses,
        node.uplinks,
        node.switch,
        subnets=tuple(item for item in draft.added if isinstance(item, Subnet)),
        lookups=tuple(item for item in draft.added if isinstance(item, LookupRecord)),
        routes=tuple(item for item in draft.added if isinstance(item, CustomerRoute)),
        user_routes=tuple(item for item in draft.added if isinstance(item, UserRoute)),
        members=tuple(item for item in draft.added if isinstance(item, ProviderMember)),
        ports=tuple(ports_of(draft.meaning, ports, {}).values()),
    )
