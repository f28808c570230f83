//! Flags that many commands have in the same words.

use super::{Flag, Kind, flag};

/// The keys that leave a session.
pub(crate) const DETACH_KEYS: Flag = flag(
    "detach-keys",
    '\0',
    Kind::Text,
    "string",
    "",
    "Override the key sequence for detaching a container",
);

/// What a list shows.
pub(crate) const FILTER: Flag = flag(
    "filter",
    'f',
    Kind::List,
    "filter",
    "",
    "Filter output based on conditions provided",
);

/// `--insecure`, of commands that ask a registry.
pub(crate) const INSECURE: Flag = flag(
    "insecure",
    '\0',
    Kind::Bool,
    "",
    "",
    "Allow communication with an insecure registry",
);

/// What `prune` removes.
pub(crate) const FILTER_PRUNE: Flag = flag(
    "filter",
    '\0',
    Kind::List,
    "filter",
    "",
    "Provide filter values (e.g. \"until=<timestamp>\")",
);

/// `prune` without a question.
pub(crate) const FORCE_PRUNE: Flag = flag("force", 'f', Kind::Bool, "", "", "Do not prompt for confirmation");

/// How a list is printed.
pub(crate) const FORMAT_LIST: Flag = flag(
    "format",
    '\0',
    Kind::Text,
    "string",
    "",
    "Format output using a custom template:\n'table':            Print output in table format with column headers (default)\n'table TEMPLATE':   Print output in table format using the given Go template\n'json':             Print in JSON format\n'TEMPLATE':         Print output using the given Go template.\nRefer to https://docs.docker.com/go/formatting/ for more information about formatting output with templates",
);

/// How `inspect` prints an object.
pub(crate) const FORMAT_OBJECT: Flag = flag(
    "format",
    'f',
    Kind::Text,
    "string",
    "",
    "Format output using a custom template:\n'json':             Print in JSON format\n'TEMPLATE':         Print output using the given Go template.\nRefer to https://docs.docker.com/go/formatting/ for more information about formatting output with templates",
);

/// Whole ids and texts.
pub(crate) const NO_TRUNC: Flag = flag("no-trunc", '\0', Kind::Bool, "", "", "Don't truncate output");
