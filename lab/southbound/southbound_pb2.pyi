from google.protobuf.internal import containers as _containers
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class AgentMessage(_message.Message):
    __slots__ = ("hello", "ack", "nack", "report")
    HELLO_FIELD_NUMBER: _ClassVar[int]
    ACK_FIELD_NUMBER: _ClassVar[int]
    NACK_FIELD_NUMBER: _ClassVar[int]
    REPORT_FIELD_NUMBER: _ClassVar[int]
    hello: Hello
    ack: Ack
    nack: Nack
    report: Report
    def __init__(self, hello: _Optional[_Union[Hello, _Mapping]] = ..., ack: _Optional[_Union[Ack, _Mapping]] = ..., nack: _Optional[_Union[Nack, _Mapping]] = ..., report: _Optional[_Union[Report, _Mapping]] = ...) -> None: ...

class ControllerMessage(_message.Message):
    __slots__ = ("delta",)
    DELTA_FIELD_NUMBER: _ClassVar[int]
    delta: GoalStateDelta
    def __init__(self, delta: _Optional[_Union[GoalStateDelta, _Mapping]] = ...) -> None: ...

class Hello(_message.Message):
    __slots__ = ("node", "kind", "instance")
    NODE_FIELD_NUMBER: _ClassVar[int]
    KIND_FIELD_NUMBER: _ClassVar[int]
    INSTANCE_FIELD_NUMBER: _ClassVar[int]
    node: str
    kind: str
    instance: str
    def __init__(self, node: _Optional[str] = ..., kind: _Optional[str] = ..., instance: _Optional[str] = ...) -> None: ...

class Ack(_message.Message):
    __slots__ = ("version",)
    VERSION_FIELD_NUMBER: _ClassVar[int]
    version: int
    def __init__(self, version: _Optional[int] = ...) -> None: ...

class Nack(_message.Message):
    __slots__ = ("version", "faults")
    VERSION_FIELD_NUMBER: _ClassVar[int]
    FAULTS_FIELD_NUMBER: _ClassVar[int]
    version: int
    faults: _containers.RepeatedCompositeFieldContainer[Fault]
    def __init__(self, version: _Optional[int] = ..., faults: _Optional[_Iterable[_Union[Fault, _Mapping]]] = ...) -> None: ...

class Fault(_message.Message):
    __slots__ = ("record_key", "code", "message")
    RECORD_KEY_FIELD_NUMBER: _ClassVar[int]
    CODE_FIELD_NUMBER: _ClassVar[int]
    MESSAGE_FIELD_NUMBER: _ClassVar[int]
    record_key: str
    code: str
    message: str
    def __init__(self, record_key: _Optional[str] = ..., code: _Optional[str] = ..., message: _Optional[str] = ...) -> None: ...

class GoalStateDelta(_message.Message):
    __slots__ = ("version", "snapshot", "upserts", "removes")
    VERSION_FIELD_NUMBER: _ClassVar[int]
    SNAPSHOT_FIELD_NUMBER: _ClassVar[int]
    UPSERTS_FIELD_NUMBER: _ClassVar[int]
    REMOVES_FIELD_NUMBER: _ClassVar[int]
    version: int
    snapshot: bool
    upserts: _containers.RepeatedCompositeFieldContainer[Record]
    removes: _containers.RepeatedScalarFieldContainer[str]
    def __init__(self, version: _Optional[int] = ..., snapshot: _Optional[bool] = ..., upserts: _Optional[_Iterable[_Union[Record, _Mapping]]] = ..., removes: _Optional[_Iterable[str]] = ...) -> None: ...

