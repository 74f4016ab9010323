"""Canonical keys of goal-state records: a goal state is a map from these keys to records."""

from __future__ import annotations

from lab.southbound import southbound_pb2 as pb

GoalState = dict[str, pb.Record]


def record(
    body: pb.ProviderAddress
    | pb.VirtualSubnet
    | pb.LookupRecord
    | pb.CustomerRoute
    | pb.Port
    | pb.ProviderMember
    | pb.Compartment
    | pb.SwitchSettings
    | pb.UserRoute
    | pb.AccessControlList
    | pb.FrontEndRouter,
) -> pb.Record:
    """Wrap a piece of policy into a Record that carries its canonical key."""
    match body:
        case pb.ProviderAddress():
            return pb.Record(key=f"provider-address/{body.address}", provider_address=body)
        case pb.VirtualSubnet():
            return pb.Record(key=f"virtual-subnet/{body.vsid}", virtual_subnet=body)
        case pb.LookupRecord():
            return pb.Record(key=f"lookup/{body.vsid}/{body.customer_address}", lookup_record=body)
        case pb.CustomerRoute():
            return pb.Record(key=f"customer-route/{body.rdid}/{body.prefix}", customer_route=body)
        case pb.Port():
            return pb.Record(key=f"port/{body.interface_id}", port=body)
        case pb.ProviderMember():
            return pb.Record(key=f"provider-member/{body.rdid}/{body.provider_address}", provider_member=body)
        case pb.Compartment():
            return pb.Record(key=f"compartment/{body.rdid}", compartment=body)
        case pb.SwitchSettings():
            return pb.Record(key="switch-settings", switch_settings=body)
        case pb.UserRoute():
            return pb.Record(key=f"user-route/{body.vsid}/{body.prefix}", user_route=body)
        case pb.AccessControlList():
            return pb.Record(key=f"access-control-list/{body.id}", access_control_list=body)
        case pb.FrontEndRouter():
            return pb.Record(key="front-end-router", front_end_router=body)
    raise TypeError(f"no goal-state record can hold a {type(body).__name__}")


def difference(old: GoalState, new: GoalState) -> tuple[list[pb.Record], list[str]]:
    """What takes a node from one goal state to another: (upserts, keys to remove)."""
    upserts = [item for key, item in new.items() if old.get(key) != item]
    removes = [key for key in old if key not in new]
    return upserts, removes


def patch(state: GoalState, delta: pb.GoalStateDelta) -> set[str] | None:
    """Make a goal state be what it is after a delta.

    Returns:
        The keys of all records that may have changed; None: any may (a snapshot).
    """
    if delta.snapshot:
        state.clear()
    for key in delta.removes:
        state.pop(key, None)
    for item in delta.upserts:
        state[item.key] = item
    return None if delta.snapshot else {*delta.removes, *(item.key for item in delta.upserts)}


def patched(state: GoalState, delta: pb.GoalStateDelta) -> GoalState:
    """The goal state after a delta; the one given is left as it was."""
    result = dict(state)
    patch(result, delta)
    return result
