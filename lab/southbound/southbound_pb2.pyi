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
    __slots__ = ("key", "provider_address", "virtual_subnet", "lookup_record", "customer_route", "port", "provider_member", "compartment", "switch_settings", "user_route", "access_control_list", "front_end_router")
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
    FRONT_END_ROUTER_FIELD_NUMBER: _ClassVar[int]
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
    front_end_router: FrontEndRouter
    def __init__(self, key: _Optional[str] = ..., provider_address: _Optional[_Union[ProviderAddress, _Mapping]] = ..., virtual_subnet: _Optional[_Union[VirtualSubnet, _Mapping]] = ..., lookup_record: _Optional[_Union[LookupRecord, _Mapping]] = ..., customer_route: _Optional[_Union[CustomerRoute, _Mapping]] = ..., port: _Optional[_Union[Port, _Mapping]] = ..., provider_member: _Optional[_Union[ProviderMember, _Mapping]] = ..., compartment: _Optional[_Union[Compartment, _Mapping]] = ..., switch_settings: _Optional[_Union[SwitchSettings, _Mapping]] = ..., user_route: _Optional[_Union[UserRoute, _Mapping]] = ..., access_control_list: _Optional[_Union[AccessControlList, _Mapping]] = ..., front_end_router: _Optional[_Union[FrontEndRouter, _Mapping]] = ...) -> None: ...

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

class FrontEndRouter(_message.Message):
    __slots__ = ("asn", "peers")
    ASN_FIELD_NUMBER: _ClassVar[int]
    PEERS_FIELD_NUMBER: _ClassVar[int]
    asn: int
    peers: _containers.RepeatedCompositeFieldContainer[BgpPeer]
    def __init__(self, asn: _Optional[int] = ..., peers: _Optional[_Iterable[_Union[BgpPeer, _Mapping]]] = ...) -> None: ...

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
    __slots__ = ("rdid", "tenant", "vsid", "customer_address", "prefix_length", "mac", "router_address", "vm_prefixes", "vip", "connections", "bgp", "ipv6")
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
    IPV6_FIELD_NUMBER: _ClassVar[int]
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
    ipv6: CompartmentIpv6
    def __init__(self, rdid: _Optional[str] = ..., tenant: _Optional[str] = ..., vsid: _Optional[int] = ..., customer_address: _Optional[str] = ..., prefix_length: _Optional[int] = ..., mac: _Optional[str] = ..., router_address: _Optional[str] = ..., vm_prefixes: _Optional[_Iterable[str]] = ..., vip: _Optional[str] = ..., connections: _Optional[_Iterable[_Union[Connection, _Mapping]]] = ..., bgp: _Optional[_Union[BgpRouter, _Mapping]] = ..., ipv6: _Optional[_Union[CompartmentIpv6, _Mapping]] = ...) -> None: ...

class CompartmentIpv6(_message.Message):
    __slots__ = ("customer_address", "prefix_length", "mac", "router_address", "vm_prefixes")
    CUSTOMER_ADDRESS_FIELD_NUMBER: _ClassVar[int]
    PREFIX_LENGTH_FIELD_NUMBER: _ClassVar[int]
    MAC_FIELD_NUMBER: _ClassVar[int]
    ROUTER_ADDRESS_FIELD_NUMBER: _ClassVar[int]
    VM_PREFIXES_FIELD_NUMBER: _ClassVar[int]
    customer_address: str
    prefix_length: int
    mac: str
    router_address: str
    vm_prefixes: _containers.RepeatedScalarFieldContainer[str]
    def __init__(self, customer_address: _Optional[str] = ..., prefix_length: _Optional[int] = ..., mac: _Optional[str] = ..., router_address: _Optional[str] = ..., vm_prefixes: _Optional[_Iterable[str]] = ...) -> None: ...