class Record(_message.Message):
    __slots__ = ("key", "provider_address", "virtual_subnet", "lookup_record", "customer_route", "port", "provider_member", "compartment", "switch_settings", "user_route", "access_control_list")
    KEY_FIELD_NUMBER: _ClassVar[int]
    PROVIDER_ADDRESS_FIELD_NUMBER: _ClassVar[int]
    VIRTUAL_SUBNET_FIELD_NUMBER: _ClassVar[int]
    LOOKUP_RECORD_FIELD_NUMBER: _ClassVar[int]
    CUSTOMER_ROUTE_FIELD_NUMBER: _ClassVar[int]
    PORT_FIELD_NUMBER: _ClassVar[int]
    PROVIDER_MEMBER_FIELD_NUMBER: _ClassVar[int]
    COMPARTMENT_FIELD_NUMBER: _ClassVar[int]
    SWITCH_SETTINGS_FIELD_NUMBER: _ClassVar[int]
    USER_ROUTE_FIELD_NUMBER: _ClassVar[int]
    ACCESS_CONTROL_LIST_FIELD_NUMBER: _ClassVar[int]
    key: str
    provider_address: ProviderAddress
    virtual_subnet: VirtualSubnet
    lookup_record: LookupRecord
    customer_route: CustomerRoute
    port: Port
    provider_member: ProviderMember
    compartment: Compartment
    switch_settings: SwitchSettings
    user_route: UserRoute
    access_control_list: AccessControlList
    def __init__(self, key: _Optional[str] = ..., provider_address: _Optional[_Union[ProviderAddress, _Mapping]] = ..., virtual_subnet: _Optional[_Union[VirtualSubnet, _Mapping]] = ..., lookup_record: _Optional[_Union[LookupRecord, _Mapping]] = ..., customer_route: _Optional[_Union[CustomerRoute, _Mapping]] = ..., port: _Optional[_Union[Port, _Mapping]] = ..., provider_member: _Optional[_Union[ProviderMember, _Mapping]] = ..., compartment: _Optional[_Union[Compartment, _Mapping]] = ..., switch_settings: _Optional[_Union[SwitchSettings, _Mapping]] = ..., user_route: _Optional[_Union[UserRoute, _Mapping]] = ..., access_control_list: _Optional[_Union[AccessControlList, _Mapping]] = ...) -> None: ...

class ProviderAddress(_message.Message):
    __slots__ = ("address", "prefix_length", "gateway", "uplink")
    ADDRESS_FIELD_NUMBER: _ClassVar[int]
    PREFIX_LENGTH_FIELD_NUMBER: _ClassVar[int]
    GATEWAY_FIELD_NUMBER: _ClassVar[int]
    UPLINK_FIELD_NUMBER: _ClassVar[int]
    address: str
    prefix_length: int
    gateway: str
    uplink: int
    def __init__(self, address: _Optional[str] = ..., prefix_length: _Optional[int] = ..., gateway: _Optional[str] = ..., uplink: _Optional[int] = ...) -> None: ...

class SwitchSettings(_message.Message):
    __slots__ = ("encapsulation", "dscp", "team_mode", "external_router", "uplink_kbps")
    ENCAPSULATION_FIELD_NUMBER: _ClassVar[int]
    DSCP_FIELD_NUMBER: _ClassVar[int]
    TEAM_MODE_FIELD_NUMBER: _ClassVar[int]
    EXTERNAL_ROUTER_FIELD_NUMBER: _ClassVar[int]
    UPLINK_KBPS_FIELD_NUMBER: _ClassVar[int]
    encapsulation: str
    dscp: str
    team_mode: str
    external_router: bool
    uplink_kbps: int
    def __init__(self, encapsulation: _Optional[str] = ..., dscp: _Optional[str] = ..., team_mode: _Optional[str] = ..., external_router: _Optional[bool] = ..., uplink_kbps: _Optional[int] = ...) -> None: ...

class VirtualSubnet(_message.Message):
    __slots__ = ("vsid", "rdid", "prefix", "router_address", "router_mac")
    VSID_FIELD_NUMBER: _ClassVar[int]
    RDID_FIELD_NUMBER: _ClassVar[int]
    PREFIX_FIELD_NUMBER: _ClassVar[int]
    ROUTER_ADDRESS_FIELD_NUMBER: _ClassVar[int]
    ROUTER_MAC_FIELD_NUMBER: _ClassVar[int]
    vsid: int
    rdid: str
    prefix: str
    router_address: str
    router_mac: str
    def __init__(self, vsid: _Optional[int] = ..., rdid: _Optional[str] = ..., prefix: _Optional[str] = ..., router_address: _Optional[str] = ..., router_mac: _Optional[str] = ...) -> None: ...

