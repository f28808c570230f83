//! Docker's profile format: rules that hold only for some capabilities, architectures and kernels.

use oci::runtime::{Seccomp, SeccompAction, SeccompArch, SeccompFlag, SyscallArg, SyscallRule};
use serde::{Deserialize, Deserializer};

use super::Error;
use crate::capabilities::CapabilitySet;

/// What a profile's conditions are judged by.
#[derive(Clone, Copy, Debug)]
pub struct Context {
    /// The container's capabilities (its bounding set).
    pub capabilities: CapabilitySet,
    /// The native architecture.
    pub arch: SeccompArch,
    /// Version of the kernel: major, minor.
    pub kernel: (u32, u32),
}

impl Context {
    /// For this machine.
    pub fn native(capabilities: CapabilitySet) -> Context {
        let release = std::fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
        // A kernel that hides its version counts as old: it gets fewer calls, not more.
        Context {
            capabilities,
            arch: NATIVE,
            kernel: version(&release).unwrap_or((0, 0)),
        }
    }

    /// Docker's word for the architecture, as it stands in `includes.arches`.
    pub(super) fn arch_word(&self) -> &'static str {
        match self.arch {
            SeccompArch::X86_64 => "amd64",
            SeccompArch::X86 => "x86",
            SeccompArch::X32 => "x32",
            SeccompArch::Aarch64 => "arm64",
            SeccompArch::Arm => "arm",
            SeccompArch::Riscv64 => "riscv64",
            SeccompArch::S390x => "s390x",
            SeccompArch::S390 => "s390",
            SeccompArch::Ppc64le => "ppc64le",
            SeccompArch::Loongarch64 => "loong64",
            _ => "",
        }
    }
}

/// The architecture that this program was built for.
pub(super) const NATIVE: SeccompArch = if cfg!(target_arch = "x86_64") {
    SeccompArch::X86_64
} else if cfg!(target_arch = "aarch64") {
    SeccompArch::Aarch64
} else if cfg!(target_arch = "riscv64") {
    SeccompArch::Riscv64
} else {
    SeccompArch::Sheb
};

/// A profile as in Docker's `default.json`.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct Profile {
    default_action: Option<SeccompAction>,
    default_errno_ret: Option<u32>,
    #[serde(deserialize_with = "nullable")]
    architectures: Vec<SeccompArch>,
    #[serde(deserialize_with = "nullable")]
    arch_map: Vec<ArchEntry>,
    #[serde(deserialize_with = "nullable")]
    flags: Vec<SeccompFlag>,
    listener_path: String,
    listener_metadata: String,
    #[serde(deserialize_with = "nullable")]
    syscalls: Vec<Rule>,
}

/// An architecture and those whose programs its kernel also runs.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct ArchEntry {
    architecture: SeccompArch,
    #[serde(default, deserialize_with = "nullable")]
    sub_architectures: Vec<SeccompArch>,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct Rule {
    name: String,
    #[serde(deserialize_with = "nullable")]
    names: Vec<String>,
    action: SeccompAction,
    errno_ret: Option<u32>,
    #[serde(deserialize_with = "nullable")]
    args: Vec<SyscallArg>,
    #[serde(deserialize_with = "nullable")]
    includes: Filter,
    #[serde(deserialize_with = "nullable")]
    excludes: Filter,
}

/// When a rule holds, or does not.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct Filter {
    #[serde(deserialize_with = "nullable")]
    caps: Vec<String>,
    #[serde(deserialize_with = "nullable")]
    arches: Vec<String>,
    min_kernel: Option<KernelVersion>,
}

/// `MAJOR.MINOR`.
#[derive(Clone, Copy, Debug)]
struct KernelVersion((u32, u32));

impl<'de> Deserialize<'de> for KernelVersion {
    fn deserialize<D: Deserializer<'de>>(input: D) -> Result<Self, D::Error> {
        let text = String::deserialize(input)?;
        let wrong = || serde::de::Error::custom(format!("invalid kernel version: {text:?}"));
        let exact = text.split('.').count() == 2;
        version(&text)
            .filter(|v| exact && *v != (0, 0))
            .map(KernelVersion)
            .ok_or_else(wrong)
    }
}

impl Profile {
    /// Reads a profile file.
    pub fn parse(json: &[u8]) -> Result<Profile, Error> {
        let mut profile: Profile = serde_json::from_slice(json).map_err(Error::Decode)?;
        if !profile.architectures.is_empty() && !profile.arch_map.is_empty() {
            return Err(Error::Ambiguous("architectures", "archMap"));
        }
        for rule in &mut profile.syscalls {
            if rule.name.is_empty() {
                continue;
            }
            if !rule.names.is_empty() {
                return Err(Error::Ambiguous("name", "names"));
            }
            rule.names.push(std::mem::take(&mut rule.name));
        }
        Ok(profile)
    }

    /// Picks the rules that hold in `context`; `None` where the profile says nothing at all, which Docker takes for
    /// "no filter".
    pub fn resolve(&self, context: &Context) -> Option<Seccomp> {
        if self.default_action.is_none() && self.syscalls.is_empty() {
            return None;
        }
        let mut architectures = self.architectures.clone();
        if let Some(entry) = self
            .arch_map
            .iter()
            .find(|entry| entry.architecture == context.arch)
        {
            architectures.push(entry.architecture);
            architectures.extend(&entry.sub_architectures);
        }
        let holds = |rule: &&Rule| rule.includes.is_met(context) && !rule.excludes.is_touched(context);
        Some(Seccomp {
            default_action: self.default_action.unwrap_or_default(),
            default_errno_ret: self.default_errno_ret,
            architectures,
            flags: self.flags.clone(),
            listener_path: self.listener_path.clone(),
            listener_metadata: self.listener_metadata.clone(),
            syscalls: self.syscalls.iter().filter(holds).map(Rule::plain).collect(),
        })
    }
}