class Connection(_message.Message):
    __slots__ = ("name", "outbound_kbps", "inbound_kbps", "routes", "ipsec", "gre", "forwarding", "nat", "dial_in", "link")
    NAME_FIELD_NUMBER: _ClassVar[int]
    OUTBOUND_KBPS_FIELD_NUMBER: _ClassVar[int]
    INBOUND_KBPS_FIELD_NUMBER: _ClassVar[int]
    ROUTES_FIELD_NUMBER: _ClassVar[int]
    IPSEC_FIELD_NUMBER: _ClassVar[int]
    GRE_FIELD_NUMBER: _ClassVar[int]
    FORWARDING_FIELD_NUMBER: _ClassVar[int]
    NAT_FIELD_NUMBER: _ClassVar[int]
    DIAL_IN_FIELD_NUMBER: _ClassVar[int]
    LINK_FIELD_NUMBER: _ClassVar[int]
    name: str
    outbound_kbps: int
    inbound_kbps: int
    routes: _containers.RepeatedCompositeFieldContainer[StaticRoute]
    ipsec: Ipsec
    gre: Gre
    forwarding: Forwarding
    nat: Nat
    dial_in: DialIn
    link: Link
    def __init__(self, name: _Optional[str] = ..., outbound_kbps: _Optional[int] = ..., inbound_kbps: _Optional[int] = ..., routes: _Optional[_Iterable[_Union[StaticRoute, _Mapping]]] = ..., ipsec: _Optional[_Union[Ipsec, _Mapping]] = ..., gre: _Optional[_Union[Gre, _Mapping]] = ..., forwarding: _Optional[_Union[Forwarding, _Mapping]] = ..., nat: _Optional[_Union[Nat, _Mapping]] = ..., dial_in: _Optional[_Union[DialIn, _Mapping]] = ..., link: _Optional[_Union[Link, _Mapping]] = ...) -> None: ...

class StaticRoute(_message.Message):
    __slots__ = ("prefix", "metric", "next_hop")
    PREFIX_FIELD_NUMBER: _ClassVar[int]
    METRIC_FIELD_NUMBER: _ClassVar[int]
    NEXT_HOP_FIELD_NUMBER: _ClassVar[int]
    prefix: str
    metric: int
    next_hop: str
    def __init__(self, prefix: _Optional[str] = ..., metric: _Optional[int] = ..., next_hop: _Optional[str] = ...) -> None: ...

class Ipsec(_message.Message):
    __slots__ = ("peer", "shared_secret", "main_mode", "quick_mode", "on_demand", "network_outage_s", "tries", "retry_interval_s", "local_selectors", "remote_selectors", "initiator", "machine_certificate")
    PEER_FIELD_NUMBER: _ClassVar[int]
    SHARED_SECRET_FIELD_NUMBER: _ClassVar[int]
    MAIN_MODE_FIELD_NUMBER: _ClassVar[int]
    QUICK_MODE_FIELD_NUMBER: _ClassVar[int]
    ON_DEMAND_FIELD_NUMBER: _ClassVar[int]
    NETWORK_OUTAGE_S_FIELD_NUMBER: _ClassVar[int]
    TRIES_FIELD_NUMBER: _ClassVar[int]
    RETRY_INTERVAL_S_FIELD_NUMBER: _ClassVar[int]
    LOCAL_SELECTORS_FIELD_NUMBER: _ClassVar[int]
    REMOTE_SELECTORS_FIELD_NUMBER: _ClassVar[int]
    INITIATOR_FIELD_NUMBER: _ClassVar[int]
    MACHINE_CERTIFICATE_FIELD_NUMBER: _ClassVar[int]
    peer: str
    shared_secret: str
    main_mode: MainMode
    quick_mode: QuickMode
    on_demand: bool
    network_outage_s: int
    tries: int
    retry_interval_s: int
    local_selectors: _containers.RepeatedScalarFieldContainer[str]
    remote_selectors: _containers.RepeatedScalarFieldContainer[str]
    initiator: bool
    machine_certificate: MachineCertificate
    def __init__(self, peer: _Optional[str] = ..., shared_secret: _Optional[str] = ..., main_mode: _Optional[_Union[MainMode, _Mapping]] = ..., quick_mode: _Optional[_Union[QuickMode, _Mapping]] = ..., on_demand: _Optional[bool] = ..., network_outage_s: _Optional[int] = ..., tries: _Optional[int] = ..., retry_interval_s: _Optional[int] = ..., local_selectors: _Optional[_Iterable[str]] = ..., remote_selectors: _Optional[_Iterable[str]] = ..., initiator: _Optional[bool] = ..., machine_certificate: _Optional[_Union[MachineCertificate, _Mapping]] = ...) -> None: ...