class LookupRecord(_message.Message):
    __slots__ = ("vsid", "customer_address", "mac", "provider_address")
    VSID_FIELD_NUMBER: _ClassVar[int]
    CUSTOMER_ADDRESS_FIELD_NUMBER: _ClassVar[int]
    MAC_FIELD_NUMBER: _ClassVar[int]
    PROVIDER_ADDRESS_FIELD_NUMBER: _ClassVar[int]
    vsid: int
    customer_address: str
    mac: str
    provider_address: str
    def __init__(self, vsid: _Optional[int] = ..., customer_address: _Optional[str] = ..., mac: _Optional[str] = ..., provider_address: _Optional[str] = ...) -> None: ...

class CustomerRoute(_message.Message):
    __slots__ = ("rdid", "prefix", "vsid", "next_hop", "metric", "external_router")
    RDID_FIELD_NUMBER: _ClassVar[int]
    PREFIX_FIELD_NUMBER: _ClassVar[int]
    VSID_FIELD_NUMBER: _ClassVar[int]
    NEXT_HOP_FIELD_NUMBER: _ClassVar[int]
    METRIC_FIELD_NUMBER: _ClassVar[int]
    EXTERNAL_ROUTER_FIELD_NUMBER: _ClassVar[int]
    rdid: str
    prefix: str
    vsid: int
    next_hop: str
    metric: int
    external_router: str
    def __init__(self, rdid: _Optional[str] = ..., prefix: _Optional[str] = ..., vsid: _Optional[int] = ..., next_hop: _Optional[str] = ..., metric: _Optional[int] = ..., external_router: _Optional[str] = ...) -> None: ...

class UserRoute(_message.Message):
    __slots__ = ("vsid", "prefix", "next_hop", "next_hop_vsid", "external_router")
    VSID_FIELD_NUMBER: _ClassVar[int]
    PREFIX_FIELD_NUMBER: _ClassVar[int]
    NEXT_HOP_FIELD_NUMBER: _ClassVar[int]
    NEXT_HOP_VSID_FIELD_NUMBER: _ClassVar[int]
    EXTERNAL_ROUTER_FIELD_NUMBER: _ClassVar[int]
    vsid: int
    prefix: str
    next_hop: str
    next_hop_vsid: int
    external_router: str
    def __init__(self, vsid: _Optional[int] = ..., prefix: _Optional[str] = ..., next_hop: _Optional[str] = ..., next_hop_vsid: _Optional[int] = ..., external_router: _Optional[str] = ...) -> None: ...

class AccessControlList(_message.Message):
    __slots__ = ("id", "rules")
    ID_FIELD_NUMBER: _ClassVar[int]
    RULES_FIELD_NUMBER: _ClassVar[int]
    id: str
    rules: _containers.RepeatedCompositeFieldContainer[AclRule]
    def __init__(self, id: _Optional[str] = ..., rules: _Optional[_Iterable[_Union[AclRule, _Mapping]]] = ...) -> None: ...

class AclRule(_message.Message):
    __slots__ = ("id", "inbound", "deny", "log", "protocol", "source_prefix", "destination_prefix", "source_port_first", "source_port_last", "destination_port_first", "destination_port_last")
    ID_FIELD_NUMBER: _ClassVar[int]
    INBOUND_FIELD_NUMBER: _ClassVar[int]
    DENY_FIELD_NUMBER: _ClassVar[int]
    LOG_FIELD_NUMBER: _ClassVar[int]
    PROTOCOL_FIELD_NUMBER: _ClassVar[int]
    SOURCE_PREFIX_FIELD_NUMBER: _ClassVar[int]
    DESTINATION_PREFIX_FIELD_NUMBER: _ClassVar[int]
    SOURCE_PORT_FIRST_FIELD_NUMBER: _ClassVar[int]
    SOURCE_PORT_LAST_FIELD_NUMBER: _ClassVar[int]
    DESTINATION_PORT_FIRST_FIELD_NUMBER: _ClassVar[int]
    DESTINATION_PORT_LAST_FIELD_NUMBER: _ClassVar[int]
    id: str
    inbound: bool
    deny: bool
    log: bool
    protocol: int
    source_prefix: str
    destination_prefix: str
    source_port_first: int
    source_port_last: int
    destination_port_first: int
    destination_port_last: int
    def __init__(self, id: _Optional[str] = ..., inbound: _Optional[bool] = ..., deny: _Optional[bool] = ..., log: _Optional[bool] = ..., protocol: _Optional[int] = ..., source_prefix: _Optional[str] = ..., destination_prefix: _Optional[str] = ..., source_port_first: _Optional[int] = ..., source_port_last: _Optional[int] = ..., destination_port_first: _Optional[int] = ..., destination_port_last: _Optional[int] = ...) -> None: ...