impl Rule {
    fn plain(&self) -> SyscallRule {
        SyscallRule {
            names: self.names.clone(),
            action: self.action,
            errno_ret: self.errno_ret,
            args: self.args.clone(),
        }
    }
}

impl Filter {
    /// As `includes`: every part that is given must be fulfilled, of the capabilities each one.
    fn is_met(&self, context: &Context) -> bool {
        (self.arches.is_empty() || self.arches.iter().any(|arch| arch == context.arch_word()))
            && self.caps.iter().all(|cap| context.capabilities.has_name(cap))
            && self.min_kernel.is_none_or(|least| context.kernel >= least.0)
    }

    /// As `excludes`: one part, of the capabilities one, is enough.
    fn is_touched(&self, context: &Context) -> bool {
        self.arches.iter().any(|arch| arch == context.arch_word())
            || self.caps.iter().any(|cap| context.capabilities.has_name(cap))
            || self.min_kernel.is_some_and(|least| context.kernel >= least.0)
    }
}

/// Major and minor number at the head of a kernel release.
fn version(text: &str) -> Option<(u32, u32)> {
    let mut parts = text.trim().split('.');
    let major = parts.next()?.parse().ok()?;
    let minor = parts.next()?;
    let digits = minor.find(|c: char| !c.is_ascii_digit()).unwrap_or(minor.len());
    Some((major, minor[..digits].parse().ok()?))
}

/// Go programs write `null` for what is empty.
fn nullable<'de, D, T>(input: D) -> Result<T, D::Error>
where
    D: Deserializer<'de>,
    T: Default + Deserialize<'de>,
{
    Ok(Option::deserialize(input)?.unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn context(caps: &[&str], arch: SeccompArch, kernel: (u32, u32)) -> Context {
        Context {
            capabilities: CapabilitySet::from_names(caps).expect("names"),
            arch,
            kernel,
        }
    }

    fn names(json: &str, context: &Context) -> Vec<String> {
        let profile = Profile::parse(json.as_bytes()).expect("profile");
        profile
            .resolve(context)
            .expect("filter")
            .syscalls
            .into_iter()
            .flat_map(|rule| rule.names)
            .collect()
    }

    #[test]
    fn conditions_pick_the_rules() {
        let json = r#"{"defaultAction":"SCMP_ACT_ERRNO","syscalls":[
            {"names":["always"],"action":"SCMP_ACT_ALLOW","args":null,"includes":{},"excludes":{}},
            {"name":"old","action":"SCMP_ACT_ALLOW"},
            {"names":["both"],"action":"SCMP_ACT_ALLOW","includes":{"caps":["CAP_BPF","CAP_KILL"]}},
            {"names":["neither"],"action":"SCMP_ACT_ALLOW","excludes":{"caps":["CAP_BPF","CAP_KILL"]}},
            {"names":["arm"],"action":"SCMP_ACT_ALLOW","includes":{"arches":["arm64","arm"]}},
            {"names":["new"],"action":"SCMP_ACT_ALLOW","includes":{"minKernel":"4.8"}}]}"#;
        let amd = SeccompArch::X86_64;
        assert_eq!(
            names(json, &context(&[], amd, (4, 7))),
            ["always", "old", "neither"]
        );
        assert_eq!(
            names(json, &context(&["CAP_BPF"], amd, (4, 8))),
            ["always", "old", "new"]
        );
        assert_eq!(
            names(
                json,
                &context(&["CAP_BPF", "CAP_KILL"], SeccompArch::Aarch64, (4, 10))
            ),
            ["always", "old", "both", "arm", "new"]
        );
    }

    #[test]
    fn ambiguous_profiles_are_refused_in_dockers_words() {
        for (json, expect) in [
            (
                r#"{"architectures":["SCMP_ARCH_X86"],"archMap":[{"architecture":"SCMP_ARCH_X86"}]}"#,
                "both 'architectures' and 'archMap' are specified in the seccomp profile, use either 'architectures' or 'archMap'",
            ),
            (
                r#"{"syscalls":[{"name":"a","names":["b"],"action":"SCMP_ACT_ALLOW"}]}"#,
                "both 'name' and 'names' are specified in the seccomp profile, use either 'name' or 'names'",
            ),
        ] {
            assert_eq!(
                Profile::parse(json.as_bytes()).expect_err("refused").to_string(),
                expect
            );
        }
        for version in ["4", "4.8.1", "x.y", "", "0.0"] {
            let json =
                format!(r#"{{"syscalls":[{{"names":["a"],"includes":{{"minKernel":"{version}"}}}}]}}"#);
            let error = Profile::parse(json.as_bytes()).expect_err("refused").to_string();
            assert!(
                error.starts_with("Decoding seccomp profile failed: invalid kernel version"),
                "{error}"
            );
        }
    }

    #[test]
    fn an_empty_profile_is_no_filter() {
        let profile = Profile::parse(b"{}").expect("profile");
        assert!(profile.resolve(&Context::native(CapabilitySet(0))).is_none());
    }

    #[test]
    fn kernel_releases_are_read() {
        assert_eq!(version("6.18.44-fc\n"), Some((6, 18)));
        assert_eq!(version("6.1-rc3"), Some((6, 1)));
        assert_eq!(version("6"), None);
    }
}