class MachineCertificate(_message.Message):
    __slots__ = ("ca_certificate", "certificate", "private_key", "identity", "remote_identity")
    CA_CERTIFICATE_FIELD_NUMBER: _ClassVar[int]
    CERTIFICATE_FIELD_NUMBER: _ClassVar[int]
    PRIVATE_KEY_FIELD_NUMBER: _ClassVar[int]
    IDENTITY_FIELD_NUMBER: _ClassVar[int]
    REMOTE_IDENTITY_FIELD_NUMBER: _ClassVar[int]
    ca_certificate: str
    certificate: str
    private_key: str
    identity: str
    remote_identity: str
    def __init__(self, ca_certificate: _Optional[str] = ..., certificate: _Optional[str] = ..., private_key: _Optional[str] = ..., identity: _Optional[str] = ..., remote_identity: _Optional[str] = ...) -> None: ...

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

class Gre(_message.Message):
    __slots__ = ("local", "peer", "key")
    LOCAL_FIELD_NUMBER: _ClassVar[int]
    PEER_FIELD_NUMBER: _ClassVar[int]
    KEY_FIELD_NUMBER: _ClassVar[int]
    local: str
    peer: str
    key: int
    def __init__(self, local: _Optional[str] = ..., peer: _Optional[str] = ..., key: _Optional[int] = ...) -> None: ...

class Forwarding(_message.Message):
    __slots__ = ("vlan", "addresses")
    VLAN_FIELD_NUMBER: _ClassVar[int]
    ADDRESSES_FIELD_NUMBER: _ClassVar[int]
    vlan: int
    addresses: _containers.RepeatedScalarFieldContainer[str]
    def __init__(self, vlan: _Optional[int] = ..., addresses: _Optional[_Iterable[str]] = ...) -> None: ...

class Nat(_message.Message):
    __slots__ = ("public_address", "port_first", "port_last", "mappings")
    PUBLIC_ADDRESS_FIELD_NUMBER: _ClassVar[int]
    PORT_FIRST_FIELD_NUMBER: _ClassVar[int]
    PORT_LAST_FIELD_NUMBER: _ClassVar[int]
    MAPPINGS_FIELD_NUMBER: _ClassVar[int]
    public_address: str
    port_first: int
    port_last: int
    mappings: _containers.RepeatedCompositeFieldContainer[NatMapping]
    def __init__(self, public_address: _Optional[str] = ..., port_first: _Optional[int] = ..., port_last: _Optional[int] = ..., mappings: _Optional[_Iterable[_Union[NatMapping, _Mapping]]] = ...) -> None: ...

class NatMapping(_message.Message):
    __slots__ = ("name", "protocol", "external_port", "internal_address", "internal_port", "remote_prefix")
    NAME_FIELD_NUMBER: _ClassVar[int]
    PROTOCOL_FIELD_NUMBER: _ClassVar[int]
    EXTERNAL_PORT_FIELD_NUMBER: _ClassVar[int]
    INTERNAL_ADDRESS_FIELD_NUMBER: _ClassVar[int]
    INTERNAL_PORT_FIELD_NUMBER: _ClassVar[int]
    REMOTE_PREFIX_FIELD_NUMBER: _ClassVar[int]
    name: str
    protocol: str
    external_port: int
    internal_address: str
    internal_port: int
    remote_prefix: str
    def __init__(self, name: _Optional[str] = ..., protocol: _Optional[str] = ..., external_port: _Optional[int] = ..., internal_address: _Optional[str] = ..., internal_port: _Optional[int] = ..., remote_prefix: _Optional[str] = ...) -> None: ...