class Port(_message.Message):
    __slots__ = ("interface_id", "vsid", "customer_address", "mac", "provider_address", "access_control_lists", "forwarding", "dhcp_server", "router_advertiser", "storm_limit_pps", "outbound_maximum_kbps", "outbound_reserved_kbps", "inbound_maximum_kbps")
    INTERFACE_ID_FIELD_NUMBER: _ClassVar[int]
    VSID_FIELD_NUMBER: _ClassVar[int]
    CUSTOMER_ADDRESS_FIELD_NUMBER: _ClassVar[int]
    MAC_FIELD_NUMBER: _ClassVar[int]
    PROVIDER_ADDRESS_FIELD_NUMBER: _ClassVar[int]
    ACCESS_CONTROL_LISTS_FIELD_NUMBER: _ClassVar[int]
    FORWARDING_FIELD_NUMBER: _ClassVar[int]
    DHCP_SERVER_FIELD_NUMBER: _ClassVar[int]
    ROUTER_ADVERTISER_FIELD_NUMBER: _ClassVar[int]
    STORM_LIMIT_PPS_FIELD_NUMBER: _ClassVar[int]
    OUTBOUND_MAXIMUM_KBPS_FIELD_NUMBER: _ClassVar[int]
    OUTBOUND_RESERVED_KBPS_FIELD_NUMBER: _ClassVar[int]
    INBOUND_MAXIMUM_KBPS_FIELD_NUMBER: _ClassVar[int]
    interface_id: str
    vsid: int
    customer_address: str
    mac: str
    provider_address: str
    access_control_lists: _containers.RepeatedScalarFieldContainer[str]
    forwarding: bool
    dhcp_server: bool
    router_advertiser: bool
    storm_limit_pps: int
    outbound_maximum_kbps: int
    outbound_reserved_kbps: int
    inbound_maximum_kbps: int
    def __init__(self, interface_id: _Optional[str] = ..., vsid: _Optional[int] = ..., customer_address: _Optional[str] = ..., mac: _Optional[str] = ..., provider_address: _Optional[str] = ..., access_control_lists: _Optional[_Iterable[str]] = ..., forwarding: _Optional[bool] = ..., dhcp_server: _Optional[bool] = ..., router_advertiser: _Optional[bool] = ..., storm_limit_pps: _Optional[int] = ..., outbound_maximum_kbps: _Optional[int] = ..., outbound_reserved_kbps: _Optional[int] = ..., inbound_maximum_kbps: _Optional[int] = ...) -> None: ...

class ProviderMember(_message.Message):
    __slots__ = ("rdid", "provider_address", "gateway", "forwarder")
    RDID_FIELD_NUMBER: _ClassVar[int]
    PROVIDER_ADDRESS_FIELD_NUMBER: _ClassVar[int]
    GATEWAY_FIELD_NUMBER: _ClassVar[int]
    FORWARDER_FIELD_NUMBER: _ClassVar[int]
    rdid: str
    provider_address: str
    gateway: bool
    forwarder: bool
    def __init__(self, rdid: _Optional[str] = ..., provider_address: _Optional[str] = ..., gateway: _Optional[bool] = ..., forwarder: _Optional[bool] = ...) -> None: ...

