//! Every key of `daemon.json` that dockerd knows or ever knew, and the flags that go with them.

/// What becomes of a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum State {
    /// It is obeyed.
    Acts,
    /// Its feature is not here yet: a warning.
    Later,
    /// Its feature is not here, and to ignore it would be unsafe: no start, if it is set.
    Refused,
    /// dockerd has dropped it: a warning.
    Gone,
}

/// What a flag takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// `--x`, `--x=false`.
    Switch,
    /// One text.
    Text,
    /// A whole number.
    Number,
    /// Bytes: `64m`.
    Size,
    /// May be repeated.
    List,
    /// `name=value`, may be repeated.
    Map,
    /// `name=soft[:hard]`, may be repeated.
    Ulimits,
    /// `base=CIDR,size=N`, may be repeated.
    Pools,
    /// `name=path`, may be repeated.
    Runtimes,
    /// Only in the file.
    FileOnly,
}

/// One key.
#[derive(Debug)]
pub(crate) struct Key {
    /// In `daemon.json`.
    pub(crate) name: &'static str,
    /// On the command line, where it differs.
    pub(crate) flag: &'static str,
    /// On the command line in one letter.
    pub(crate) short: Option<char>,
    pub(crate) kind: Kind,
    pub(crate) state: State,
    /// For `--help`.
    pub(crate) help: &'static str,
}

/// The key of that name.
pub(crate) fn find(name: &str) -> Option<&'static Key> {
    KEYS.iter().find(|k| k.name == name)
}

const fn acts(name: &'static str, kind: Kind, help: &'static str) -> Key {
    Key {
        name,
        flag: name,
        short: None,
        kind,
        state: State::Acts,
        help,
    }
}

const fn flag(
    name: &'static str,
    flag: &'static str,
    short: Option<char>,
    kind: Kind,
    help: &'static str,
) -> Key {
    Key {
        name,
        flag,
        short,
        kind,
        state: State::Acts,
        help,
    }
}

const fn other(name: &'static str, state: State) -> Key {
    Key {
        name,
        flag: name,
        short: None,
        kind: Kind::FileOnly,
        state,
        help: "",
    }
}

/// A key and flag of dockerd that is taken with a warning, so that its command line starts dhowd as well.
const fn later(name: &'static str, kind: Kind) -> Key {
    Key {
        kind,
        ..other(name, State::Later)
    }
}

const fn refused(name: &'static str, kind: Kind) -> Key {
    Key {
        kind,
        ..other(name, State::Refused)
    }
}

const fn gone(name: &'static str) -> Key {
    other(name, State::Gone)
}

impl Key {
    /// Where the flag's name is not the key's.
    const fn by_flag(self, flag: &'static str) -> Self {
        Self { flag, ..self }
    }
}

