//! `/networks`: one method per call.

use api_types::Filters;

use crate::call::Body;
use crate::query::{Query, named};
use crate::{Client, ClientError};

impl Client {
    /// The list, as bytes.
    ///
    /// # Errors
    /// As all calls: the daemon is away or refuses.
    pub async fn network_list(&self, filters: &Filters) -> Result<Vec<u8>, ClientError> {
        self.get("/networks")
            .query(Query::new().with_filters(filters))
            .send()
            .await?
            .bytes(self)
            .await
    }

    /// Everything about one network, as bytes.
    ///
    /// # Errors
    /// As all calls; 404 if there is none.
    pub async fn network_inspect(&self, name: &str, verbose: bool) -> Result<Vec<u8>, ClientError> {
        let query = if verbose {
            Query::new().with("verbose", "true")
        } else {
            Query::new()
        };
        self.get(format!("/networks/{}", named("network", name)?))
            .query(query)
            .send()
            .await?
            .bytes(self)
            .await
    }

    /// Makes a network; the reply is `{"Id": ..., "Warning": ...}`.
    ///
    /// # Errors
    /// As all calls.
    pub async fn network_create(&self, body: Body) -> Result<Vec<u8>, ClientError> {
        self.post("/networks/create")
            .body(body)
            .send()
            .await?
            .bytes(self)
            .await
    }

    /// Removes a network.
    ///
    /// # Errors
    /// As all calls; 403 if it is in use or predefined.
    pub async fn network_remove(&self, name: &str) -> Result<(), ClientError> {
        self.delete(format!("/networks/{}", named("network", name)?))
            .send()
            .await?
            .done(self)
            .await
    }

    /// Joins a container to a network (`verb` is `connect`) or takes it off (`disconnect`).
    ///
    /// # Errors
    /// As all calls.
    pub async fn network_member(&self, name: &str, verb: &str, body: Body) -> Result<(), ClientError> {
        self.post(format!("/networks/{}/{verb}", named("network", name)?))
            .body(body)
            .send()
            .await?
            .done(self)
            .await
    }
}