class Compartment(_message.Message):
    __slots__ = ("rdid", "tenant", "vsid", "customer_address", "prefix_length", "mac", "router_address", "vm_prefixes", "vip", "connections", "bgp")
    RDID_FIELD_NUMBER: _ClassVar[int]
    TENANT_FIELD_NUMBER: _ClassVar[int]
    VSID_FIELD_NUMBER: _ClassVar[int]
    CUSTOMER_ADDRESS_FIELD_NUMBER: _ClassVar[int]
    PREFIX_LENGTH_FIELD_NUMBER: _ClassVar[int]
    MAC_FIELD_NUMBER: _ClassVar[int]
    ROUTER_ADDRESS_FIELD_NUMBER: _ClassVar[int]
    VM_PREFIXES_FIELD_NUMBER: _ClassVar[int]
    VIP_FIELD_NUMBER: _ClassVar[int]
    CONNECTIONS_FIELD_NUMBER: _ClassVar[int]
    BGP_FIELD_NUMBER: _ClassVar[int]
    rdid: str
    tenant: str
    vsid: int
    customer_address: str
    prefix_length: int
    mac: str
    router_address: str
    vm_prefixes: _containers.RepeatedScalarFieldContainer[str]
    vip: str
    connections: _containers.RepeatedCompositeFieldContainer[Connection]
    bgp: BgpRouter
    def __init__(self, rdid: _Optional[str] = ..., tenant: _Optional[str] = ..., vsid: _Optional[int] = ..., customer_address: _Optional[str] = ..., prefix_length: _Optional[int] = ..., mac: _Optional[str] = ..., router_address: _Optional[str] = ..., vm_prefixes: _Optional[_Iterable[str]] = ..., vip: _Optional[str] = ..., connections: _Optional[_Iterable[_Union[Connection, _Mapping]]] = ..., bgp: _Optional[_Union[BgpRouter, _Mapping]] = ...) -> None: ...

class Connection(_message.Message):
    __slots__ = ("name", "outbound_kbps", "inbound_kbps", "routes", "ipsec")
    NAME_FIELD_NUMBER: _ClassVar[int]
    OUTBOUND_KBPS_FIELD_NUMBER: _ClassVar[int]
    INBOUND_KBPS_FIELD_NUMBER: _ClassVar[int]
    ROUTES_FIELD_NUMBER: _ClassVar[int]
    IPSEC_FIELD_NUMBER: _ClassVar[int]
    name: str
    outbound_kbps: int
    inbound_kbps: int
    routes: _containers.RepeatedCompositeFieldContainer[StaticRoute]
    ipsec: Ipsec
    def __init__(self, name: _Optional[str] = ..., outbound_kbps: _Optional[int] = ..., inbound_kbps: _Optional[int] = ..., routes: _Optional[_Iterable[_Union[StaticRoute, _Mapping]]] = ..., ipsec: _Optional[_Union[Ipsec, _Mapping]] = ...) -> None: ...

class StaticRoute(_message.Message):
    __slots__ = ("prefix", "metric")
    PREFIX_FIELD_NUMBER: _ClassVar[int]
    METRIC_FIELD_NUMBER: _ClassVar[int]
    prefix: str
    metric: int
    def __init__(self, prefix: _Optional[str] = ..., metric: _Optional[int] = ...) -> None: ...

class Ipsec(_message.Message):
    __slots__ = ("peer", "shared_secret", "main_mode", "quick_mode")
    PEER_FIELD_NUMBER: _ClassVar[int]
    SHARED_SECRET_FIELD_NUMBER: _ClassVar[int]
    MAIN_MODE_FIELD_NUMBER: _ClassVar[int]
    QUICK_MODE_FIELD_NUMBER: _ClassVar[int]
    peer: str
    shared_secret: str
    main_mode: MainMode
    quick_mode: QuickMode
    def __init__(self, peer: _Optional[str] = ..., shared_secret: _Optional[str] = ..., main_mode: _Optional[_Union[MainMode, _Mapping]] = ..., quick_mode: _Optional[_Union[QuickMode, _Mapping]] = ...) -> None: ...

class MainMode(_message.Message):
    __slots__ = ("encryption", "integrity", "dh_group", "sa_life_time_s")
    ENCRYPTION_FIELD_NUMBER: _ClassVar[int]
    INTEGRITY_FIELD_NUMBER: _ClassVar[int]
    DH_GROUP_FIELD_NUMBER: _ClassVar[int]
    SA_LIFE_TIME_S_FIELD_NUMBER: _ClassVar[int]
    encryption: str
    integrity: str
    dh_group: str
    sa_life_time_s: int
    def __init__(self, encryption: _Optional[str] = ..., integrity: _Optional[str] = ..., dh_group: _Optional[str] = ..., sa_life_time_s: _Optional[int] = ...) -> None: ...

