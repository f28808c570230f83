//! `/build`: one method per call.

use crate::call::{Body, Reply};
use crate::query::Query;
use crate::{Client, ClientError};

impl Client {
    /// Builds an image from a context; the reply is a stream of progress messages. `secrets` and `logins` are the
    /// texts of the headers that carry them, or empty.
    ///
    /// # Errors
    /// As all calls.
    pub async fn build(
        &self,
        query: Query,
        secrets: String,
        logins: String,
        body: Body,
    ) -> Result<Reply, ClientError> {
        let mut call = self.post("/build").query(query).body(body);
        for (name, value) in [("X-Dhow-Build-Secrets", secrets), ("X-Registry-Config", logins)] {
            if !value.is_empty() {
                call = call.header(name, value);
            }
        }
        call.send().await
    }

    /// Takes away what builds keep for later; the reply says how much.
    ///
    /// # Errors
    /// As all calls.
    pub async fn build_prune(&self, query: Query) -> Result<Vec<u8>, ClientError> {
        self.post("/build/prune")
            .query(query)
            .send()
            .await?
            .bytes(self)
            .await
    }
}