class DialIn(_message.Message):
    __slots__ = ("public_address", "pool", "dns_servers", "maximum_connections", "users", "ca_certificate", "certificate", "private_key", "identity", "interim_accounting_s")
    PUBLIC_ADDRESS_FIELD_NUMBER: _ClassVar[int]
    POOL_FIELD_NUMBER: _ClassVar[int]
    DNS_SERVERS_FIELD_NUMBER: _ClassVar[int]
    MAXIMUM_CONNECTIONS_FIELD_NUMBER: _ClassVar[int]
    USERS_FIELD_NUMBER: _ClassVar[int]
    CA_CERTIFICATE_FIELD_NUMBER: _ClassVar[int]
    CERTIFICATE_FIELD_NUMBER: _ClassVar[int]
    PRIVATE_KEY_FIELD_NUMBER: _ClassVar[int]
    IDENTITY_FIELD_NUMBER: _ClassVar[int]
    INTERIM_ACCOUNTING_S_FIELD_NUMBER: _ClassVar[int]
    public_address: str
    pool: str
    dns_servers: _containers.RepeatedScalarFieldContainer[str]
    maximum_connections: int
    users: _containers.RepeatedCompositeFieldContainer[DialInUser]
    ca_certificate: str
    certificate: str
    private_key: str
    identity: str
    interim_accounting_s: int
    def __init__(self, public_address: _Optional[str] = ..., pool: _Optional[str] = ..., dns_servers: _Optional[_Iterable[str]] = ..., maximum_connections: _Optional[int] = ..., users: _Optional[_Iterable[_Union[DialInUser, _Mapping]]] = ..., ca_certificate: _Optional[str] = ..., certificate: _Optional[str] = ..., private_key: _Optional[str] = ..., identity: _Optional[str] = ..., interim_accounting_s: _Optional[int] = ...) -> None: ...

class DialInUser(_message.Message):
    __slots__ = ("name", "password")
    NAME_FIELD_NUMBER: _ClassVar[int]
    PASSWORD_FIELD_NUMBER: _ClassVar[int]
    name: str
    password: str
    def __init__(self, name: _Optional[str] = ..., password: _Optional[str] = ...) -> None: ...

class Link(_message.Message):
    __slots__ = ("peer_rdid", "local_prefixes")
    PEER_RDID_FIELD_NUMBER: _ClassVar[int]
    LOCAL_PREFIXES_FIELD_NUMBER: _ClassVar[int]
    peer_rdid: str
    local_prefixes: _containers.RepeatedScalarFieldContainer[str]
    def __init__(self, peer_rdid: _Optional[str] = ..., local_prefixes: _Optional[_Iterable[str]] = ...) -> None: ...

class BgpRouter(_message.Message):
    __slots__ = ("asn", "router_id", "networks", "peers", "aggregates", "dampening", "route_reflector", "cluster_id", "ecmp", "transit_routing", "local_ipv6_address")
    ASN_FIELD_NUMBER: _ClassVar[int]
    ROUTER_ID_FIELD_NUMBER: _ClassVar[int]
    NETWORKS_FIELD_NUMBER: _ClassVar[int]
    PEERS_FIELD_NUMBER: _ClassVar[int]
    AGGREGATES_FIELD_NUMBER: _ClassVar[int]
    DAMPENING_FIELD_NUMBER: _ClassVar[int]
    ROUTE_REFLECTOR_FIELD_NUMBER: _ClassVar[int]
    CLUSTER_ID_FIELD_NUMBER: _ClassVar[int]
    ECMP_FIELD_NUMBER: _ClassVar[int]
    TRANSIT_ROUTING_FIELD_NUMBER: _ClassVar[int]
    LOCAL_IPV6_ADDRESS_FIELD_NUMBER: _ClassVar[int]
    asn: int
    router_id: str
    networks: _containers.RepeatedScalarFieldContainer[str]
    peers: _containers.RepeatedCompositeFieldContainer[BgpPeer]
    aggregates: _containers.RepeatedCompositeFieldContainer[BgpAggregate]
    dampening: BgpDampening
    route_reflector: bool
    cluster_id: str
    ecmp: bool
    transit_routing: bool
    local_ipv6_address: str
    def __init__(self, asn: _Optional[int] = ..., router_id: _Optional[str] = ..., networks: _Optional[_Iterable[str]] = ..., peers: _Optional[_Iterable[_Union[BgpPeer, _Mapping]]] = ..., aggregates: _Optional[_Iterable[_Union[BgpAggregate, _Mapping]]] = ..., dampening: _Optional[_Union[BgpDampening, _Mapping]] = ..., route_reflector: _Optional[bool] = ..., cluster_id: _Optional[str] = ..., ecmp: _Optional[bool] = ..., transit_routing: _Optional[bool] = ..., local_ipv6_address: _Optional[str] = ...) -> None: ...

