//! What is asked of registries beside images: logins and searches.

use std::sync::Arc;

use distribution::Credentials;
use distribution::search::Found;

use crate::{ImageError, Images};

impl Images {
    /// Whether a registry (empty: Docker Hub) takes these credentials; the identity token, if it gives one.
    ///
    /// # Errors
    /// [`ImageError::Fetch`].
    pub async fn login(
        self: &Arc<Self>,
        credentials: &Credentials,
        server: &str,
    ) -> Result<Option<String>, ImageError> {
        Ok(distribution::login::login(&self.registries.settings(), credentials, server).await?)
    }

    /// Repositories for `[registry/]term`.
    ///
    /// # Errors
    /// [`ImageError::Fetch`], [`ImageError::Name`].
    pub async fn search(
        self: &Arc<Self>,
        term: &str,
        limit: usize,
        credentials: &Credentials,
    ) -> Result<Vec<Found>, ImageError> {
        if term.contains("://") {
            return Err(ImageError::Name(
                "invalid repository name: repository name should not have a scheme",
            ));
        }
        let is_registry = |first: &str| first.contains(['.', ':']) || first == "localhost";
        let (domain, term) = match term.split_once('/') {
            Some((first, rest)) if is_registry(first) => (first, rest),
            _ => ("docker.io", term),
        };
        let settings = self.registries.settings();
        Ok(distribution::search::search(&settings, credentials, domain, term, limit).await?)
    }
}