/// All keys by name.
pub(crate) static KEYS: &[Key] = &[
    later("allow-direct-routing", Kind::Switch),
    gone("api-cors-header"),
    refused("authorization-plugins", Kind::List).by_flag("authorization-plugin"),
    acts("bip", Kind::Text, "Address and prefix of the default bridge"),
    later("bip6", Kind::Text),
    other("blocked-registries", State::Acts),
    flag(
        "bridge",
        "bridge",
        Some('b'),
        Kind::Text,
        "Name of the default bridge, or \"none\" for no bridge",
    ),
    later("bridge-accept-fwmark", Kind::Text),
    later("builder", Kind::FileOnly),
    later("cdi-spec-dirs", Kind::List).by_flag("cdi-spec-dir"),
    acts("cgroup-parent", Kind::Text, "Parent cgroup of all containers"),
    gone("cluster-advertise"),
    gone("cluster-store"),
    gone("cluster-store-opts"),
    later("containerd", Kind::Text),
    later("containerd-namespace", Kind::Text),
    later("containerd-plugin-namespace", Kind::Text).by_flag("containerd-plugins-namespace"),
    later("cpu-rt-period", Kind::Number),
    later("cpu-rt-runtime", Kind::Number),
    later("cri-containerd", Kind::Switch),
    acts("data-root", Kind::Text, "Root directory of persistent state"),
    flag("debug", "debug", Some('D'), Kind::Switch, "Enable debug mode"),
    flag(
        "default-address-pools",
        "default-address-pool",
        None,
        Kind::Pools,
        "Address pools for networks",
    ),
    acts(
        "default-cgroupns-mode",
        Kind::Text,
        "Default cgroup namespace of containers (\"host\" or \"private\")",
    ),
    acts(
        "default-gateway",
        Kind::Text,
        "IPv4 gateway of containers in the default bridge",
    ),
    acts(
        "default-gateway-v6",
        Kind::Text,
        "IPv6 gateway of containers in the default bridge",
    ),
    later("default-init", Kind::FileOnly),
    acts(
        "default-ipc-mode",
        Kind::Text,
        "Default IPC namespace of containers (\"shareable\" or \"private\")",
    ),
    later("default-network-opts", Kind::List).by_flag("default-network-opt"),
    acts(
        "default-runtime",
        Kind::Text,
        "OCI runtime of containers that do not name one",
    ),
    acts("default-shm-size", Kind::Size, "Default size of /dev/shm"),
    acts(
        "default-stop-timeout",
        Kind::Number,
        "Default seconds between the stop signal and SIGKILL",
    ),
    flag(
        "default-ulimits",
        "default-ulimit",
        None,
        Kind::Ulimits,
        "Default ulimits of containers",
    ),
    gone("disable-legacy-registry"),
    acts("dns", Kind::List, "DNS server to use"),
    flag("dns-opts", "dns-opt", None, Kind::List, "DNS options to use"),
    acts("dns-search", Kind::List, "DNS search domains to use"),
    flag(
        "exec-opts",
        "exec-opt",
        None,
        Kind::List,
        "Runtime execution options: native.cgroupdriver=cgroupfs or =systemd",
    ),
    acts("exec-root", Kind::Text, "Root directory of volatile state"),
    later("experimental", Kind::Switch),
    later("features", Kind::Map).by_flag("feature"),
    later("firewall-backend", Kind::Text),
    acts(
        "fixed-cidr",
        Kind::Text,
        "IPv4 range for addresses in the default bridge",
    ),
    acts("fixed-cidr-v6", Kind::Text, "IPv6 subnet of the default bridge"),
    other("graph", State::Gone),
    flag(
        "group",
        "group",
        Some('G'),
        Kind::Text,
        "Group of the unix socket",
    ),
    later("host-gateway-ip", Kind::FileOnly),
    later("host-gateway-ips", Kind::List).by_flag("host-gateway-ip"),
    flag(
        "hosts",
        "host",
        Some('H'),
        Kind::List,
        "Sockets to listen on: unix://PATH, tcp://HOST:PORT, fd://",
    ),
    acts("http-proxy", Kind::Text, "HTTP proxy for what the daemon fetches"),
    acts(
        "https-proxy",
        Kind::Text,
        "HTTPS proxy for what the daemon fetches",
    ),
    acts(
        "icc",
        Kind::Switch,
        "Let containers of the default bridge talk to each other",
    ),
    other("image-gc", State::Acts),
    acts("init", Kind::Switch, "Run an init in every container"),
    later("init-path", Kind::Text),
    flag(
        "insecure-registries",
        "insecure-registry",
        None,
        Kind::List,
        "Registries whose certificates are not checked: host[:port] or CIDR",
    ),
    acts(
        "ip",
        Kind::Text,
        "Host address on which ports are published by default",
    ),
    acts(
        "ip-forward",
        Kind::Switch,
        "Enable forwarding in the host's kernel",
    ),
    later("ip-forward-no-drop", Kind::Switch),
    acts(
        "ip-masq",
        Kind::Switch,
        "Enable IP masquerading for the default bridge",
    ),
    later("ip6tables", Kind::Switch),
    acts("iptables", Kind::Switch, "Write firewall rules"),
    later("ipv6", Kind::Switch),
    flag(
        "labels",
        "label",
        None,
        Kind::List,
        "Set key=value labels of the daemon",
    ),
    acts(
        "live-restore",
        Kind::Switch,
        "Let containers outlive the daemon (the default)",
    ),
    acts("log-driver", Kind::Text, "Default log driver of containers"),
    acts(
        "log-format",
        Kind::Text,
        "Format of the daemon's own log (\"text\" or \"json\")",
    ),
    flag(
        "log-level",
        "log-level",
        Some('l'),
        Kind::Text,
        "Level of the daemon's own log (debug, info, warn, error, fatal)",
    ),
    flag(
        "log-opts",
        "log-opt",
        None,
        Kind::Map,
        "Default options of the log driver",
    ),
    acts(
        "max-concurrent-downloads",
        Kind::Number,
        "Layers that a pull fetches at once",
    ),
    acts(
        "max-concurrent-uploads",
        Kind::Number,
        "Layers that a push sends at once",
    ),
    acts(
        "max-download-attempts",
        Kind::Number,
        "Attempts to fetch a layer before it has failed",
    ),
    later("metrics-addr", Kind::Text),
    acts("min-api-version", Kind::Text, "Oldest API version to serve"),
    acts("mtu", Kind::Number, "MTU of the default bridge"),
    later("network-control-plane-mtu", Kind::Number),
    later("network-diagnostic-port", Kind::FileOnly),
    acts(
        "no-new-privileges",
        Kind::Switch,
        "Set no-new-privileges for every container",
    ),
    acts("no-proxy", Kind::Text, "Hosts that are reached without a proxy"),
    later("node-generic-resources", Kind::List).by_flag("node-generic-resource"),
    later("nri-opts", Kind::FileOnly),
    gone("oom-score-adjust"),
    flag(
        "pidfile",
        "pidfile",
        Some('p'),
        Kind::Text,
        "Path of the file with the daemon's process id",
    ),
    other("proxies", State::Acts),
    acts(
        "raw-logs",
        Kind::Switch,
        "The daemon's own log without colours (it never has any)",
    ),
    other("registry-mirror-prefixes", State::Acts),
    flag(
        "registry-mirrors",
        "registry-mirror",
        None,
        Kind::List,
        "Mirrors of Docker Hub",
    ),
    acts("resolv-conf", Kind::Text, "The host's resolv.conf"),
    later("rootless", Kind::Switch),
    flag(
        "runtimes",
        "add-runtime",
        None,
        Kind::Runtimes,
        "OCI runtime to offer besides the built-in one: name=path",
    ),
    acts(
        "seccomp-profile",
        Kind::Text,
        "Path of a seccomp profile, \"builtin\" or \"unconfined\"",
    ),
    refused("selinux-enabled", Kind::Switch),
    acts(
        "shutdown-timeout",
        Kind::Number,
        "Seconds that containers get at a shutdown with live-restore off",
    ),
    other("signature-policy", State::Acts),
    flag(
        "storage-driver",
        "storage-driver",
        Some('s'),
        Kind::Text,
        "Storage driver: overlay2, btrfs or vfs (default: what the data root has, or the first that works)",
    ),
    flag(
        "storage-opts",
        "storage-opt",
        None,
        Kind::List,
        "Storage driver options: size=BYTES, btrfs.min_space=BYTES",
    ),
    later("swarm-default-advertise-addr", Kind::Text),
    later("swarm-raft-election-tick", Kind::FileOnly),
    later("swarm-raft-heartbeat-tick", Kind::FileOnly),
    refused("tls", Kind::Switch),
    refused("tlscacert", Kind::Text),
    refused("tlscert", Kind::Text),
    refused("tlskey", Kind::Text),
    refused("tlsverify", Kind::Switch),
    later("userland-proxy", Kind::Switch),
    later("userland-proxy-path", Kind::Text),
    refused("userns-remap", Kind::Text),
];