class BgpPeer(_message.Message):
    __slots__ = ("name", "address", "asn", "hold_time_s", "passive", "max_prefixes", "weight", "route_reflector_client", "inbound", "outbound", "stopped", "idle_hold_time_s")
    NAME_FIELD_NUMBER: _ClassVar[int]
    ADDRESS_FIELD_NUMBER: _ClassVar[int]
    ASN_FIELD_NUMBER: _ClassVar[int]
    HOLD_TIME_S_FIELD_NUMBER: _ClassVar[int]
    PASSIVE_FIELD_NUMBER: _ClassVar[int]
    MAX_PREFIXES_FIELD_NUMBER: _ClassVar[int]
    WEIGHT_FIELD_NUMBER: _ClassVar[int]
    ROUTE_REFLECTOR_CLIENT_FIELD_NUMBER: _ClassVar[int]
    INBOUND_FIELD_NUMBER: _ClassVar[int]
    OUTBOUND_FIELD_NUMBER: _ClassVar[int]
    STOPPED_FIELD_NUMBER: _ClassVar[int]
    IDLE_HOLD_TIME_S_FIELD_NUMBER: _ClassVar[int]
    name: str
    address: str
    asn: int
    hold_time_s: int
    passive: bool
    max_prefixes: int
    weight: int
    route_reflector_client: bool
    inbound: _containers.RepeatedCompositeFieldContainer[BgpPolicy]
    outbound: _containers.RepeatedCompositeFieldContainer[BgpPolicy]
    stopped: bool
    idle_hold_time_s: int
    def __init__(self, name: _Optional[str] = ..., address: _Optional[str] = ..., asn: _Optional[int] = ..., hold_time_s: _Optional[int] = ..., passive: _Optional[bool] = ..., max_prefixes: _Optional[int] = ..., weight: _Optional[int] = ..., route_reflector_client: _Optional[bool] = ..., inbound: _Optional[_Iterable[_Union[BgpPolicy, _Mapping]]] = ..., outbound: _Optional[_Iterable[_Union[BgpPolicy, _Mapping]]] = ..., stopped: _Optional[bool] = ..., idle_hold_time_s: _Optional[int] = ...) -> None: ...

class BgpPolicy(_message.Message):
    __slots__ = ("name", "action", "match_prefixes", "ignore_prefixes", "match_asns", "match_communities", "match_next_hops", "set_local_preference", "set_med", "clear_med", "set_next_hop", "add_communities", "remove_communities", "remove_all_communities")
    NAME_FIELD_NUMBER: _ClassVar[int]
    ACTION_FIELD_NUMBER: _ClassVar[int]
    MATCH_PREFIXES_FIELD_NUMBER: _ClassVar[int]
    IGNORE_PREFIXES_FIELD_NUMBER: _ClassVar[int]
    MATCH_ASNS_FIELD_NUMBER: _ClassVar[int]
    MATCH_COMMUNITIES_FIELD_NUMBER: _ClassVar[int]
    MATCH_NEXT_HOPS_FIELD_NUMBER: _ClassVar[int]
    SET_LOCAL_PREFERENCE_FIELD_NUMBER: _ClassVar[int]
    SET_MED_FIELD_NUMBER: _ClassVar[int]
    CLEAR_MED_FIELD_NUMBER: _ClassVar[int]
    SET_NEXT_HOP_FIELD_NUMBER: _ClassVar[int]
    ADD_COMMUNITIES_FIELD_NUMBER: _ClassVar[int]
    REMOVE_COMMUNITIES_FIELD_NUMBER: _ClassVar[int]
    REMOVE_ALL_COMMUNITIES_FIELD_NUMBER: _ClassVar[int]
    name: str
    action: str
    match_prefixes: _containers.RepeatedScalarFieldContainer[str]
    ignore_prefixes: _containers.RepeatedScalarFieldContainer[str]
    match_asns: _containers.RepeatedCompositeFieldContainer[AsnRange]
    match_communities: _containers.RepeatedScalarFieldContainer[str]
    match_next_hops: _containers.RepeatedScalarFieldContainer[str]
    set_local_preference: int
    set_med: int
    clear_med: bool
    set_next_hop: str
    add_communities: _containers.RepeatedScalarFieldContainer[str]
    remove_communities: _containers.RepeatedScalarFieldContainer[str]
    remove_all_communities: bool
    def __init__(self, name: _Optional[str] = ..., action: _Optional[str] = ..., match_prefixes: _Optional[_Iterable[str]] = ..., ignore_prefixes: _Optional[_Iterable[str]] = ..., match_asns: _Optional[_Iterable[_Union[AsnRange, _Mapping]]] = ..., match_communities: _Optional[_Iterable[str]] = ..., match_next_hops: _Optional[_Iterable[str]] = ..., set_local_preference: _Optional[int] = ..., set_med: _Optional[int] = ..., clear_med: _Optional[bool] = ..., set_next_hop: _Optional[str] = ..., add_communities: _Optional[_Iterable[str]] = ..., remove_communities: _Optional[_Iterable[str]] = ..., remove_all_communities: _Optional[bool] = ...) -> None: ...

