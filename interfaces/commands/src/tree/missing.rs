//! Commands of docker's that are not built yet: they are in the tree, and say so.

/// Names (several mean the same) and the line about each.
pub(super) type Names = &'static [(&'static str, &'static str)];

/// `dhow checkpoint`.
pub(super) const CHECKPOINT: Names = &[
    ("create", "Create a checkpoint from a running container"),
    ("ls list", "List checkpoints for a container"),
    ("rm remove", "Remove a checkpoint"),
];

/// `dhow plugin`.
pub(super) const PLUGIN: Names = &[
    (
        "create",
        "Create a plugin from a rootfs and configuration. Plugin data directory must contain config.json and rootfs directory.",
    ),
    ("disable", "Disable a plugin"),
    ("enable", "Enable a plugin"),
    ("inspect", "Display detailed information on one or more plugins"),
    ("install", "Install a plugin"),
    ("ls list", "List plugins"),
    ("push", "Push a plugin to a registry"),
    ("rm remove", "Remove one or more plugins"),
    ("set", "Change settings for a plugin"),
    ("upgrade", "Upgrade an existing plugin"),
];

/// `dhow config`.
pub(super) const CONFIG: Names = &[
    ("create", "Create a config from a file or STDIN"),
    ("inspect", "Display detailed information on one or more configs"),
    ("ls list", "List configs"),
    ("rm remove", "Remove one or more configs"),
];

/// `dhow node`.
pub(super) const NODE: Names = &[
    ("demote", "Demote one or more nodes from manager in the swarm"),
    ("inspect", "Display detailed information on one or more nodes"),
    ("ls list", "List nodes in the swarm"),
    ("promote", "Promote one or more nodes to manager in the swarm"),
    (
        "ps",
        "List tasks running on one or more nodes, defaults to current node",
    ),
    ("rm remove", "Remove one or more nodes from the swarm"),
    ("update", "Update a node"),
];

/// `dhow secret`.
pub(super) const SECRET: Names = &[
    ("create", "Create a secret from a file or STDIN as content"),
    ("inspect", "Display detailed information on one or more secrets"),
    ("ls list", "List secrets"),
    ("rm remove", "Remove one or more secrets"),
];

/// `dhow service`.
pub(super) const SERVICE: Names = &[
    ("create", "Create a new service"),
    ("inspect", "Display detailed information on one or more services"),
    ("logs", "Fetch the logs of a service or task"),
    ("ls list", "List services"),
    ("ps", "List the tasks of one or more services"),
    ("rm remove", "Remove one or more services"),
    ("rollback", "Revert changes to a service's configuration"),
    ("scale", "Scale one or multiple replicated services"),
    ("update", "Update a service"),
];

/// `dhow stack`.
pub(super) const STACK: Names = &[
    (
        "config",
        "Outputs the final config file, after doing merges and interpolations",
    ),
    ("deploy up", "Deploy a new stack or update an existing stack"),
    ("ls list", "List stacks"),
    ("ps", "List the tasks in the stack"),
    ("rm remove down", "Remove one or more stacks"),
    ("services", "List the services in the stack"),
];

/// `dhow swarm`.
pub(super) const SWARM: Names = &[
    ("ca", "Display and rotate the root CA"),
    ("init", "Initialize a swarm"),
    ("join", "Join a swarm as a node and/or manager"),
    ("join-token", "Manage join tokens"),
    ("leave", "Leave the swarm"),
    ("unlock", "Unlock swarm"),
    ("unlock-key", "Manage the unlock key"),
    ("update", "Update the swarm"),
];
