//! The daemon itself: ping, version, info, events, use of the disk.

use api_types::{ApiVersion, Filters};

use crate::call::Reply;
use crate::query::Query;
use crate::{Client, ClientError};

/// What a ping tells.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ping {
    /// The daemon's newest API version.
    pub version: ApiVersion,
    /// Operating system of its containers (`linux`).
    pub os: String,
    /// True if it runs with experimental features.
    pub experimental: bool,
}

impl Client {
    /// Asks whether the daemon is there; this also settles the version.
    ///
    /// # Errors
    /// The daemon cannot be reached.
    pub async fn ping(&self) -> Result<Ping, ClientError> {
        let reply = self.head("/_ping").unversioned().send().await?;
        let said = reply.header("api-version").and_then(|v| v.parse().ok());
        let ping = Ping {
            version: self.learn_version(said),
            os: reply.header("ostype").unwrap_or_default().to_owned(),
            experimental: reply.header("docker-experimental") == Some("true"),
        };
        reply.done(self).await?;
        Ok(ping)
    }

    /// `GET /version`, as bytes.
    ///
    /// # Errors
    /// As all calls: the daemon is away or refuses.
    pub async fn server_version(&self) -> Result<Vec<u8>, ClientError> {
        self.get("/version").send().await?.bytes(self).await
    }

    /// `GET /info`, as bytes.
    ///
    /// # Errors
    /// As all calls.
    pub async fn info(&self) -> Result<Vec<u8>, ClientError> {
        self.get("/info").send().await?.bytes(self).await
    }

    /// `GET /system/df`, as bytes.
    ///
    /// # Errors
    /// As all calls.
    pub async fn disk_usage(&self) -> Result<Vec<u8>, ClientError> {
        self.get("/system/df").send().await?.bytes(self).await
    }

    /// A stream of events, one JSON object per line.
    ///
    /// # Errors
    /// As all calls.
    pub async fn events(&self, since: &str, until: &str, filters: &Filters) -> Result<Reply, ClientError> {
        let query = Query::new()
            .with_some("since", since)
            .with_some("until", until)
            .with_filters(filters);
        self.get("/events").query(query).send().await
    }
}