class AsnRange(_message.Message):
    __slots__ = ("first", "last")
    FIRST_FIELD_NUMBER: _ClassVar[int]
    LAST_FIELD_NUMBER: _ClassVar[int]
    first: int
    last: int
    def __init__(self, first: _Optional[int] = ..., last: _Optional[int] = ...) -> None: ...

class BgpAggregate(_message.Message):
    __slots__ = ("prefix", "summary_only", "preserve_as_path")
    PREFIX_FIELD_NUMBER: _ClassVar[int]
    SUMMARY_ONLY_FIELD_NUMBER: _ClassVar[int]
    PRESERVE_AS_PATH_FIELD_NUMBER: _ClassVar[int]
    prefix: str
    summary_only: bool
    preserve_as_path: bool
    def __init__(self, prefix: _Optional[str] = ..., summary_only: _Optional[bool] = ..., preserve_as_path: _Optional[bool] = ...) -> None: ...

class BgpDampening(_message.Message):
    __slots__ = ("half_life_s", "reuse", "suppress", "maximum_s")
    HALF_LIFE_S_FIELD_NUMBER: _ClassVar[int]
    REUSE_FIELD_NUMBER: _ClassVar[int]
    SUPPRESS_FIELD_NUMBER: _ClassVar[int]
    MAXIMUM_S_FIELD_NUMBER: _ClassVar[int]
    half_life_s: int
    reuse: int
    suppress: int
    maximum_s: int
    def __init__(self, half_life_s: _Optional[int] = ..., reuse: _Optional[int] = ..., suppress: _Optional[int] = ..., maximum_s: _Optional[int] = ...) -> None: ...

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
    __slots__ = ("rdid", "name", "state", "since_unix_s", "bytes_in", "bytes_out", "last_error", "clients")
    RDID_FIELD_NUMBER: _ClassVar[int]
    NAME_FIELD_NUMBER: _ClassVar[int]
    STATE_FIELD_NUMBER: _ClassVar[int]
    SINCE_UNIX_S_FIELD_NUMBER: _ClassVar[int]
    BYTES_IN_FIELD_NUMBER: _ClassVar[int]
    BYTES_OUT_FIELD_NUMBER: _ClassVar[int]
    LAST_ERROR_FIELD_NUMBER: _ClassVar[int]
    CLIENTS_FIELD_NUMBER: _ClassVar[int]
    rdid: str
    name: str
    state: str
    since_unix_s: int
    bytes_in: int
    bytes_out: int
    last_error: str
    clients: _containers.RepeatedCompositeFieldContainer[DialInClient]
    def __init__(self, rdid: _Optional[str] = ..., name: _Optional[str] = ..., state: _Optional[str] = ..., since_unix_s: _Optional[int] = ..., bytes_in: _Optional[int] = ..., bytes_out: _Optional[int] = ..., last_error: _Optional[str] = ..., clients: _Optional[_Iterable[_Union[DialInClient, _Mapping]]] = ...) -> None: ...

class DialInClient(_message.Message):
    __slots__ = ("user", "address", "since_unix_s", "bytes_in", "bytes_out")
    USER_FIELD_NUMBER: _ClassVar[int]
    ADDRESS_FIELD_NUMBER: _ClassVar[int]
    FROM_FIELD_NUMBER: _ClassVar[int]
    SINCE_UNIX_S_FIELD_NUMBER: _ClassVar[int]
    BYTES_IN_FIELD_NUMBER: _ClassVar[int]
    BYTES_OUT_FIELD_NUMBER: _ClassVar[int]
    user: str
    address: str
    since_unix_s: int
    bytes_in: int
    bytes_out: int
    def __init__(self, user: _Optional[str] = ..., address: _Optional[str] = ..., since_unix_s: _Optional[int] = ..., bytes_in: _Optional[int] = ..., bytes_out: _Optional[int] = ..., **kwargs) -> None: ...

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
