//! `dhow manifest annotate`.

use super::reference;
use super::store::Store;
use crate::app::App;
use crate::failure::{Failure, Outcome};
use crate::flags::{Kind, Parsed, flag};
use crate::tree::{Command, Count, run};

#[rustfmt::skip] // One line per flag: it is a table.
pub(crate) static COMMAND: Command = Command {
    usage: "[OPTIONS] MANIFEST_LIST MANIFEST",
    about: "Add additional information to a local image manifest",
    aliases: "",
    count: Count::Exactly(2),
    stop_early: false,
    flags: &[
        flag("arch", '\0', Kind::Text, "string", "", "Set architecture"),
        flag("os", '\0', Kind::Text, "string", "", "Set operating system"),
        flag("os-features", '\0', Kind::Strings, "strings", "", "Set operating system feature"),
        flag("os-version", '\0', Kind::Text, "string", "", "Set operating system version"),
        flag("variant", '\0', Kind::Text, "string", "", "Set architecture variant"),
    ],
    run: run!(execute),
};

/// What an image in a list may be for: docker's table, and Go's ports since.
const KNOWN: &[(&str, &[&str])] = &[
    ("aix", &["ppc64"]),
    ("android", &["386", "amd64", "arm", "arm64"]),
    ("darwin", &["386", "amd64", "arm", "arm64"]),
    ("dragonfly", &["amd64"]),
    ("freebsd", &["386", "amd64", "arm", "arm64", "riscv64"]),
    ("illumos", &["amd64"]),
    ("js", &["wasm"]),
    (
        "linux",
        &[
            "386", "amd64", "arm", "arm64", "loong64", "mips", "mips64", "mips64le", "mipsle", "ppc64",
            "ppc64le", "riscv64", "s390x",
        ],
    ),
    ("netbsd", &["386", "amd64", "arm", "arm64"]),
    ("openbsd", &["386", "amd64", "arm", "arm64"]),
    ("plan9", &["386", "amd64", "arm"]),
    ("solaris", &["amd64"]),
    ("wasip1", &["wasm"]),
    ("windows", &["386", "amd64", "arm", "arm64"]),
];

async fn execute(app: &App, args: &Parsed) -> Outcome {
    let (list, name) = (reference(args.arg(0))?, reference(args.arg(1))?);
    let store = Store::of(app);
    let Some(mut member) = store.member(&list, &name)? else {
        return Err(Failure::new(format!(
            "manifest for image {} does not exist in {}",
            name.familiar(),
            list.familiar()
        )));
    };
    let platform = member.descriptor.platform.get_or_insert_default();
    let given = |flag: &str| Some(args.text(flag).to_owned()).filter(|text| !text.is_empty());
    platform.os = given("os").unwrap_or_else(|| std::mem::take(&mut platform.os));
    platform.architecture = given("arch").unwrap_or_else(|| std::mem::take(&mut platform.architecture));
    platform.variant = given("variant").or(platform.variant.take());
    platform.os_version = given("os-version").or(platform.os_version.take());
    for feature in args.all("os-features") {
        if !platform.os_features.contains(&feature) {
            platform.os_features.push(feature);
        }
    }
    let fits = |(os, architectures): &(&str, &[&str])| {
        *os == platform.os && architectures.contains(&platform.architecture.as_str())
    };
    if !KNOWN.iter().any(fits) {
        return Err(Failure::new(format!(
            "manifest entry for image has unsupported os/arch combination: {}/{}",
            platform.os, platform.architecture
        )));
    }
    store.save(&list, &name, &member)
}
