//! `/images`: one method per call.

use api_types::Filters;
use api_types::container::Change;
use api_types::image::{IdResponse, Layer, LoginReply, Summary};

use crate::call::{Body, Reply};
use crate::query::{Query, segment};
use crate::{Client, ClientError};

/// What `import` makes of an archive.
#[derive(Clone, Debug, Default)]
pub struct ImportOptions {
    /// `-` if the archive is the body, else a URL that the daemon fetches.
    pub source: String,
    /// Name of the new image; may be empty.
    pub repository: String,
    /// Its tag; may be empty.
    pub tag: String,
    /// Message of the history.
    pub message: String,
    /// Dockerfile instructions.
    pub changes: Vec<String>,
    /// Platform; may be empty.
    pub platform: String,
}

impl Client {
    /// The list, as bytes.
    ///
    /// # Errors
    /// As all calls: the daemon is away or refuses.
    pub async fn image_list(
        &self,
        all: bool,
        digests: bool,
        filters: &Filters,
    ) -> Result<Vec<u8>, ClientError> {
        let query = Query::new()
            .with_flag("all", all)
            .with_flag("digests", digests)
            .with_filters(filters);
        self.get("/images/json")
            .query(query)
            .send()
            .await?
            .bytes(self)
            .await
    }

    /// The list with the platforms of each image.
    ///
    /// # Errors
    /// As all calls.
    pub async fn image_tree(&self, all: bool, filters: &Filters) -> Result<Vec<Summary>, ClientError> {
        let query = Query::new()
            .with_flag("all", all)
            .with_flag("manifests", true)
            .with_filters(filters);
        self.get("/images/json")
            .query(query)
            .send()
            .await?
            .json(self)
            .await
    }

    /// Everything about one image, as bytes.
    ///
    /// # Errors
    /// As all calls; 404 if there is none.
    pub async fn image_inspect(&self, name: &str, platform: &str) -> Result<Vec<u8>, ClientError> {
        let query = Query::new().with_some("platform", platform);
        self.get(format!("/images/{}/json", segment(name)))
            .query(query)
            .send()
            .await?
            .bytes(self)
            .await
    }

    /// Its history, as bytes.
    ///
    /// # Errors
    /// As all calls.
    pub async fn image_history(&self, name: &str, platform: &str) -> Result<Vec<u8>, ClientError> {
        let query = Query::new().with_some("platform", platform);
        self.get(format!("/images/{}/history", segment(name)))
            .query(query)
            .send()
            .await?
            .bytes(self)
            .await
    }

    /// Its layers, the lowest first; only a daemon of dhow tells.
    ///
    /// # Errors
    /// As all calls.
    pub async fn image_layers(&self, name: &str) -> Result<Vec<Layer>, ClientError> {
        let path = format!("/images/{}/layers", segment(name));
        self.get(path).send().await?.json(self).await
    }

    /// What differs between the image `since` and this one; only a daemon of dhow tells.
    ///
    /// # Errors
    /// As all calls.
    pub async fn image_changes(&self, name: &str, since: &str) -> Result<Vec<Change>, ClientError> {
        let path = format!("/images/{}/changes", segment(name));
        let query = Query::new().with("since", since);
        self.get(path).query(query).send().await?.json(self).await
    }

    /// Makes one layer of all above the image `since` (empty: of all); the id of the new image. Only a daemon of dhow can.
    ///
    /// # Errors
    /// As all calls.
    pub async fn image_squash(
        &self,
        name: &str,
        since: &str,
        repository: &str,
        tag: &str,
    ) -> Result<IdResponse, ClientError> {
        let path = format!("/images/{}/squash", segment(name));
        let query = Query::new()
            .with_some("since", since)
            .with_some("repo", repository)
            .with_some("tag", tag);
        self.post(path).query(query).send().await?.json(self).await
    }

    /// The file system of an image as an archive; only dhow's daemon has this call.
    ///
    /// # Errors
    /// As all calls; 404 if there is none.
    pub async fn image_files(&self, name: &str) -> Result<Reply, ClientError> {
        self.get(format!("/images/{}/files", segment(name))).send().await
    }

    /// Gives an image a name more.
    ///
    /// # Errors
    /// As all calls.
    pub async fn image_tag(&self, name: &str, repository: &str, tag: &str) -> Result<(), ClientError> {
        let query = Query::new().with("repo", repository).with_some("tag", tag);
        self.post(format!("/images/{}/tag", segment(name)))
            .query(query)
            .send()
            .await?
            .done(self)
            .await
    }

