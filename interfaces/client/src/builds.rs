//! `/build`: one method per call.

use crate::call::{Body, Reply};
use crate::hijack::Hijacked;
use crate::query::Query;
use crate::{Client, ClientError};

/// What the daemon says to a list of files.
#[derive(Clone, Debug, serde::Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct ListedContext {
    /// What the context is called in the build's query.
    pub id: String,
    /// The numbers of the files that are wanted; the first line of the list is 0.
    pub wanted: Vec<u32>,
}

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

    /// Lists the files of a context, one in a line of JSON; nothing if the daemon keeps no contexts (only dhow's does).
    ///
    /// # Errors
    /// As all calls.
    pub async fn build_context(
        &self,
        key: &str,
        list: Vec<u8>,
    ) -> Result<Option<ListedContext>, ClientError> {
        let body = Body::Typed("application/jsonl".to_owned(), list.into());
        let call = self.post("/build/context").query(Query::new().with("key", key));
        match call.body(body).send().await {
            Ok(reply) => reply.json(self).await.map(Some),
            Err(ClientError::Daemon {
                status: 404 | 405, ..
            }) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Opens a connection that waits until a step of a build asks an ssh agent.
    ///
    /// # Errors
    /// As all calls.
    pub async fn build_agent(&self, build: &str, agent: &str) -> Result<Hijacked, ClientError> {
        let query = Query::new().with("id", build).with("agent", agent);
        let reply = self.post("/build/agent").query(query).upgrade().send().await?;
        Hijacked::take_over(reply).await
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
