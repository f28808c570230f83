//! What is asked of a build.

use std::any::Any;
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;

use api_types::container::HostConfig;
use distribution::Keyring;
use oci::image::RunConfig;
use oci::reference::Reference;

use crate::{BuildError, Client};

/// A secret that RUN may mount.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret {
    /// Its name.
    pub id: String,
    /// Its content.
    pub value: Vec<u8>,
}

impl std::fmt::Debug for Secret {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        // Its content belongs in no log.
        f.debug_struct("Secret")
            .field("id", &self.id)
            .finish_non_exhaustive()
    }
}

/// Files of a named context.
#[derive(Clone)]
pub struct Directory {
    /// Where they are; a directory of the daemon's own.
    pub path: PathBuf,
    /// Whatever must live as long as they are in use.
    pub guard: Arc<dyn Any + Send + Sync>,
}

impl std::fmt::Debug for Directory {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Directory").field(&self.path).finish()
    }
}

/// `POST /build`.
#[derive(Clone, Debug, Default)]
pub struct BuildRequest {
    /// The Dockerfile's path in the context; empty for `Dockerfile`.
    pub dockerfile: String,
    /// Names for the image.
    pub tags: Vec<String>,
    /// Values for ARG; `None` leaves the default.
    pub build_args: BTreeMap<String, Option<String>>,
    /// Labels for the image.
    pub labels: BTreeMap<String, String>,
    /// The stage to build; empty for the last one.
    pub target: String,
    /// The platform of FROM.
    pub platform: String,
    /// Pull the images of FROM and `--from` even when they are here.
    pub pull: bool,
    /// Who asks registries for them.
    pub keyring: Keyring,
    /// Find no step in the cache.
    pub no_cache: bool,
    /// Stages whose steps are found in no cache.
    pub no_cache_filter: Vec<String>,
    /// Images whose steps count as cached.
    pub cache_from: Vec<String>,
    /// Where such images are named, steps of other images do not count: Docker's classic builder has it so, BuildKit not.
    pub cache_only_from: bool,
    /// Tell nothing but the id.
    pub quiet: bool,
    /// Tell why a step was or was not in the cache.
    pub explain: bool,
    /// Check the Dockerfile only.
    pub check: bool,
    /// What is taken away of all that bases set, as with `FROM --reset`.
    pub unset: Vec<String>,
    /// What steps may ask for: `security.insecure`.
    pub allow: Vec<String>,
    /// Put all new layers into one.
    pub squash: bool,
    /// Keep the containers of steps that end well (`rm=0`).
    pub keep_containers: bool,
    /// Remove the container of a step that fails, too.
    pub force_remove: bool,
    /// The network of RUN; empty for the default.
    pub network: String,
    /// Limits, hosts and security options of RUN.
    pub host_config: HostConfig,
    /// Secrets for RUN.
    pub secrets: Vec<Secret>,
    /// Who has more secrets, agents and credentials, if anybody.
    pub client: Option<Arc<dyn Client>>,
    /// The URL of a Dockerfile, an archive or a repository that is the context; empty when the body is.
    pub remote: String,
    /// Named contexts: `docker-image://NAME`, `oci-layout://DIRECTORY[:TAG|@DIGEST]`, `sent:DIRECTORY` or a URL, where
    /// DIRECTORY stands at the top of the archive that is the body.
    pub contexts: BTreeMap<String, String>,
    /// Named contexts whose files are here already.
    pub directories: BTreeMap<String, Directory>,
    /// Say which image is before a step that fails, so that a shell can be opened in it.
    pub debug: bool,
    /// Say at the end which images the stages have become.
    pub tell_stages: bool,
    /// A name to cancel the build by.
    pub build_id: String,
    /// `SOURCE_DATE_EPOCH`: seconds since 1970 for all times of the image.
    pub epoch: Option<i64>,
}

impl BuildRequest {
    /// Refuses at once what can never be built.
    ///
    /// # Errors
    /// [`BuildError`].
    pub fn check(&self) -> Result<(), BuildError> {
        self.tags.iter().try_for_each(|text| tag(text).map(|_| ()))?;
        crate::configure::reset(&mut RunConfig::default(), &self.unset)?;
        for entitlement in &self.allow {
            let name = entitlement.split('=').next().unwrap_or_default();
            if !["network.host", "security.insecure", "device"].contains(&name) {
                return Err(BuildError::Parameter(format!(
                    "unknown entitlement {entitlement}"
                )));
            }
        }
        Ok(())
    }
}

/// A name for the image.
pub(crate) fn tag(text: &str) -> Result<Reference, BuildError> {
    let wrong = || {
        BuildError::Parameter(format!(
            "invalid argument {text:?} for \"-t, --tag\" flag: invalid reference format"
        ))
    };
    let name = Reference::parse_normalized(text).map_err(|_| wrong())?;
    if name.digest().is_some() {
        return Err(BuildError::Parameter(
            "build tag cannot contain a digest".to_owned(),
        ));
    }
    Ok(name.tag_or_latest())
}
