//! `/build`: one method per call.

use crate::call::{Body, Reply};
use crate::query::Query;
use crate::{Client, ClientError};

impl Client {
    /// Builds an image from a context; the reply is a stream of progress messages. `secrets` is the text of the header
    /// that carries them, or empty.
    ///
    /// # Errors
    /// As all calls.
    pub async fn build(&self, query: Query, secrets: String, body: Body) -> Result<Reply, ClientError> {
        let call = self.post("/build").query(query).body(body);
        let call = match secrets.as_str() {
            "" => call,
            _ => call.header("X-Dhow-Build-Secrets", secrets),
        };
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