class QuickMode(_message.Message):
    __slots__ = ("cipher", "authentication", "pfs", "sa_life_time_s", "sa_life_time_kb", "idle_disconnect_s")
    CIPHER_FIELD_NUMBER: _ClassVar[int]
    AUTHENTICATION_FIELD_NUMBER: _ClassVar[int]
    PFS_FIELD_NUMBER: _ClassVar[int]
    SA_LIFE_TIME_S_FIELD_NUMBER: _ClassVar[int]
    SA_LIFE_TIME_KB_FIELD_NUMBER: _ClassVar[int]
    IDLE_DISCONNECT_S_FIELD_NUMBER: _ClassVar[int]
    cipher: str
    authentication: str
    pfs: str
    sa_life_time_s: int
    sa_life_time_kb: int
    idle_disconnect_s: int
    def __init__(self, cipher: _Optional[str] = ..., authentication: _Optional[str] = ..., pfs: _Optional[str] = ..., sa_life_time_s: _Optional[int] = ..., sa_life_time_kb: _Optional[int] = ..., idle_disconnect_s: _Optional[int] = ...) -> None: ...

class BgpRouter(_message.Message):
    __slots__ = ("asn", "router_id", "networks", "peers")
    ASN_FIELD_NUMBER: _ClassVar[int]
    ROUTER_ID_FIELD_NUMBER: _ClassVar[int]
    NETWORKS_FIELD_NUMBER: _ClassVar[int]
    PEERS_FIELD_NUMBER: _ClassVar[int]
    asn: int
    router_id: str
    networks: _containers.RepeatedScalarFieldContainer[str]
    peers: _containers.RepeatedCompositeFieldContainer[BgpPeer]
    def __init__(self, asn: _Optional[int] = ..., router_id: _Optional[str] = ..., networks: _Optional[_Iterable[str]] = ..., peers: _Optional[_Iterable[_Union[BgpPeer, _Mapping]]] = ...) -> None: ...

class BgpPeer(_message.Message):
    __slots__ = ("name", "address", "asn", "hold_time_s")
    NAME_FIELD_NUMBER: _ClassVar[int]
    ADDRESS_FIELD_NUMBER: _ClassVar[int]
    ASN_FIELD_NUMBER: _ClassVar[int]
    HOLD_TIME_S_FIELD_NUMBER: _ClassVar[int]
    name: str
    address: str
    asn: int
    hold_time_s: int
    def __init__(self, name: _Optional[str] = ..., address: _Optional[str] = ..., asn: _Optional[int] = ..., hold_time_s: _Optional[int] = ...) -> None: ...

class Report(_message.Message):
    __slots__ = ("connections", "bgp_peers", "learned_routes", "counters", "faults", "meters")
    CONNECTIONS_FIELD_NUMBER: _ClassVar[int]
    BGP_PEERS_FIELD_NUMBER: _ClassVar[int]
    LEARNED_ROUTES_FIELD_NUMBER: _ClassVar[int]
    COUNTERS_FIELD_NUMBER: _ClassVar[int]
    FAULTS_FIELD_NUMBER: _ClassVar[int]
    METERS_FIELD_NUMBER: _ClassVar[int]
    connections: _containers.RepeatedCompositeFieldContainer[ConnectionState]
    bgp_peers: _containers.RepeatedCompositeFieldContainer[BgpPeerState]
    learned_routes: _containers.RepeatedCompositeFieldContainer[LearnedRoutes]
    counters: _containers.RepeatedCompositeFieldContainer[Counter]
    faults: _containers.RepeatedCompositeFieldContainer[Fault]
    meters: _containers.RepeatedCompositeFieldContainer[Meter]
    def __init__(self, connections: _Optional[_Iterable[_Union[ConnectionState, _Mapping]]] = ..., bgp_peers: _Optional[_Iterable[_Union[BgpPeerState, _Mapping]]] = ..., learned_routes: _Optional[_Iterable[_Union[LearnedRoutes, _Mapping]]] = ..., counters: _Optional[_Iterable[_Union[Counter, _Mapping]]] = ..., faults: _Optional[_Iterable[_Union[Fault, _Mapping]]] = ..., meters: _Optional[_Iterable[_Union[Meter, _Mapping]]] = ...) -> None: ...

