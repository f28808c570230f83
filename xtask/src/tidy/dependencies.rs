//! What the crates of others may be: `deny.toml`, which `cargo deny` reads as well.

use anyhow::{Context, Result};
use serde::Deserialize;
use spdx::{Expression, LicenseReq};

use crate::workspace::{Metadata, Package, root};

#[derive(Deserialize)]
struct Deny {
    licenses: Licenses,
    bans: Bans,
}

#[derive(Deserialize)]
struct Licenses {
    allow: Vec<String>,
}

#[derive(Deserialize)]
struct Bans {
    deny: Vec<String>,
}

/// Crates whose licence, source or name is not allowed.
pub(super) fn check(metadata: &Metadata) -> Result<Vec<String>> {
    let path = root().join("deny.toml");
    let text = std::fs::read_to_string(&path).with_context(|| format!("reading {}", path.display()))?;
    let rules: Deny = toml::from_str(&text).context("reading deny.toml")?;
    let foreign = metadata
        .packages
        .iter()
        .filter(|package| !metadata.workspace_members.contains(&package.id));
    Ok(foreign.flat_map(|package| findings(package, &rules)).collect())
}

fn findings(package: &Package, rules: &Deny) -> Vec<String> {
    let (name, mut wrong) = (&package.name, Vec::new());
    if rules.bans.deny.contains(name) {
        wrong.push(format!("{name} is banned in deny.toml"));
    }
    // Not a git repository, nor a folder beside the workspace.
    if !package
        .source
        .as_deref()
        .is_some_and(|source| source.starts_with("registry+"))
    {
        wrong.push(format!("{name} does not come from the registry"));
    }
    match &package.license {
        Some(license) if !permitted(license, &rules.licenses.allow) => {
            wrong.push(format!("{name} is under {license}"));
        }
        Some(_) => {}
        None => wrong.push(format!("{name} names no licence")),
    }
    wrong
}

/// Whether a licence expression (also the old form with slashes) can be met by licences that are allowed.
fn permitted(license: &str, allow: &[String]) -> bool {
    let meets = |wanted: &LicenseReq| allow.contains(&wanted.to_string());
    Expression::parse_mode(license, spdx::ParseMode::LAX).is_ok_and(|expression| expression.evaluate(meets))
}

#[cfg(test)]
mod tests {
    use super::permitted;

    #[test]
    fn a_choice_needs_one_allowed_licence_and_a_sum_all() {
        let allow = ["MIT".to_owned(), "Apache-2.0".to_owned()];
        for good in [
            "MIT",
            "MIT/Apache-2.0",
            "GPL-3.0 OR MIT",
            "(MIT OR X11) AND Apache-2.0",
        ] {
            assert!(permitted(good, &allow), "{good}");
        }
        for bad in ["GPL-3.0", "MIT AND GPL-3.0", "no licence at all", ""] {
            assert!(!permitted(bad, &allow), "{bad}");
        }
    }
}
