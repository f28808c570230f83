//! `/volumes`: one method per call.

use api_types::Filters;

use crate::call::Body;
use crate::query::{Query, named};
use crate::{Client, ClientError};

impl Client {
    /// The list (`{"Volumes": ..., "Warnings": ...}`), as bytes.
    ///
    /// # Errors
    /// As all calls: the daemon is away or refuses.
    pub async fn volume_list(&self, filters: &Filters) -> Result<Vec<u8>, ClientError> {
        self.get("/volumes")
            .query(Query::new().with_filters(filters))
            .send()
            .await?
            .bytes(self)
            .await
    }

    /// Everything about one volume, as bytes.
    ///
    /// # Errors
    /// As all calls; 404 if there is none.
    pub async fn volume_inspect(&self, name: &str) -> Result<Vec<u8>, ClientError> {
        self.get(format!("/volumes/{}", named("volume", name)?))
            .send()
            .await?
            .bytes(self)
            .await
    }

    /// Makes a volume; the reply is the volume.
    ///
    /// # Errors
    /// As all calls.
    pub async fn volume_create(&self, body: Body) -> Result<Vec<u8>, ClientError> {
        self.post("/volumes/create")
            .body(body)
            .send()
            .await?
            .bytes(self)
            .await
    }

    /// Removes a volume.
    ///
    /// # Errors
    /// As all calls; 409 if it is in use.
    pub async fn volume_remove(&self, name: &str, force: bool) -> Result<(), ClientError> {
        let query = Query::new().with_flag("force", force);
        self.delete(format!("/volumes/{}", named("volume", name)?))
            .query(query)
            .send()
            .await?
            .done(self)
            .await
    }
}