class Meter(_message.Message):
    __slots__ = ("interface_id", "direction", "kind", "packets", "bytes")
    INTERFACE_ID_FIELD_NUMBER: _ClassVar[int]
    DIRECTION_FIELD_NUMBER: _ClassVar[int]
    KIND_FIELD_NUMBER: _ClassVar[int]
    PACKETS_FIELD_NUMBER: _ClassVar[int]
    BYTES_FIELD_NUMBER: _ClassVar[int]
    interface_id: str
    direction: str
    kind: str
    packets: int
    bytes: int
    def __init__(self, interface_id: _Optional[str] = ..., direction: _Optional[str] = ..., kind: _Optional[str] = ..., packets: _Optional[int] = ..., bytes: _Optional[int] = ...) -> None: ...

class ConnectionState(_message.Message):
    __slots__ = ("rdid", "name", "state", "since_unix_s", "bytes_in", "bytes_out", "last_error")
    RDID_FIELD_NUMBER: _ClassVar[int]
    NAME_FIELD_NUMBER: _ClassVar[int]
    STATE_FIELD_NUMBER: _ClassVar[int]
    SINCE_UNIX_S_FIELD_NUMBER: _ClassVar[int]
    BYTES_IN_FIELD_NUMBER: _ClassVar[int]
    BYTES_OUT_FIELD_NUMBER: _ClassVar[int]
    LAST_ERROR_FIELD_NUMBER: _ClassVar[int]
    rdid: str
    name: str
    state: str
    since_unix_s: int
    bytes_in: int
    bytes_out: int
    last_error: str
    def __init__(self, rdid: _Optional[str] = ..., name: _Optional[str] = ..., state: _Optional[str] = ..., since_unix_s: _Optional[int] = ..., bytes_in: _Optional[int] = ..., bytes_out: _Optional[int] = ..., last_error: _Optional[str] = ...) -> None: ...

class BgpPeerState(_message.Message):
    __slots__ = ("rdid", "name", "state", "since_unix_s", "prefixes", "last_error")
    RDID_FIELD_NUMBER: _ClassVar[int]
    NAME_FIELD_NUMBER: _ClassVar[int]
    STATE_FIELD_NUMBER: _ClassVar[int]
    SINCE_UNIX_S_FIELD_NUMBER: _ClassVar[int]
    PREFIXES_FIELD_NUMBER: _ClassVar[int]
    LAST_ERROR_FIELD_NUMBER: _ClassVar[int]
    rdid: str
    name: str
    state: str
    since_unix_s: int
    prefixes: int
    last_error: str
    def __init__(self, rdid: _Optional[str] = ..., name: _Optional[str] = ..., state: _Optional[str] = ..., since_unix_s: _Optional[int] = ..., prefixes: _Optional[int] = ..., last_error: _Optional[str] = ...) -> None: ...

class LearnedRoutes(_message.Message):
    __slots__ = ("rdid", "routes")
    RDID_FIELD_NUMBER: _ClassVar[int]
    ROUTES_FIELD_NUMBER: _ClassVar[int]
    rdid: str
    routes: _containers.RepeatedCompositeFieldContainer[LearnedRoute]
    def __init__(self, rdid: _Optional[str] = ..., routes: _Optional[_Iterable[_Union[LearnedRoute, _Mapping]]] = ...) -> None: ...

class LearnedRoute(_message.Message):
    __slots__ = ("prefix", "metric")
    PREFIX_FIELD_NUMBER: _ClassVar[int]
    METRIC_FIELD_NUMBER: _ClassVar[int]
    prefix: str
    metric: int
    def __init__(self, prefix: _Optional[str] = ..., metric: _Optional[int] = ...) -> None: ...

class Counter(_message.Message):
    __slots__ = ("reason", "direction", "vsid", "packets", "bytes")
    REASON_FIELD_NUMBER: _ClassVar[int]
    DIRECTION_FIELD_NUMBER: _ClassVar[int]
    VSID_FIELD_NUMBER: _ClassVar[int]
    PACKETS_FIELD_NUMBER: _ClassVar[int]
    BYTES_FIELD_NUMBER: _ClassVar[int]
    reason: int
    direction: str
    vsid: int
    packets: int
    bytes: int
    def __init__(self, reason: _Optional[int] = ..., direction: _Optional[str] = ..., vsid: _Optional[int] = ..., packets: _Optional[int] = ..., bytes: _Optional[int] = ...) -> None: ...
