//! `/distribution`: the documents of a registry, by way of the daemon. But for `json`, these calls are dhow's own: other
//! daemons answer 404 without knowing what was asked.

use bytes::Bytes;

use crate::call::{Body, Call};
use crate::query::{Query, segment};
use crate::{Client, ClientError, Reply};

/// Which name at which registry, and who asks.
#[derive(Clone, Debug)]
pub struct Remote {
    /// With a tag or a digest where a manifest is meant.
    pub name: String,
    /// The value of `X-Registry-Auth`, or empty.
    pub login: String,
    /// The registry need not prove who it is.
    pub insecure: bool,
}

/// A manifest or an index as it is at the registry.
#[derive(Clone, Debug)]
pub struct Document {
    /// What it says that it is.
    pub media_type: String,
    /// Of its bytes; the daemon has verified it.
    pub digest: String,
    /// As they are.
    pub bytes: Vec<u8>,
}

/// A signature as the daemon found it; nobody has checked it.
#[derive(Clone, Debug, serde::Deserialize)]
pub struct Signature {
    /// The text that was signed, in Base64.
    pub payload: String,
    /// The signature, in Base64.
    pub signature: String,
}

impl Remote {
    fn path(&self, rest: &str) -> String {
        format!("/distribution/{}/{rest}", segment(&self.name))
    }

    fn query(&self) -> Query {
        Query::new().with_flag("insecure", self.insecure)
    }

    fn call<'a>(&self, call: Call<'a>) -> Call<'a> {
        call.header("x-registry-auth", self.login.clone())
    }
}

impl Client {
    /// The manifest or index behind a name.
    ///
    /// # Errors
    /// As all calls; 404 if there is none.
    pub async fn remote_manifest(&self, remote: &Remote) -> Result<Document, ClientError> {
        let call = self.get(remote.path("manifest")).query(remote.query());
        let reply = remote.call(call).send().await?;
        let header = |name| reply.header(name).unwrap_or_default().to_owned();
        let (media_type, digest) = (header("content-type"), header("docker-content-digest"));
        Ok(Document {
            media_type,
            digest,
            bytes: reply.bytes(self).await?,
        })
    }

    /// Stores a manifest or an index; what it needs is brought from the repository `from` of the same registry, unless that
    /// is empty. The digest that it has.
    ///
    /// # Errors
    /// As all calls.
    pub async fn put_remote_manifest(
        &self,
        remote: &Remote,
        media_type: &str,
        bytes: Vec<u8>,
        from: &str,
    ) -> Result<String, ClientError> {
        let query = remote.query().with_some("from", from);
        let call = self.put(remote.path("manifest")).query(query);
        let body = Body::Typed(media_type.to_owned(), bytes.into());
        let reply = remote.call(call).body(body).send().await?;
        let digest = reply.header("docker-content-digest").unwrap_or_default();
        let digest = digest.to_owned();
        reply.done(self).await?;
        Ok(digest)
    }

    /// Removes a manifest.
    ///
    /// # Errors
    /// As all calls; 404 if there is none.
    pub async fn delete_remote_manifest(&self, remote: &Remote) -> Result<(), ClientError> {
        let call = self.delete(remote.path("manifest")).query(remote.query());
        remote.call(call).send().await?.done(self).await
    }

    /// What refers to a manifest: an index, as bytes.
    ///
    /// # Errors
    /// As all calls.
    pub async fn remote_referrers(&self, remote: &Remote) -> Result<Vec<u8>, ClientError> {
        let call = self.get(remote.path("referrers")).query(remote.query());
        remote.call(call).send().await?.bytes(self).await
    }

    /// Copies the image `from`, whoever may read it, to the name of `to`; progress as of a push. Only a daemon of dhow can.
    ///
    /// # Errors
    /// As all calls.
    pub async fn copy_remote(
        &self,
        from: &Remote,
        to: &Remote,
        platform: &str,
        referrers: bool,
    ) -> Result<Reply, ClientError> {
        let query = to
            .query()
            .with_some("from", &from.name)
            .with_some("platform", platform)
            .with_flag("referrers", referrers);
        let call = self.post(to.path("copy")).query(query);
        let call = call.header("x-registry-auth-from", from.login.clone());
        to.call(call).send().await
    }

    /// All tags of the repository.
    ///
    /// # Errors
    /// As all calls; 404 if there is no such repository.
    pub async fn remote_tags(&self, remote: &Remote) -> Result<Vec<String>, ClientError> {
        let call = self.get(remote.path("tags")).query(remote.query());
        remote.call(call).send().await?.json(self).await
    }

    /// The signatures of the manifest behind a name, whoever made them.
    ///
    /// # Errors
    /// As all calls.
    pub async fn remote_signatures(&self, remote: &Remote) -> Result<Vec<Signature>, ClientError> {
        let call = self.get(remote.path("signatures")).query(remote.query());
        remote.call(call).send().await?.json(self).await
    }

    /// A small blob, such as a configuration.
    ///
    /// # Errors
    /// As all calls; 404 if there is none.
    pub async fn remote_blob(&self, remote: &Remote, digest: &str) -> Result<Vec<u8>, ClientError> {
        let path = remote.path(&format!("blobs/{digest}"));
        let call = self.get(path).query(remote.query());
        remote.call(call).send().await?.bytes(self).await
    }

    /// Stores a small blob, which has this digest.
    ///
    /// # Errors
    /// As all calls.
    pub async fn put_remote_blob(
        &self,
        remote: &Remote,
        digest: &str,
        bytes: Vec<u8>,
    ) -> Result<(), ClientError> {
        let path = remote.path(&format!("blobs/{digest}"));
        let call = self.put(path).query(remote.query());
        let body = Body::Typed("application/octet-stream".to_owned(), Bytes::from(bytes));
        remote.call(call).body(body).send().await?.done(self).await
    }
}
