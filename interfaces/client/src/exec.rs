//! `/exec`: further processes in a running container.

use api_types::exec::{CreateRequest, Inspect, StartRequest};
use serde::Deserialize;

use crate::call::Body;
use crate::hijack::Hijacked;
use crate::query::{Query, named};
use crate::{Client, ClientError};

#[derive(Deserialize, Default)]
#[serde(default)]
struct Created {
    #[serde(rename = "Id")]
    id: String,
}

impl Client {
    /// Declares a process; returns its id.
    ///
    /// # Errors
    /// As all calls; 409 if the container does not run.
    pub async fn exec_create(&self, container: &str, request: &CreateRequest) -> Result<String, ClientError> {
        let path = format!("/containers/{}/exec", named("container", container)?);
        let created: Created = self
            .post(path)
            .body(Body::json(request)?)
            .send()
            .await?
            .json(self)
            .await?;
        Ok(created.id)
    }

    /// Starts it without attaching.
    ///
    /// # Errors
    /// As all calls.
    pub async fn exec_start(&self, id: &str, request: &StartRequest) -> Result<(), ClientError> {
        let path = format!("/exec/{}/start", named("exec", id)?);
        self.post(path)
            .body(Body::json(request)?)
            .send()
            .await?
            .done(self)
            .await
    }

    /// Starts it and joins its streams.
    ///
    /// # Errors
    /// As all calls.
    pub async fn exec_attach(&self, id: &str, request: &StartRequest) -> Result<Hijacked, ClientError> {
        let path = format!("/exec/{}/start", named("exec", id)?);
        let reply = self
            .post(path)
            .body(Body::json(request)?)
            .upgrade()
            .send()
            .await?;
        Hijacked::take_over(reply).await
    }

    /// How it is.
    ///
    /// # Errors
    /// As all calls; 404 if it is forgotten.
    pub async fn exec_inspect(&self, id: &str) -> Result<Inspect, ClientError> {
        self.get(format!("/exec/{}/json", named("exec", id)?))
            .send()
            .await?
            .json(self)
            .await
    }

    /// Tells the size of the terminal, in characters.
    ///
    /// # Errors
    /// As all calls.
    pub async fn exec_resize(&self, id: &str, height: u16, width: u16) -> Result<(), ClientError> {
        let query = Query::new()
            .with("h", height.to_string())
            .with("w", width.to_string());
        self.post(format!("/exec/{}/resize", named("exec", id)?))
            .query(query)
            .send()
            .await?
            .done(self)
            .await
    }
}