    /// Removes a name, and the image with its last one; the reply is a list of what went.
    ///
    /// # Errors
    /// As all calls; 409 if it is in use.
    pub async fn image_remove(
        &self,
        name: &str,
        force: bool,
        prune: bool,
        platforms: &[String],
    ) -> Result<Vec<u8>, ClientError> {
        let mut query = Query::new()
            .with_flag("force", force)
            .with_flag("noprune", !prune);
        for platform in platforms {
            query = query.with("platforms", platform);
        }
        self.delete(format!("/images/{}", segment(name)))
            .query(query)
            .send()
            .await?
            .bytes(self)
            .await
    }

    /// Loads images from an archive; the reply is a stream of progress messages.
    ///
    /// # Errors
    /// As all calls.
    pub async fn image_load(
        &self,
        quiet: bool,
        platforms: &[String],
        body: Body,
    ) -> Result<Reply, ClientError> {
        let mut query = Query::new().with("quiet", if quiet { "1" } else { "0" });
        for platform in platforms {
            query = query.with("platform", platform);
        }
        self.post("/images/load").query(query).body(body).send().await
    }

    /// Images as one tar stream.
    ///
    /// # Errors
    /// As all calls.
    pub async fn image_save(
        &self,
        names: &[String],
        since: &str,
        platforms: &[String],
    ) -> Result<Reply, ClientError> {
        let mut query = Query::new().with_some("since", since);
        for name in names {
            query = query.with("names", name);
        }
        for platform in platforms {
            query = query.with("platform", platform);
        }
        self.get("/images/get").query(query).send().await
    }

    /// Makes an image of a root filesystem; the reply is a stream of progress messages.
    ///
    /// # Errors
    /// As all calls.
    pub async fn image_import(&self, options: &ImportOptions, body: Body) -> Result<Reply, ClientError> {
        let mut query = Query::new()
            .with_some("fromSrc", &options.source)
            .with_some("repo", &options.repository)
            .with_some("tag", &options.tag)
            .with_some("message", &options.message)
            .with_some("platform", &options.platform);
        for change in &options.changes {
            query = query.with("changes", change);
        }
        self.post("/images/create").query(query).body(body).send().await
    }

    /// Fetches an image from a registry; the reply is a stream of progress messages. `login` is the value of
    /// `X-Registry-Auth`, or empty.
    ///
    /// # Errors
    /// As all calls.
    pub async fn image_pull(
        &self,
        name: &str,
        tag: &str,
        platform: &str,
        login: &str,
    ) -> Result<Reply, ClientError> {
        let query = Query::new()
            .with("fromImage", name)
            .with_some("tag", tag)
            .with_some("platform", platform);
        self.post("/images/create")
            .query(query)
            .header("x-registry-auth", login.to_owned())
            .send()
            .await
    }

    /// Sends an image to a registry; the reply is a stream of progress messages.
    ///
    /// # Errors
    /// As all calls.
    pub async fn image_push(
        &self,
        name: &str,
        tag: &str,
        platform: &str,
        login: &str,
    ) -> Result<Reply, ClientError> {
        let query = Query::new().with_some("tag", tag).with_some("platform", platform);
        self.post(format!("/images/{}/push", segment(name)))
            .query(query)
            .header("x-registry-auth", login.to_owned())
            .send()
            .await
    }

    /// Repositories for a term, as bytes; a `limit` of 0 is the daemon's own.
    ///
    /// # Errors
    /// As all calls.
    pub async fn image_search(
        &self,
        term: &str,
        limit: i64,
        filters: &Filters,
        login: &str,
    ) -> Result<Vec<u8>, ClientError> {
        let limit = if limit == 0 {
            String::new()
        } else {
            limit.to_string()
        };
        let query = Query::new()
            .with("term", term)
            .with_some("limit", &limit)
            .with_filters(filters);
        self.get("/images/search")
            .query(query)
            .header("x-registry-auth", login.to_owned())
            .send()
            .await?
            .bytes(self)
            .await
    }

    /// Asks a registry whether a login (docker's JSON of it) is good.
    ///
    /// # Errors
    /// As all calls; 401 if it is not.
    pub async fn login(&self, login: &[u8]) -> Result<LoginReply, ClientError> {
        self.post("/auth")
            .body(Body::Json(bytes::Bytes::copy_from_slice(login)))
            .send()
            .await?
            .json(self)
            .await
    }
}
